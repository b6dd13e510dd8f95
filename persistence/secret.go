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
	current  sealingKey
	previous []sealingKey // open only
}

// sealingKey is a key with its name.
type sealingKey struct {
	aead   cipher.AEAD
	prefix string // everything before the ciphertext
}

// NewSealer makes a sealer that seals with key, and opens what was sealed with
// it or one of the previous ones. A key has 32 bytes and is used for nothing
// else.
func NewSealer(key []byte, previous ...[]byte) (*Sealer, error) {
	current, err := newSealingKey(key)
	if err != nil {
		return nil, err
	}
	s := &Sealer{current: current}
	for _, key := range previous {
		former, err := newSealingKey(key)
		if err != nil {
			return nil, err
		}
		s.previous = append(s.previous, former)
	}
	return s, nil
}

func newSealingKey(key []byte) (sealingKey, error) {
	if len(key) != 32 {
		return sealingKey{}, fmt.Errorf("sealing key has %d bytes, want 32", len(key))
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return sealingKey{}, fmt.Errorf("sealing key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return sealingKey{}, fmt.Errorf("sealing key: %w", err)
	}
	// The key's name tells a changed AUTH_SECRET from a damaged value.
	name := sha256.Sum256(append([]byte("chatopshub sealing key id\x00"), key...))
	return sealingKey{aead: aead, prefix: "sealed.1." + hex.EncodeToString(name[:4]) + "."}, nil
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
	sealed := s.current.aead.Seal(nil, nil, []byte(secret), binding(channel, field))
	return s.current.prefix + base64.RawURLEncoding.EncodeToString(sealed)
}

// Open gives back what Seal was given, or ErrOtherKey or ErrDamaged.
func (s *Sealer) Open(channel domain.ChannelID, field, sealed string) (string, error) {
	refuse := func(why error) (string, error) {
		return "", fmt.Errorf("open %s of channel %s: %w", field, channel, why)
	}
	key, text, ours := s.keyOf(sealed)
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
	secret, err := key.aead.Open(nil, nil, raw, binding(channel, field))
	if err != nil {
		return refuse(ErrDamaged)
	}
	return string(secret), nil
}

// keyOf is the key that a secret was sealed with, and the ciphertext.
func (s *Sealer) keyOf(sealed string) (key sealingKey, text string, ours bool) {
	if text, ours := strings.CutPrefix(sealed, s.current.prefix); ours {
		return s.current, text, true
	}
	for _, key := range s.previous {
		if text, ours := strings.CutPrefix(sealed, key.prefix); ours {
			return key, text, true
		}
	}
	return sealingKey{}, "", false
}

// Renew seals a secret anew that was sealed with a previous key; nil when there
// is none, or when the current one sealed it. Its errors are those of Open.
func (s *Sealer) Renew(channel domain.ChannelID, field string, sealed *string) (*string, error) {
	if sealed == nil || strings.HasPrefix(*sealed, s.current.prefix) {
		return nil, nil
	}
	secret, err := s.Open(channel, field, *sealed)
	if err != nil {
		return nil, err
	}
	renewed := s.Seal(channel, field, secret)
	return &renewed, nil
}

// binding is the associated data: what a sealed secret belongs to.
func binding(channel domain.ChannelID, field string) []byte {
	return append(channel[:], field...)
}
