package graph

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/chatopshub/chatopshub/domain"
)

// Account is a number or page at its platform, with what a call for it needs.
type Account struct {
	Provider  domain.Provider
	ID        string // WhatsApp: phone number id; Messenger: page id
	Token     Secret
	AppSecret Secret // of the Meta app; empty: calls carry no appsecret_proof
}

// Secret is a credential. However it is printed, logged or encoded, it shows
// as [secret].
type Secret string

const concealed = "[secret]"

// String conceals the secret.
func (Secret) String() string { return concealed }

// Format conceals the secret under every verb.
func (Secret) Format(f fmt.State, _ rune) {
	_, _ = io.WriteString(f, concealed) // a fmt.State that can't be written to tells its own caller
}

// MarshalText conceals the secret in JSON and in text logs.
func (Secret) MarshalText() ([]byte, error) { return []byte(concealed), nil }

// LogValue conceals the secret in structured logs.
func (Secret) LogValue() slog.Value { return slog.StringValue(concealed) }

// sendable reports whether the secret can stand in a header.
func (s Secret) sendable() bool {
	return s != "" && !strings.ContainsFunc(string(s), func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// scrub takes the account's secrets out of what the platform says: Meta quotes
// a malformed token in full.
func (a Account) scrub(text string) string {
	for _, secret := range []Secret{a.Token, a.AppSecret} {
		if secret != "" {
			text = strings.ReplaceAll(text, string(secret), concealed)
		}
	}
	return text
}
