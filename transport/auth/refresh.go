package auth

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// RefreshTokenLabel is the label of the key that refresh tokens follow from each
// other by.
const RefreshTokenLabel = "chatopshub refresh token v1"

// maxRepeats is how many tokens Find follows. Within the leeway in which a spent
// token is good for a repeat, nobody who means well has spent so many more.
const maxRepeats = 100

// RefreshChain makes the refresh tokens of a session: the first at random, each
// further one computed from the one before. So every node answers the repeat of
// an exchange with the same token, and none has to keep it: of a token only
// HashRefresh is stored. Without the key no token tells the next.
type RefreshChain struct {
	// Key has 32 bytes, by DeriveKey with RefreshTokenLabel.
	Key []byte
}

// First is a new token, 43 characters.
func (RefreshChain) First() string {
	secret := make([]byte, sha256.Size)
	rand.Read(secret) // crypto/rand never fails: it ends the process instead
	return base64.RawURLEncoding.EncodeToString(secret)
}

// Next is the token that follows token.
func (c RefreshChain) Next(token string) string {
	mac := hmac.New(sha256.New, c.Key)
	mac.Write([]byte(token))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// Find is the token behind token that has the hash; false when there is none
// nearby, which is so when another key made it.
func (c RefreshChain) Find(token string, hash []byte) (string, bool) {
	for range maxRepeats {
		token = c.Next(token)
		if bytes.Equal(HashRefresh(token), hash) {
			return token, true
		}
	}
	return "", false
}

// HashRefresh is what is kept of a refresh token. Tokens have 256 random bits:
// a fast hash without salt is enough.
func HashRefresh(token string) []byte {
	hash := sha256.Sum256([]byte(token))
	return hash[:]
}
