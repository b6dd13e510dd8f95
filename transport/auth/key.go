package auth

import (
	"crypto/hkdf"
	"crypto/sha256"
	"fmt"
)

// keySize is the length of every derived key in bytes: what HS256 and AES-256
// want.
const keySize = 32

// AccessTokenLabel is the label of the key that signs access tokens.
const AccessTokenLabel = "chatopshub access token v1"

// DeriveKey makes a key of 32 bytes from the configured secret by HKDF with
// SHA-256 (RFC 5869). Another label gives an independent key. The same secret
// and label always give the same key, on every node and after every restart.
func DeriveKey(secret []byte, label string) []byte {
	key, err := hkdf.Key(sha256.New, secret, nil, label, keySize)
	if err != nil {
		// RFC 5869 fails for more than 255 hashes of output, and we ask for one.
		panic(fmt.Sprintf("auth: derive key %q: %v", label, err))
	}
	return key
}
