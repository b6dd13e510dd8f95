package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"net/http"

	"github.com/chatopshub/chatopshub/domain"
)

// authenticate finds the secret that made the signature of body: one of those
// of the channels that it names, or the environment's.
func (e *endpoint) authenticate(header http.Header, body []byte) (secret []byte, ok bool) {
	signed, ok := signatureOf(e.provider, header)
	if !ok {
		return nil, false
	}
	var tried [][]byte
	for _, account := range scan(body, e.path) {
		_, own, ok := e.channels.Receiving(e.provider, account)
		if !ok || len(own) == 0 || contains(tried, own) {
			continue
		}
		if signed.fits(body, own) {
			return own, true
		}
		tried = append(tried, own)
	}
	return e.secrets.AppSecret, signed.fits(body, e.secrets.AppSecret)
}

func contains(secrets [][]byte, secret []byte) bool {
	for _, s := range secrets {
		if equal(s, secret) {
			return true
		}
	}
	return false
}

// equal compares secrets in constant time; no secret equals none.
func equal(a, b []byte) bool {
	return len(a) > 0 && subtle.ConstantTimeCompare(a, b) == 1
}

// fingerprint tells a secret from others and nothing else of it.
func fingerprint(secret []byte) string {
	if len(secret) == 0 {
		return ""
	}
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte("chatopshub dead letter")) // a hash takes everything
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// trust tells which channels the signature of one POST speaks for. A channel
// with a secret of its own is bound to that one alone: what the environment's
// secret, or another tenant's, signed about it is not believed. The others are
// bound to the environment's.
type trust struct {
	e *endpoint
	// speaks reports whether what was signed is to be believed about a channel
	// that is bound to a secret.
	speaks   func(channel domain.Channel, bound []byte) bool
	accounts map[string]verdict
}

// verdict is what is known of an account.
type verdict struct {
	channel domain.Channel // zero where the signature doesn't speak for it
	reason  string         // why not; empty: it does
}

// trusts is the trust in what secret has signed.
func (e *endpoint) trusts(secret []byte) trust {
	return trust{e: e, accounts: make(map[string]verdict, 1), speaks: func(_ domain.Channel, bound []byte) bool {
		return equal(bound, secret)
	}}
}

// trustsLetter is the trust in a dead letter: what was believed about the
// organization's channel when it came, or is signed by the very secret that the
// channel is bound to now.
func (e *endpoint) trustsLetter(letter domain.DeadLetter) trust {
	return trust{e: e, accounts: make(map[string]verdict, 1), speaks: func(channel domain.Channel, bound []byte) bool {
		if !letter.Organization.IsZero() {
			return channel.Organization == letter.Organization
		}
		return equal([]byte(fingerprint(bound)), []byte(letter.SignedBy))
	}}
}

func (t *trust) judge(account string) verdict {
	v, known := t.accounts[account]
	if !known {
		v = t.look(account)
		t.accounts[account] = v
	}
	return v
}

func (t *trust) look(account string) verdict {
	channel, own, ok := t.e.channels.Receiving(t.e.provider, account)
	bound := own
	if len(bound) == 0 {
		bound = t.e.secrets.AppSecret
	}
	switch {
	case !ok || account == "":
		return verdict{reason: reasonUnknownChannel}
	case !t.speaks(channel, bound):
		return verdict{reason: reasonUntrusted}
	}
	return verdict{channel: channel}
}
