package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// describe writes a piece as the tables of expectations do: what is as in most
// fixtures (account, time, customer) is left out.
func describe(p piece) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	switch {
	case p.broken != "":
		say("dead %s", p.broken)
	case p.Ignored != "":
		say("ignored %s", p.Ignored)
	default:
		describeEvent(say, p)
		describeCustomer(say, p)
	}
	if p.Account != "" && p.Account != fixtureNumber && p.Account != fixturePage {
		say(" @%s", p.Account)
	}
	return b.String()
}

func describeEvent(say func(string, ...any), p piece) {
	switch e := p.Event.(type) {
	case domain.CustomerMessage:
		say("message %s %q", e.Type, short(e.Body))
		describeMessage(say, e.At, e.ReplyTo, e.MediaType, e.Metadata)
		if e.Note != nil {
			say(" note %s", keys(e.Note))
		}
	case domain.BusinessEcho:
		say("echo %s %q", e.Type, short(e.Body))
		describeMessage(say, e.At, e.ReplyTo, e.MediaType, e.Metadata)
		if !e.Ours.IsZero() {
			say(" ours %s", e.Ours)
		}
	case domain.CustomerReaction:
		say("reaction %q -> %s", e.Emoji, tail(e.Target))
		describeTime(say, e.At)
	case domain.MessageEdited:
		say("edit %q -> %s", e.Body, tail(e.Target))
		if e.Number > 0 {
			say(" number %d", e.Number)
		}
		describeTime(say, e.At)
	case domain.MessageRevoked:
		say("revoke -> %s", tail(e.Target))
		describeTime(say, e.At)
	case domain.StatusReport:
		say("status %s -> %s", e.Status, tail(e.ProviderID))
		describeTime(say, e.At)
		if e.ErrorCode != "" {
			say(" error %s %q", e.ErrorCode, short(e.ErrorMessage))
		}
	case domain.Watermark:
		say("watermark %s", e.Status)
		for _, id := range e.Named {
			say(" %s", tail(id))
		}
		describeTime(say, e.UpTo)
	case domain.SystemNotice:
		say("system %q keeps %s", e.Body, keys(e.Metadata.Platform))
		describeTime(say, e.At)
	case domain.ThreadNote:
		say("note %s %s", e.Key, keys(e.Note))
		describeTime(say, e.At)
	}
}

func describeMessage(say func(string, ...any), at time.Time, replyTo, mediaType string, m domain.MessageMetadata) {
	describeTime(say, at)
	if replyTo != "" {
		say(" re %s", tail(replyTo))
	}
	if mediaType != "" {
		say(" (%s)", mediaType)
	}
	for _, f := range m.Media {
		say(" [%s", f.Kind)
		if f.ID != "" {
			say(" id %s", f.ID)
		}
		if f.URL != "" {
			say(" url")
		}
		if f.SHA256 != "" {
			say(" sum")
		}
		if f.FileName != "" {
			say(" %q", f.FileName)
		}
		say("]")
	}
	if m.Standby {
		say(" standby")
	}
	if m.Platform != nil {
		say(" keeps %s", keys(m.Platform))
	}
}

func describeTime(say func(string, ...any), at time.Time) {
	switch offset := at.Sub(fixtureTime); {
	case at.IsZero():
		say(" no time")
	case offset > 24*time.Hour || offset < -24*time.Hour:
		say(" at %s", at.Format(time.RFC3339))
	case offset != 0:
		say(" +%s", offset)
	}
}

func describeCustomer(say func(string, ...any), p piece) {
	var names []string
	for _, a := range p.Customer.Aliases {
		names = append(names, a.Value)
	}
	switch all := strings.Join(names, "+"); {
	case all == fixturePhone, p.Provider == domain.Messenger && all == fixturePSID:
	case all == fixtureUserID+"+"+fixturePhone:
		say(" by both")
	case all == fixtureUserID:
		say(" by user id")
	default:
		say(" by %s", strings.Join(names, ", "))
	}
	if p.Provider == domain.WhatsApp && p.Customer.Name != "Dana Okafor" {
		say(" named %q", p.Customer.Name)
	}
	if p.Customer.Profile != (domain.Profile{}) {
		profile, _ := json.Marshal(p.Customer.Profile)
		say(" %s", profile)
	}
}

func short(s string) string {
	if len(s) > 60 {
		return s[:40] + fmt.Sprintf("…%d", len(s))
	}
	return s
}

func tail(id string) string { return id[max(0, len(id)-10):] }

// keys names the members of an object.
func keys(raw json.RawMessage) string {
	var object map[string]any
	if json.Unmarshal(raw, &object) != nil {
		return string(raw)
	}
	names := make([]string, 0, len(object))
	for name := range object {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ",")
}

func parse(provider domain.Provider, body []byte) []piece {
	if provider == domain.Messenger {
		return parseMessenger(body, fixtureApp)
	}
	return parseWhatsApp(body)
}

func TestFixturesSayWhatTheyShould(t *testing.T) {
	t.Parallel()
	for _, set := range []struct {
		provider domain.Provider
		prefix   string
		expect   map[string][]string
	}{
		{domain.WhatsApp, "whatsapp_", expectWhatsApp},
		{domain.Messenger, "messenger_", expectMessenger},
	} {
		names := fixtures(t, set.prefix)
		require.Len(t, names, len(set.expect))
		for _, name := range names {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				expected, listed := set.expect[strings.TrimPrefix(name, set.prefix)]
				require.True(t, listed, "no expectation")
				for form, body := range wireForms(t, fixture(t, name)) {
					got := []string{}
					pieces := parse(set.provider, body)
					for i := range pieces {
						got = append(got, describe(pieces[i]))
						require.Equal(t, i, pieces[i].Position)
					}
					require.Equal(t, expected, got, form)
					checkIDs(t, pieces)
					checkOutput(t, pieces)
				}
			})
		}
	}
}

// wireForms are the same body as the file has it, and as the platforms write
// it: compact, with everything but ASCII and every slash escaped.
func wireForms(t testing.TB, body []byte) map[string][]byte {
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, body))
	var escaped []byte
	for _, r := range compact.String() {
		switch {
		case r == '/':
			escaped = append(escaped, `\/`...)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			escaped = fmt.Appendf(escaped, `\u%04x\u%04x`, high, low)
		case r > 0x7e:
			escaped = fmt.Appendf(escaped, `\u%04x`, r)
		default:
			escaped = append(escaped, byte(r))
		}
	}
	return map[string][]byte{"file": body, "compact": compact.Bytes(), "escaped": escaped}
}

// checkIDs compares the ids of messages with those of their raw elements.
func checkIDs(t *testing.T, pieces []piece) {
	for _, p := range pieces {
		var raw struct {
			ID       string               `json:"id"`
			Message  struct{ Mid string } `json:"message"`
			Postback struct{ Mid string } `json:"postback"`
		}
		switch e := p.Event.(type) {
		case domain.CustomerMessage:
			require.NoError(t, json.Unmarshal(p.Raw, &raw))
			if !strings.HasPrefix(e.ProviderID, "order:") {
				require.Equal(t, raw.ID+raw.Message.Mid+raw.Postback.Mid, e.ProviderID)
			}
		case domain.BusinessEcho:
			require.NoError(t, json.Unmarshal(p.Raw, &raw))
			require.Equal(t, raw.ID+raw.Message.Mid, e.ProviderID)
		case domain.SystemNotice:
			require.NoError(t, json.Unmarshal(p.Raw, &raw))
			require.Equal(t, raw.ID, e.ProviderID)
		}
	}
}
