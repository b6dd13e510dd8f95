package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/chatopshub/chatopshub/domain"
)

// maxTokenLen bounds what a stranger can make us decode, in bytes. Our own
// tokens have about 400.
const maxTokenLen = 1024

// Why a token is not accepted. ErrTokenInvalid covers everything that we did
// not sign; the other two are said only of tokens that we did.
var (
	ErrTokenInvalid = errors.New("invalid access token")
	ErrTokenExpired = errors.New("access token has expired")
	ErrTokenRevoked = errors.New("access token has been revoked")
)

// Issuer makes and checks access tokens: JWTs (RFC 7519) signed with HS256.
type Issuer struct {
	// Key signs, 32 bytes by DeriveKey with AccessTokenLabel. Nodes that share
	// the key accept each other's tokens.
	Key []byte
	// TTL is how long a token is good for.
	TTL time.Duration
	// Now is the clock.
	Now func() time.Time
	// Revoked, where set, has the last word on a token that is good otherwise.
	// It is called for every request, so it must answer from memory.
	Revoked func(p Principal) bool
}

// claims are the contents of an access token; sub is the user.
type claims struct {
	Organization domain.OrganizationID `json:"org"`
	Role         domain.Role           `json:"role"`
	Session      domain.SessionID      `json:"sid"`
	jwt.RegisteredClaims
}

// Issue returns a token that proves to be p until TTL has passed.
func (i *Issuer) Issue(p Principal) (string, error) {
	if !p.complete() {
		return "", errors.New("issue access token: the principal lacks a user, organization, session or role")
	}
	if len(i.Key) != keySize {
		return "", fmt.Errorf("issue access token: key of %d bytes, takes %d", len(i.Key), keySize)
	}
	now := i.Now()
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		Organization: p.Organization,
		Role:         p.Role,
		Session:      p.Session,
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   p.User.String(),
			IssuedAt:  jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(now.Add(i.TTL)),
		},
	})
	signed, err := token.SignedString(i.Key)
	if err != nil {
		return "", fmt.Errorf("issue access token: %w", err)
	}
	return signed, nil
}

// Authenticate tells who token proves to be. Its errors are ErrTokenInvalid,
// ErrTokenExpired and ErrTokenRevoked, and none quotes the token. The context
// is there for checkers that ask somebody; this one answers from memory.
func (i *Issuer) Authenticate(_ context.Context, token string) (Principal, error) {
	// encoding/base64 skips line breaks, strict or not.
	if len(i.Key) != keySize || len(token) > maxTokenLen || strings.ContainsAny(token, "\r\n") {
		return Principal{}, ErrTokenInvalid
	}
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return i.Key, nil },
		// One algorithm: a token that names another, or none, is not ours.
		jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
		jwt.WithExpirationRequired(),
		jwt.WithTimeFunc(i.Now),
		// One spelling for each token, so that no list of tokens can be slipped by.
		jwt.WithStrictDecoding(),
	)
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return Principal{}, ErrTokenExpired
	case err != nil:
		// The library's error can quote parts of the token.
		return Principal{}, ErrTokenInvalid
	}
	p, err := c.principal()
	if err != nil {
		return Principal{}, err
	}
	if i.Revoked != nil && i.Revoked(p) {
		return Principal{}, ErrTokenRevoked
	}
	return p, nil
}

// principal is who the claims name. Signed claims can still be incomplete:
// another release may have made them.
func (c claims) principal() (Principal, error) {
	var user domain.UserID
	if err := user.UnmarshalText([]byte(c.Subject)); err != nil || c.IssuedAt == nil {
		return Principal{}, ErrTokenInvalid
	}
	p := Principal{User: user, Organization: c.Organization, Session: c.Session, Role: c.Role}
	if !p.complete() {
		return Principal{}, ErrTokenInvalid
	}
	return p, nil
}

// complete reports whether p names somebody, somewhere, with a known role.
func (p Principal) complete() bool {
	known := p.Role == domain.RoleAgent || p.Role == domain.RoleAdmin
	return known && !p.User.IsZero() && !p.Organization.IsZero() && !p.Session.IsZero()
}
