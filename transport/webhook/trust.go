package webhook

import (
	"crypto/subtle"
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

// trust tells which channels the signature of one POST speaks for. A channel
// with a secret of its own is bound to that one alone: what the environment's
// secret, or another tenant's, signed about it is not believed. The others are
// bound to the environment's.
type trust struct {
	e        *endpoint
	secret   []byte // what verified
	accounts map[string]verdict
}

// verdict is what is known of an account.
type verdict struct {
	channel domain.Channel // zero where the signature doesn't speak for it
	reason  string         // why not; empty: it does
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
	case !equal(bound, t.secret):
		return verdict{reason: reasonUntrusted}
	}
	return verdict{channel: channel}
}
