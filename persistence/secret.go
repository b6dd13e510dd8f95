package persistence

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/chatopshub/chatopshub/domain"
)

// The secrets of a channel that are sealed, by the name of their field.
const (
	FieldAccessToken   = "accessToken"   // in channels.config
	FieldWebhookSecret = "webhookSecret" // channels.webhook_secret
)

// Sealer keeps the secrets of channels unreadable in the database: AES-256-GCM
// with a random nonce. A sealed secret opens only for the channel and field it
// was sealed for, so that copying it to another row gains nothing.
//
// The sealed form is "sealed.1.<key id>.<base64url of nonce and ciphertext>". A
// nonce of 96 random bits is safe for 2^32 secrets under one key (NIST SP
// 800-38D, 8.3).
type Sealer struct {
	aead   cipher.AEAD
	prefix string // everything before the ciphertext
}

// NewSealer makes a sealer. The key has 32 bytes and is used for nothing else.
func NewSealer(key []byte) (*Sealer, error) {
	if len(key) != 32 {
		return nil, fmt.Errorf("sealing key has %d bytes, want 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("sealing key: %w", err)
	}
	// The key's name tells a changed AUTH_SECRET from a damaged value.
	name := sha256.Sum256(append([]byte("chatopshub sealing key id\x00"), key...))
	return &Sealer{aead: aead, prefix: "sealed.1." + hex.EncodeToString(name[:4]) + "."}, nil
}

// Why a sealed secret can't be opened. The errors of Open wrap one of them and
// contain neither the secret nor the sealed form.
var (
	// ErrOtherKey is returned when it was sealed with another AUTH_SECRET.
	ErrOtherKey = errors.New("sealed with another key")
	// ErrDamaged is returned when it is no sealed secret, was changed, or was
	// sealed for another channel or field.
	ErrDamaged = errors.New("not a secret sealed for this channel and field")
)

// Seal makes secret unreadable for all but Open with the same channel and field.
func (s *Sealer) Seal(channel domain.ChannelID, field, secret string) string {
	sealed := s.aead.Seal(nil, nil, []byte(secret), binding(channel, field))
	return s.prefix + base64.RawURLEncoding.EncodeToString(sealed)
}

// Open gives back what Seal was given, or ErrOtherKey or ErrDamaged.
func (s *Sealer) Open(channel domain.ChannelID, field, sealed string) (string, error) {
	refuse := func(why error) (string, error) {
		return "", fmt.Errorf("open %s of channel %s: %w", field, channel, why)
	}
	text, ours := strings.CutPrefix(sealed, s.prefix)
	if !ours {
		if strings.HasPrefix(sealed, "sealed.1.") && strings.Count(sealed, ".") == 3 {
			return refuse(ErrOtherKey)
		}
		return refuse(ErrDamaged)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		return refuse(ErrDamaged)
	}
	secret, err := s.aead.Open(nil, nil, raw, binding(channel, field))
	if err != nil {
		return refuse(ErrDamaged)
	}
	return string(secret), nil
}

// binding is the associated data: what a sealed secret belongs to.
func binding(channel domain.ChannelID, field string) []byte {
	return append(channel[:], field...)
}
