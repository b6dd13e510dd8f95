package webhook

import (
	"crypto/hmac"
	"crypto/sha1" // Messenger's older header is HMAC-SHA1; nobody can choose it where the newer one is there
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"net/http"
	"strings"

	"github.com/chatopshub/chatopshub/domain"
)

// The headers that a platform signs a body with.
const (
	headerSHA256 = "X-Hub-Signature-256"
	headerSHA1   = "X-Hub-Signature"
)

// signature is what a request claims: the MAC of its raw body under the secret
// of the Meta app that it came through.
type signature struct {
	mac  []byte
	hash func() hash.Hash
}

// signatureOf reads the signature of a request; false when there is none of
// the right form. The older SHA-1 counts only for Messenger, and only where it
// is the only one.
func signatureOf(provider domain.Provider, header http.Header) (signature, bool) {
	if value := header.Get(headerSHA256); value != "" {
		return readSignature(value, "sha256=", sha256.New)
	}
	if provider == domain.Messenger {
		return readSignature(header.Get(headerSHA1), "sha1=", sha1.New)
	}
	return signature{}, false
}

func readSignature(value, prefix string, newHash func() hash.Hash) (signature, bool) {
	digits, ok := strings.CutPrefix(value, prefix)
	if !ok {
		return signature{}, false
	}
	mac, err := hex.DecodeString(digits)
	if err != nil || len(mac) != newHash().Size() {
		return signature{}, false
	}
	return signature{mac: mac, hash: newHash}, true
}

// fits reports, in constant time, whether secret made the signature of body.
// No secret makes any.
func (s signature) fits(body, secret []byte) bool {
	if len(secret) == 0 {
		return false
	}
	mac := hmac.New(s.hash, secret)
	mac.Write(body)
	return hmac.Equal(s.mac, mac.Sum(nil))
}
