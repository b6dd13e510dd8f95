package rest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// loginFloor is how long a login that fails takes at least. One e-mail may
// have accounts in several organizations, each with a hash to check: the floor
// hides how many.
const loginFloor = 300 * time.Millisecond

type loginInput struct {
	UserAgent string `header:"User-Agent" hidden:"true"`
	Body      loginBody
}

type loginBody struct {
	Email            string `json:"email" maxLength:"254" pattern:"^[^\\s\\x00]+@[^\\s\\x00]+$" patternDescription:"an e-mail address" example:"agent@example.com"`
	Password         string `json:"password" minLength:"1" maxLength:"1024" example:"correct horse battery staple"`
	OrganizationSlug string `json:"organizationSlug,omitempty" maxLength:"100" doc:"Needed where the e-mail exists in several organizations" example:"default"`
}

type loginOutput struct{ Body loginAnswer }

type loginAnswer struct {
	SessionTokens
	User loginUser `json:"user"`
}

type loginUser struct {
	ID           domain.UserID         `json:"id"`
	Name         string                `json:"name"`
	Email        string                `json:"email"`
	Role         domain.Role           `json:"role"`
	Organization domain.OrganizationID `json:"organizationId"`
}

func (s *server) login(ctx context.Context, in *loginInput) (*loginOutput, error) {
	began := s.Now()
	attempt, err := s.attemptLogin(ctx, in.Body.Email)
	if err != nil {
		return nil, err
	}
	fits, err := s.accounts(ctx, in.Body)
	if err == nil && len(fits) == 0 {
		s.waitUntil(ctx, began.Add(loginFloor))
		return nil, wrongCredentials()
	}
	attempt.uncount(ctx)
	switch {
	case err != nil:
		return nil, err
	case len(fits) > 1:
		return nil, problem(http.StatusConflict, "organization_required", "The e-mail exists in several organizations: name one by organizationSlug.")
	case fits[0].Status != domain.UserActive:
		return nil, problem(http.StatusForbidden, "user_not_active", "The user may not log in at present.")
	}
	user := fits[0]
	session, err := s.startSession(ctx, user, in.UserAgent)
	if err != nil {
		return nil, err
	}
	return &loginOutput{Body: loginAnswer{
		SessionTokens: session,
		User:          loginUser{ID: user.ID, Name: user.Name, Email: user.Email, Role: user.Role, Organization: user.Organization},
	}}, nil
}

func wrongCredentials() *Problem {
	return problem(http.StatusUnauthorized, "invalid_credentials", "E-mail or password is wrong.").
		with("WWW-Authenticate", `Bearer realm="chatopshub"`)
}

// accounts are the users of the e-mail, all of them, if the password fits one;
// none if it fits none. Where the e-mail has no account, it costs as much as a
// wrong password.
func (s *server) accounts(ctx context.Context, in loginBody) ([]domain.LoginUser, error) {
	users, err := s.Users.ByEmail(ctx, in.Email)
	if err != nil {
		return nil, fmt.Errorf("find the accounts of an e-mail: %w", err)
	}
	var candidates []domain.LoginUser
	for _, u := range users[:min(len(users), maxAccounts)] {
		if in.OrganizationSlug == "" || strings.EqualFold(in.OrganizationSlug, u.OrganizationSlug) {
			candidates = append(candidates, u)
		}
	}
	if len(candidates) == 0 {
		_, err := s.Passwords.Verify(ctx, in.Password, auth.DummyHash)
		return nil, err
	}
	for _, u := range candidates {
		fits, err := s.Passwords.Verify(ctx, in.Password, string(u.PasswordHash))
		if err != nil {
			return nil, fmt.Errorf("check the password of user %s: %w", u.ID, err)
		}
		if fits {
			return candidates, nil
		}
	}
	return nil, nil
}

func (s *server) waitUntil(ctx context.Context, moment time.Time) {
	timer := time.NewTimer(moment.Sub(s.Now()))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

type meOutput struct{ Body meBody }

type meBody struct {
	ID           domain.UserID         `json:"id"`
	Name         string                `json:"name"`
	Email        string                `json:"email"`
	Role         domain.Role           `json:"role"`
	Organization domain.OrganizationID `json:"organizationId"`
	AvatarURL    *string               `json:"avatarUrl"`
	Status       domain.UserStatus     `json:"status"`
}

func (s *server) me(ctx context.Context, _ *struct{}) (*meOutput, error) {
	u := callerOf(ctx)
	body := meBody{ID: u.ID, Name: u.Name, Email: u.Email, Role: u.Role, Organization: u.Organization, Status: u.Status}
	if u.AvatarURL != "" {
		body.AvatarURL = &u.AvatarURL
	}
	return &meOutput{Body: body}, nil
}
