package auth_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

func newLinks(now *time.Time) *auth.FileLinks {
	return &auth.FileLinks{
		Key: auth.DeriveKey([]byte("secret"), auth.FileLinkLabel), Base: "https://inbox.example.com", Now: func() time.Time { return *now },
	}
}

func parameters(t testing.TB, link string) (expires, signature string) {
	t.Helper()
	u, err := url.Parse(link)
	require.NoError(t, err)
	return u.Query().Get(auth.FileLinkExpires), u.Query().Get(auth.FileLinkSignature)
}

func TestALinkIsGoodForItsFileAndTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 2, 10, 7, 13, 0, time.UTC)
	links, file := newLinks(&now), domain.AttachmentID(uuid.New())
	link := links.Link(file, time.Hour)
	require.True(t, strings.HasPrefix(link, "https://inbox.example.com/api/attachments/"+file.String()+"?expires="), link)
	expires, signature := parameters(t, link)
	require.NoError(t, links.Check(file, expires, signature))

	now = now.Add(10 * time.Minute)
	require.Equal(t, link, links.Link(file, time.Hour), "the same one, for caches")
	now = now.Add(50 * time.Minute)
	require.NoError(t, links.Check(file, expires, signature), "good for the hour that was promised")
	now = now.Add(30 * time.Minute)
	require.ErrorIs(t, links.Check(file, expires, signature), auth.ErrLinkExpired)
	require.NotEqual(t, link, links.Link(file, time.Hour))
}

func TestALinkCannotBeForged(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	links, file := newLinks(&now), domain.AttachmentID(uuid.New())
	expires, signature := parameters(t, links.Link(file, time.Hour))
	other := newLinks(&now)
	other.Key = auth.DeriveKey([]byte("other secret"), auth.FileLinkLabel)
	_, foreign := parameters(t, other.Link(file, time.Hour))
	for name, c := range map[string]struct {
		file               domain.AttachmentID
		expires, signature string
	}{
		"another file":    {domain.AttachmentID(uuid.New()), expires, signature},
		"a later end":     {file, "9999999999", signature},
		"another key":     {file, expires, foreign},
		"none":            {file, "", ""},
		"no signature":    {file, expires, ""},
		"cut off":         {file, expires, signature[:20]},
		"longer":          {file, expires, signature + "AAAA"},
		"padded":          {file, expires, signature + "="},
		"another bit":     {file, expires, "A" + signature[1:]},
		"a plus sign":     {file, "+" + expires, signature},
		"leading zeros":   {file, "0" + expires, signature},
		"not a number":    {file, "soon", signature},
		"beyond integers": {file, strings.Repeat("9", 30), signature},
	} {
		if c.signature == signature && name == "another bit" {
			continue // it began with an A
		}
		require.ErrorIs(t, links.Check(c.file, c.expires, c.signature), auth.ErrLinkInvalid, name)
	}
}

// FuzzFileLink looks for parameters that are taken though we didn't make them.
func FuzzFileLink(f *testing.F) {
	now := time.Date(2026, 11, 2, 10, 0, 0, 0, time.UTC)
	links, file := newLinks(&now), domain.AttachmentID(uuid.MustParse("019c13a5-6f4b-7000-8000-000000000001"))
	expires, signature := parameters(f, links.Link(file, time.Hour))
	f.Add(expires, signature)
	f.Add("", "")
	f.Add("-1", signature)
	f.Add(" "+expires, signature+"\n")
	f.Fuzz(func(t *testing.T, e, s string) {
		if err := links.Check(file, e, s); err == nil {
			require.Equal(t, expires+signature, e+s)
		}
	})
}
