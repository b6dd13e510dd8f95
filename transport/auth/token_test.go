package auth

import (
	"context"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

var (
	testNow       = time.Date(2026, 1, 31, 9, 15, 2, 0, time.UTC)
	testPrincipal = Principal{
		User:         domain.UserID(uuid.MustParse("0b7f7f4e-97b4-4d38-a3a1-6d4a2c6d7e01")),
		Organization: domain.OrganizationID(uuid.MustParse("0b7f7f4e-97b4-4d38-a3a1-6d4a2c6d7e02")),
		Session:      domain.SessionID(uuid.MustParse("0b7f7f4e-97b4-4d38-a3a1-6d4a2c6d7e03")),
		Role:         domain.RoleAgent,
	}
)

// newIssuer returns an Issuer whose clock stands at testNow plus later.
func newIssuer(later time.Duration) *Issuer {
	return &Issuer{
		Key: DeriveKey([]byte("secret of the tests"), AccessTokenLabel),
		TTL: 15 * time.Minute,
		Now: func() time.Time { return testNow.Add(later) },
	}
}

func issue(t testing.TB, p Principal) string {
	t.Helper()
	token, err := newIssuer(0).Issue(p)
	require.NoError(t, err)
	return token
}

// sign makes a token of any claims with any method and key, as an attacker, an
// older or a newer release would.
func sign(t testing.TB, method jwt.SigningMethod, key any, c jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, c).SignedString(key)
	require.NoError(t, err)
	return token
}

// claimsOf are the claims of a good token, changed by with; a nil value
// removes the claim.
func claimsOf(with jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{
		"sub": testPrincipal.User.String(), "org": testPrincipal.Organization.String(),
		"sid": testPrincipal.Session.String(), "role": "AGENT",
		"iat": testNow.Unix(), "exp": testNow.Add(15 * time.Minute).Unix(),
	}
	for name, value := range with {
		if value == nil {
			delete(c, name)
			continue
		}
		c[name] = value
	}
	return c
}

func TestIssuedTokenAuthenticates(t *testing.T) {
	t.Parallel()
	for _, role := range []domain.Role{domain.RoleAgent, domain.RoleAdmin} {
		p := testPrincipal
		p.Role = role
		got, err := newIssuer(0).Authenticate(t.Context(), issue(t, p))
		require.NoError(t, err)
		require.Equal(t, p, got)
	}
}

func TestTokenCarriesExactlyTheseClaims(t *testing.T) {
	t.Parallel()
	parts := strings.Split(issue(t, testPrincipal), ".")
	require.Len(t, parts, 3)
	body, err := base64.RawURLEncoding.DecodeString(parts[1])
	require.NoError(t, err)
	require.JSONEq(t, `{
		"sub": "0b7f7f4e-97b4-4d38-a3a1-6d4a2c6d7e01", "org": "0b7f7f4e-97b4-4d38-a3a1-6d4a2c6d7e02",
		"sid": "0b7f7f4e-97b4-4d38-a3a1-6d4a2c6d7e03", "role": "AGENT", "iat": 1769850902, "exp": 1769851802
	}`, string(body))
}

func TestIssueRefusesAnIncompletePrincipal(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Principal){
		"user":         func(p *Principal) { p.User = domain.UserID{} },
		"organization": func(p *Principal) { p.Organization = domain.OrganizationID{} },
		"session":      func(p *Principal) { p.Session = domain.SessionID{} },
		"role":         func(p *Principal) { p.Role = "OWNER" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := testPrincipal
			spoil(&p)
			_, err := newIssuer(0).Issue(p)
			require.Error(t, err)
		})
	}
}

// An Issuer whose key was forgotten must not sign with the empty one, which
// everybody knows.
func TestIssuerWithoutKey(t *testing.T) {
	t.Parallel()
	i := newIssuer(0)
	i.Key = nil
	_, err := i.Issue(testPrincipal)
	require.Error(t, err)

	_, err = i.Authenticate(t.Context(), sign(t, jwt.SigningMethodHS256, []byte{}, claimsOf(nil)))
	require.ErrorIs(t, err, ErrTokenInvalid)
}

func TestTokenExpires(t *testing.T) {
	t.Parallel()
	token := issue(t, testPrincipal)
	_, err := newIssuer(15*time.Minute-time.Second).Authenticate(t.Context(), token)
	require.NoError(t, err)
	_, err = newIssuer(15*time.Minute).Authenticate(t.Context(), token)
	require.ErrorIs(t, err, ErrTokenExpired)

	// Another node's clock may be behind the one that issued.
	_, err = newIssuer(-time.Minute).Authenticate(t.Context(), token)
	require.NoError(t, err)
}

