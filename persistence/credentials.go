package persistence

import (
	"fmt"

	"github.com/chatopshub/chatopshub/domain"
)

// Credentials is a channel with its access token, for calls to the platform.
// domain.ErrNotFound when there is no such channel. A *domain.CallError of
// class FailureChannel when the token is missing or can't be read: no call can
// be made until the channel gets another one.
//
// It is answered from memory, where the token is kept as sealed as in the
// database: opening it costs less than a microsecond, so nothing is gained by
// keeping it open.
func (r *Registry) Credentials(id domain.ChannelID) (domain.Credentials, error) {
	ch := r.current.Load().channel(id)
	if ch == nil {
		return domain.Credentials{}, fmt.Errorf("credentials of channel %s: %w", id, domain.ErrNotFound)
	}
	if ch.sealedToken == "" {
		return domain.Credentials{}, noToken("the channel has no access token", nil)
	}
	token, err := r.sealer.Open(id, FieldAccessToken, ch.sealedToken)
	if err != nil {
		return domain.Credentials{}, noToken("the channel's access token can't be read; set it again", err)
	}
	return domain.Credentials{Channel: ch.Channel, Token: domain.AccessToken(token)}, nil
}

func noToken(text string, cause error) error {
	return &domain.CallError{Class: domain.FailureChannel, Code: domain.CallUnsendable, Text: text, Cause: cause}
}
