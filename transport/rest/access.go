package rest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humahttprouter"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// access says who may call an operation. The zero access says nothing, and an
// operation with it is refused at start.
type access struct {
	public bool
	roles  []domain.Role
	linked bool // a signed address will do as well: the operation checks it
}

// anyone needs no token.
func anyone() access { return access{public: true} }

// only are ACTIVE users with one of the roles.
func only(roles ...domain.Role) access { return access{roles: roles} }

// orLink is a, or whoever has a signed address.
func (a access) orLink() access {
	a.linked = true
	return a
}

func (a access) declared() bool { return a.public || len(a.roles) > 0 }

type callerKey struct{}

// callerOf is the user who calls. Only operations that aren't public have one.
func callerOf(ctx context.Context) domain.User {
	user, _ := ctx.Value(callerKey{}).(domain.User)
	return user
}

// guard lets those through who may call the operation, and tells it who does:
// the token proves who it is, the directory knows name, role and status as
// they are now.
func (s *server) guard(who access) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		r, w, _ := humahttprouter.Unwrap(ctx)
		if who.linked && (r.URL.Query().Has(auth.FileLinkSignature) || r.URL.Query().Has(auth.FileLinkExpires)) {
			next(ctx)
			return
		}
		principal, user, err := s.authenticate(r)
		if err != nil {
			p := s.stranger(r)
			if p == nil {
				p = problemOf(err)
			}
			writeProblem(w, p)
			return
		}
		req := requestOf(r.Context())
		req.org, req.user = user.Organization, user.ID
		if p := s.tooFast(s.limits.users.take(user.ID), limitedUser); p != nil {
			writeProblem(w, p)
			return
		}
		switch {
		case user.Status != domain.UserActive:
			writeProblem(w, problem(http.StatusForbidden, "user_not_active", "The user may not work at present."))
		case !slices.Contains(who.roles, user.Role):
			writeProblem(w, problem(http.StatusForbidden, "forbidden", "The user's role doesn't allow this."))
		default:
			carried := auth.WithPrincipal(ctx.Context(), principal)
			next(huma.WithContext(ctx, context.WithValue(carried, callerKey{}, user)))
		}
	}
}

func (s *server) authenticate(r *http.Request) (auth.Principal, domain.User, error) {
	token, err := bearer(r.Header)
	if err != nil {
		return auth.Principal{}, domain.User{}, err
	}
	principal, err := s.Tokens.Authenticate(r.Context(), token)
	if err != nil {
		return auth.Principal{}, domain.User{}, err
	}
	user, known := s.Directory.User(principal.Organization, principal.User)
	if !known {
		return auth.Principal{}, domain.User{}, auth.ErrTokenRevoked
	}
	return principal, user, nil
}

// bearer is the token of the Authorization header (RFC 6750, section 2.1).
func bearer(header http.Header) (string, error) {
	values := header.Values("Authorization")
	if len(values) == 0 {
		return "", unauthorized("token_missing", "The call needs an access token: Authorization: Bearer <token>.", "")
	}
	scheme, token, _ := strings.Cut(values[0], " ")
	if len(values) > 1 || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", auth.ErrTokenInvalid
	}
	return token, nil
}

// wrap makes the errors of an operation answers, and lets the log know what is
// behind those that are our fault.
func wrap[I, O any](operate func(context.Context, *I) (*O, error)) func(context.Context, *I) (*O, error) {
	return func(ctx context.Context, in *I) (*O, error) {
		out, err := operate(ctx, in)
		if err == nil {
			return out, nil
		}
		p := problemOf(err)
		if p.Status < http.StatusInternalServerError {
			return nil, p
		}
		req := requestOf(ctx)
		var known *Problem
		if !errors.As(err, &known) {
			req.cause = err
		}
		if p.Status == http.StatusInternalServerError {
			p.RequestID = req.id
		}
		return nil, p
	}
}