func TestAuthenticateRefuses(t *testing.T) {
	t.Parallel()
	key := newIssuer(0).Key
	good := issue(t, testPrincipal)
	header, rest, _ := strings.Cut(good, ".")
	body, signature, _ := strings.Cut(rest, ".")
	expired := claimsOf(jwt.MapClaims{"exp": testNow.Add(-time.Hour).Unix()})

	for name, token := range map[string]string{
		"empty":                  "",
		"dots":                   "..",
		"garbage":                "not a token",
		"too long":               good + strings.Repeat("A", maxTokenLen),
		"alg none":               sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claimsOf(nil)),
		"alg HS384":              sign(t, jwt.SigningMethodHS384, key, claimsOf(nil)),
		"alg HS512":              sign(t, jwt.SigningMethodHS512, key, claimsOf(nil)),
		"another key":            sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("k", 32)), claimsOf(nil)),
		"another key, expired":   sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("k", 32)), expired),
		"the secret, not a key":  sign(t, jwt.SigningMethodHS256, []byte("secret of the tests"), claimsOf(nil)),
		"no signature":           header + "." + body + ".",
		"signature of the other": header + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"me"}`)) + "." + signature,
		"stray bits":             strayBits(good),
		"padding":                good + "=",
		"white space":            good + "\n",
		"no exp":                 sign(t, jwt.SigningMethodHS256, key, claimsOf(jwt.MapClaims{"exp": nil})),
		"no iat":                 sign(t, jwt.SigningMethodHS256, key, claimsOf(jwt.MapClaims{"iat": nil})),
		"no sub":                 sign(t, jwt.SigningMethodHS256, key, claimsOf(jwt.MapClaims{"sub": nil})),
		"sub is no id":           sign(t, jwt.SigningMethodHS256, key, claimsOf(jwt.MapClaims{"sub": "admin"})),
		"no org":                 sign(t, jwt.SigningMethodHS256, key, claimsOf(jwt.MapClaims{"org": nil})),
		"no sid":                 sign(t, jwt.SigningMethodHS256, key, claimsOf(jwt.MapClaims{"sid": nil})),
		"no role":                sign(t, jwt.SigningMethodHS256, key, claimsOf(jwt.MapClaims{"role": nil})),
		"unknown role":           sign(t, jwt.SigningMethodHS256, key, claimsOf(jwt.MapClaims{"role": "ROOT"})),
		"org of another type":    sign(t, jwt.SigningMethodHS256, key, claimsOf(jwt.MapClaims{"org": 7})),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := newIssuer(0).Authenticate(t.Context(), token)
			require.ErrorIs(t, err, ErrTokenInvalid)
			require.Equal(t, Principal{}, got)
		})
	}
}

// strayBits changes the bits of a token's last character that the signature
// doesn't use: 32 bytes are 43 characters of 6 bits, two bits too many.
func strayBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last^1])
}

func TestRevokedHasTheLastWord(t *testing.T) {
	t.Parallel()
	token := issue(t, testPrincipal)
	i := newIssuer(time.Minute)
	calls := 0
	revoked := false
	i.Revoked = func(p Principal) bool {
		calls++
		require.Equal(t, testPrincipal, p)
		return revoked
	}
	_, err := i.Authenticate(t.Context(), token)
	require.NoError(t, err)
	revoked = true
	_, err = i.Authenticate(t.Context(), token)
	require.ErrorIs(t, err, ErrTokenRevoked)

	_, err = i.Authenticate(t.Context(), strayBits(token))
	require.ErrorIs(t, err, ErrTokenInvalid)
	require.Equal(t, 2, calls, "it is asked only about tokens that are ours")
}

func TestPrincipalTravelsInTheContext(t *testing.T) {
	t.Parallel()
	_, ok := FromContext(t.Context())
	require.False(t, ok)
	got, ok := FromContext(WithPrincipal(t.Context(), testPrincipal))
	require.True(t, ok)
	require.Equal(t, testPrincipal, got)
}

// FuzzAuthenticate: whatever a stranger presents, nothing panics and nothing
// passes but the one token that was signed.
func FuzzAuthenticate(f *testing.F) {
	i := newIssuer(0)
	good := issue(f, testPrincipal)
	f.Add(good)
	f.Add(strayBits(good))
	f.Add(sign(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claimsOf(nil)))
	f.Add(sign(f, jwt.SigningMethodHS512, i.Key, claimsOf(nil)))
	f.Add(sign(f, jwt.SigningMethodHS256, []byte(strings.Repeat("k", 32)), claimsOf(nil)))
	f.Add("eyJhbGciOiJIUzI1NiJ9.e30.")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		p, err := i.Authenticate(context.Background(), token)
		if token == good {
			require.NoError(t, err)
			require.Equal(t, testPrincipal, p)
			return
		}
		require.ErrorIs(t, err, ErrTokenInvalid)
		require.Equal(t, Principal{}, p)
	})
}
