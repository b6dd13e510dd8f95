package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// maxCredentials bounds the bodies that strangers may send, in bytes: every
// field of them, at its longest and escaped, fits.
const maxCredentials = 16 << 10

// maxUserAgent bounds what is stored of the header, in bytes.
const maxUserAgent = 512

// SessionTokens are what a client holds of a session.
type SessionTokens struct {
	AccessToken  string `json:"accessToken"`
	RefreshToken string `json:"refreshToken" doc:"Good for one use at /api/auth/refresh"`
	ExpiresIn    int    `json:"expiresIn" doc:"How long the access token is good, in seconds"`
}

// startSession makes a login durable before its tokens go out.
func (s *server) startSession(ctx context.Context, user domain.LoginUser, userAgent string) (SessionTokens, error) {
	refresh := s.Chain.First()
	session := domain.LoginSession{
		ID: domain.SessionID(uuid.New()), User: user, RefreshHash: auth.HashRefresh(refresh),
		IP: requestOf(ctx).client.String(), UserAgent: clean(userAgent, maxUserAgent),
	}
	access, err := s.Tokens.Issue(auth.Principal{
		User: user.ID, Organization: user.Organization, Session: session.ID, Role: user.Role,
	})
	if err != nil {
		return SessionTokens{}, fmt.Errorf("start a session: %w", err)
	}
	err = s.Sessions.Start(ctx, session)
	if errors.Is(err, domain.ErrSessionOver) {
		return SessionTokens{}, wrongCredentials() // the user has changed since the password was checked
	}
	if err != nil {
		return SessionTokens{}, fmt.Errorf("start a session: %w", uncertain(err))
	}
	return SessionTokens{AccessToken: access, RefreshToken: refresh, ExpiresIn: int(s.AccessTTL.Seconds())}, nil
}

// clean is what PostgreSQL takes of text: valid UTF-8 without NUL, of at most
// limit bytes.
func clean(text string, limit int) string {
	text = strings.ReplaceAll(text[:min(len(text), limit)], "\x00", "")
	return strings.ToValidUTF8(text, "")
}

type refreshInput struct {
	UserAgent string `header:"User-Agent" hidden:"true"`
	Body      refreshBody
}

type refreshBody struct {
	RefreshToken string `json:"refreshToken" minLength:"1" maxLength:"128" example:"bm90LWEtcmVhbC10b2tlbg"`
}

type refreshOutput struct{ Body SessionTokens }

// refresh exchanges a refresh token. What comes back follows from what was
// presented, so it is the same however often the exchange is repeated.
func (s *server) refresh(ctx context.Context, in *refreshInput) (*refreshOutput, error) {
	presented := in.Body.RefreshToken
	req := requestOf(ctx)
	renewal, err := s.Sessions.Refresh(ctx, domain.RefreshUse{
		Presented: auth.HashRefresh(presented), Successor: auth.HashRefresh(s.Chain.Next(presented)),
		IP: req.client.String(), UserAgent: clean(in.UserAgent, maxUserAgent),
	})
	if errors.Is(err, domain.ErrTokenReused) {
		s.Log.WarnContext(ctx, "a refresh token was stolen", "request", req.id, "client", req.client.String(), "error", err)
	}
	if err != nil {
		return nil, fmt.Errorf("refresh a session: %w", uncertain(err))
	}
	req.org, req.user = renewal.Organization, renewal.User
	newest, ok := s.Chain.Find(presented, renewal.Newest)
	if !ok {
		return nil, fmt.Errorf("refresh session %s: %w: its tokens were made with another AUTH_SECRET", renewal.Session, domain.ErrSessionOver)
	}
	access, err := s.Tokens.Issue(auth.Principal{
		User: renewal.User, Organization: renewal.Organization, Session: renewal.Session, Role: renewal.Role,
	})
	if err != nil {
		return nil, fmt.Errorf("refresh session %s: %w", renewal.Session, err)
	}
	return &refreshOutput{Body: SessionTokens{AccessToken: access, RefreshToken: newest, ExpiresIn: int(s.AccessTTL.Seconds())}}, nil
}

type logoutInput struct{ Body refreshBody }

type logoutOutput struct{ Body logoutBody }

type logoutBody struct {
	Success bool `json:"success"`
}

// logout ends the session of the access token, and that of the refresh token
// where it is the same user's: a client that has mixed up the tokens of two
// logins must not leave one of them behind.
func (s *server) logout(ctx context.Context, in *logoutInput) (*logoutOutput, error) {
	principal, _ := auth.FromContext(ctx)
	if err := s.Sessions.End(ctx, principal.User, principal.Session, auth.HashRefresh(in.Body.RefreshToken)); err != nil {
		return nil, fmt.Errorf("log out of session %s: %w", principal.Session, uncertain(err))
	}
	return &logoutOutput{Body: logoutBody{Success: true}}, nil
}

// sessionRoutes registers what begins and ends sessions.
func (s *server) sessionRoutes(agents access) {
	register(s, operation{
		access: anyone(), method: http.MethodPost, path: "/api/auth/login", id: "login", tag: "Authentication",
		summary: "Log in", maxBody: maxCredentials, about: "An e-mail that exists in several organizations needs organizationSlug. Wrong passwords are " +
			"counted for each e-mail and each address: too many are answered 429, right ones too, until Retry-After has passed.",
		refuses: []int{401, 403, 409, 429, 503, 504}, example: exampleLogin(),
		takes: map[string]any{"email": "agent@example.com", "password": "correct horse battery staple"},
	}, s.login)
	register(s, operation{
		access: anyone(), method: http.MethodPost, path: "/api/auth/refresh", id: "refresh", tag: "Authentication",
		summary: "Exchange a refresh token", maxBody: maxCredentials, about: "The token is spent by it. For 30 seconds it gives the same new one again: for " +
			"a second tab, and for an answer that was lost. Used after that, it counts as stolen: the session ends, its sockets close.",
		refuses: []int{401, 503, 504}, example: exampleLogin().SessionTokens,
		takes: map[string]any{"refreshToken": "bm90LWEtcmVhbC10b2tlbg"},
	}, s.refresh)
	register(s, operation{
		access: agents, method: http.MethodPost, path: "/api/auth/logout", id: "logout", tag: "Authentication",
		summary: "Log out", about: "Ends the session: its tokens stop working everywhere within a second, its sockets close.",
		refuses: []int{503, 504}, example: logoutBody{Success: true},
		takes: map[string]any{"refreshToken": "bm90LWEtcmVhbC10b2tlbg"},
	}, s.logout)
	register(s, operation{
		access: agents, method: http.MethodGet, path: "/api/auth/me", id: "me", tag: "Authentication",
		summary: "Who the token is", example: exampleMe(),
	}, s.me)
}
