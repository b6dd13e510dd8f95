package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// checkOutput checks what is promised of every piece, whatever came in: valid
// UTF-8 without NUL, raw parts that jsonb takes, everything bounded, and that
// each piece is exactly one of element, counted, or dead.
func checkOutput(t testing.TB, pieces []piece) {
	t.Helper()
	require.LessOrEqual(t, len(pieces), MaxElements+64) // and a few that hold what is left over
	for i := range pieces {
		p := &pieces[i]
		states := 0
		for _, state := range []bool{p.Event != nil, p.Ignored != "", p.broken != ""} {
			if state {
				states++
			}
		}
		require.Equal(t, 1, states, "%+v", p)
		require.NotEqual(t, reasonPanic, p.broken, "%s", p.trace)
		checkValue(t, reflect.ValueOf(p.Customer))
		if p.Event != nil {
			checkValue(t, reflect.ValueOf(p.Event))
			checkEvent(t, p)
		}
		require.LessOrEqual(t, len(p.Account), maxAlias)
		if p.broken != "" && utf8.Valid(p.Raw) && json.Valid(p.Raw) {
			require.True(t, json.Valid(p.payload()), "%s", p.payload())
		}
	}
}

func checkEvent(t testing.TB, p *piece) {
	switch e := p.Event.(type) {
	case domain.CustomerMessage:
		require.NotEmpty(t, p.Customer.Aliases)
		require.NotEmpty(t, e.Type)
		checkMessage(t, e.ProviderID, e.Body, e.Metadata)
	case domain.BusinessEcho:
		require.NotEmpty(t, p.Customer.Aliases)
		require.NotEmpty(t, e.Type)
		checkMessage(t, e.ProviderID, e.Body, e.Metadata)
	case domain.CustomerReaction:
		require.NotEmpty(t, e.Target)
	case domain.MessageEdited:
		require.NotEmpty(t, e.Target)
	case domain.MessageRevoked:
		require.NotEmpty(t, e.Target)
	case domain.Watermark:
		require.LessOrEqual(t, len(e.Named), maxNamed)
	}
}

func checkMessage(t testing.TB, id, body string, m domain.MessageMetadata) {
	require.NotEmpty(t, id)
	require.LessOrEqual(t, len(id), maxID)
	require.LessOrEqual(t, len(body), MaxText)
	require.LessOrEqual(t, len(m.Media), maxMedia)
	require.Less(t, len(m.Platform), 8*maxKept)
	if m.Platform != nil {
		require.Equal(t, byte('{'), m.Platform[0])
	}
	_, err := json.Marshal(m)
	require.NoError(t, err)
}

// checkValue walks over everything exported that is in v.
func checkValue(t testing.TB, v reflect.Value) {
	switch v.Kind() {
	case reflect.String:
		require.True(t, storable(v.String()), "%q", v.String())
		require.LessOrEqual(t, v.Len(), MaxText)
	case reflect.Slice:
		if raw, ok := v.Interface().(json.RawMessage); ok {
			checkRaw(t, raw)
			return
		}
		for i := range v.Len() {
			checkValue(t, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				checkValue(t, v.Field(i))
			}
		}
	}
}

func storable(s string) bool { return utf8.ValidString(s) && !bytes.ContainsRune([]byte(s), 0) }

func checkRaw(t testing.TB, raw json.RawMessage) {
	if raw == nil {
		return
	}
	require.True(t, utf8.Valid(raw))
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	require.NoError(t, decoder.Decode(&v), "%s", raw)
	checkAny(t, v, 0)
	require.False(t, halfPair(raw), "%s", raw)
}

// halfPair reports whether raw escapes half of a surrogate pair, which the
// decoder mends silently and jsonb refuses.
func halfPair(raw []byte) bool {
	for i := 0; i+5 < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		var r rune
		if raw[i+1] == 'u' {
			if _, err := fmt.Sscanf(string(raw[i+2:i+6]), "%04x", &r); err == nil && 0xd800 <= r && r <= 0xdfff {
				return true // what we write ourselves has no escaped pairs at all
			}
		}
		i++
	}
	return false
}

func checkAny(t testing.TB, v any, depth int) {
	require.LessOrEqual(t, depth, maxDepth+2)
	switch v := v.(type) {
	case string:
		require.True(t, storable(v), "%q", v)
	case json.Number:
		require.LessOrEqual(t, len(v), 2*maxDigit+2)
		require.NotContains(t, string(v), "e")
		require.NotContains(t, string(v), "E")
	case []any:
		for _, one := range v {
			checkAny(t, one, depth+1)
		}
	case map[string]any:
		for key, one := range v {
			require.True(t, storable(key), "%q", key)
			checkAny(t, one, depth+1)
		}
	}
}

func seed(f *testing.F, prefix string) {
	for _, name := range fixtures(f, prefix) {
		f.Add(fixture(f, name))
	}
	for _, body := range hostile() {
		f.Add(body)
	}
}

func FuzzWhatsApp(f *testing.F) {
	seed(f, "whatsapp_")
	f.Fuzz(func(t *testing.T, body []byte) {
		pieces := parseWhatsApp(body)
		checkOutput(t, pieces)
		checkReplay(t, domain.WhatsApp, pieces)
	})
}

func FuzzMessenger(f *testing.F) {
	seed(f, "messenger_")
	f.Fuzz(func(t *testing.T, body []byte) {
		pieces := parseMessenger(body, "")
		checkOutput(t, pieces)
		checkReplay(t, domain.Messenger, pieces)
	})
}

// checkReplay posts the payload that a dead letter of each element would have:
// it is the same element again. A change that is kept whole holds others too.
func checkReplay(t testing.TB, provider domain.Provider, pieces []piece) {
	for i := range pieces[:min(len(pieces), 20)] {
		p := &pieces[i]
		if p.wrap == nil || !utf8.Valid(p.Raw) || p.Ignored != "" || p.broken == reasonMalformed {
			continue
		}
		var again []piece
		if provider == domain.WhatsApp {
			again = parseWhatsApp(p.payload())
		} else {
			again = parseMessenger(p.payload(), "")
		}
		require.NotEmpty(t, again, "%s", p.payload())
		require.Equal(t, p.broken, again[0].broken, "%s", p.payload())
		require.Equal(t, p.Ignored, again[0].Ignored, "%s", p.payload())
		require.Equal(t, reflect.TypeOf(p.Event), reflect.TypeOf(again[0].Event), "%s", p.payload())
	}
}

func FuzzScan(f *testing.F) {
	seed(f, "whatsapp_")
	seed(f, "messenger_")
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, path := range [][]string{pathWhatsApp, pathMessenger} {
			found := scan(body, path)
			require.LessOrEqual(t, len(found), scanAccounts)
			for _, id := range found {
				require.NotEmpty(t, id)
				require.LessOrEqual(t, len(id), scanLength)
				require.True(t, bytes.Contains(body, []byte(id)))
			}
		}
	})
}
