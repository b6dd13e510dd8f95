package auth

import (
	"context"

	"github.com/chatopshub/chatopshub/domain"
)

// Principal is who makes a call, as the access token says.
type Principal struct {
	User         domain.UserID
	Organization domain.OrganizationID
	Session      domain.SessionID
	Role         domain.Role
}

type principalKey struct{}

// WithPrincipal returns a context that carries p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// FromContext is the principal that WithPrincipal put in; false without one.
func FromContext(ctx context.Context) (Principal, bool) {
	p, ok := ctx.Value(principalKey{}).(Principal)
	return p, ok
}
