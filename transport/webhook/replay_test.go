package webhook

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// kept posts a fixture of WhatsApp, signed with secret, and returns the one
// letter that came of it.
func (b *bench) kept(t *testing.T, name string, secret []byte) domain.DeadLetter {
	t.Helper()
	answer := b.post(domain.WhatsApp, fixture(t, name), secret)
	require.Equal(t, http.StatusOK, answer.Code)
	require.Len(t, b.letters, 1)
	return b.letters[0]
}

func TestALetterIsTakenWhenItsChannelIsThere(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	letter := b.kept(t, "whatsapp_text", appSecret)
	require.Equal(t, reasonUnknownChannel, letter.Reason)
	require.Empty(t, b.got)

	var refused *domain.ReplayError
	require.ErrorAs(t, b.handler.Replay(t.Context(), letter), &refused)
	require.Equal(t, reasonUnknownChannel, refused.Reason)
	require.Len(t, b.letters, 1, "a replay keeps no further letters")

	channel := b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
	require.NoError(t, b.handler.Replay(t.Context(), letter))
	require.Len(t, b.got, 1)
	require.Equal(t, channel, b.got[0].Channel)
	require.IsType(t, domain.CustomerMessage{}, b.got[0].Element.Event)
}

// What one tenant's secret has signed about another one's channel isn't
// believed, not even when the command line asks for it.
func TestALetterNeverReachesAnotherTenant(t *testing.T) {
	t.Parallel()
	stranger := []byte("the secret of another tenant's own Meta app")
	letter := func(change func(*domain.DeadLetter)) domain.DeadLetter {
		l := domain.DeadLetter{Provider: domain.WhatsApp, Payload: fixture(t, "whatsapp_text"), SignedBy: fingerprint(appSecret)}
		change(&l)
		return l
	}
	var ours, theirs domain.OrganizationID
	ours[0], theirs[0] = 1, 2
	cases := map[string]struct {
		letter domain.DeadLetter
		own    []byte // secret of the channel that receives now, organization 1
		reason string // empty: taken
	}{
		"signed by a stranger":               {letter(func(l *domain.DeadLetter) { l.SignedBy = fingerprint(stranger) }), nil, reasonUntrusted},
		"nobody knows who signed":            {letter(func(l *domain.DeadLetter) { l.SignedBy = "" }), nil, reasonUntrusted},
		"the channel has its own secret now": {letter(func(*domain.DeadLetter) {}), stranger, reasonUntrusted},
		"of another organization":            {letter(func(l *domain.DeadLetter) { l.Organization = theirs }), nil, reasonUntrusted},
		"of the organization":                {letter(func(l *domain.DeadLetter) { l.Organization, l.SignedBy = ours, "" }), nil, ""},
		"of it, and its secret has changed":  {letter(func(l *domain.DeadLetter) { l.Organization = ours }), stranger, ""},
		"signed by the channel's own":        {letter(func(l *domain.DeadLetter) { l.SignedBy = fingerprint(stranger) }), stranger, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, nil)
			b.channels.add(domain.WhatsApp, fixtureNumber, 1, c.own)
			err := b.handler.Replay(t.Context(), c.letter)
			if c.reason == "" {
				require.NoError(t, err)
				require.Len(t, b.got, 1)
				return
			}
			var refused *domain.ReplayError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, c.reason, refused.Reason)
			require.Empty(t, b.got)
		})
	}
}

func TestAChannelWithoutASecretIsBelievedFromNobody(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *Config) { c.WhatsApp.AppSecret = nil })
	b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
	err := b.handler.Replay(t.Context(), domain.DeadLetter{Provider: domain.WhatsApp, Payload: fixture(t, "whatsapp_text")})
	var refused *domain.ReplayError
	require.ErrorAs(t, err, &refused)
	require.Equal(t, reasonUntrusted, refused.Reason)
}

func TestAReplayTellsWhatIsTemporary(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.channels.add(domain.WhatsApp, fixtureNumber, 1, nil)
	letter := domain.DeadLetter{Provider: domain.WhatsApp, Payload: fixture(t, "whatsapp_text"), SignedBy: fingerprint(appSecret)}
	var refused *domain.ReplayError

	b.fail = func(domain.Delivery) error { return domain.ErrUnavailable }
	err := b.handler.Replay(t.Context(), letter)
	require.ErrorIs(t, err, domain.ErrUnavailable)
	require.NotErrorAs(t, err, &refused)

	b.fail = func(domain.Delivery) error { return &domain.ValueError{Reason: "22021"} }
	require.ErrorAs(t, b.handler.Replay(t.Context(), letter), &refused)
	require.Equal(t, reasonRefused, refused.Reason)

	letter.Payload = []byte("{")
	require.ErrorAs(t, b.handler.Replay(t.Context(), letter), &refused)
	require.Equal(t, reasonMalformed, refused.Reason)
	letter.Provider, letter.Payload = domain.Messenger, nil
	require.ErrorAs(t, b.handler.Replay(t.Context(), letter), &refused)
}
