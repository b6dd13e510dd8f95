package webhook

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The bounds of what is taken from an element.
const (
	// MaxText bounds a message's body, in bytes: 64 Ki characters of any
	// script. WhatsApp allows 4,096 characters, Messenger 2,000.
	MaxText = 256 << 10

	maxID    = 1024     // bytes of an id; PostgreSQL indexes at most 2,704
	maxAlias = 256      // bytes of an alias; user ids have up to 131
	maxName  = 256      // code points of a profile's name
	maxLine  = 1024     // code points of an error's text and other single lines
	maxEmoji = 64       // bytes of a reaction; the longest emoji sequences have 35
	maxURL   = 4096     // bytes of a media URL
	maxKept  = 32 << 10 // bytes of one kept part of an element
	maxDepth = 32       // its depth
	maxDigit = 64       // its numbers' length; jsonb refuses 1e200000
	maxMedia = 64       // files of one message
	maxNamed = 1000     // messages that one receipt names
)

// cleanText makes s what PostgreSQL takes: invalid UTF-8 becomes U+FFFD, NUL
// goes.
func cleanText(s string) string {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "")
	}
	return s
}

// cutBytes is the longest part of s, from its beginning, of at most limit bytes
// that ends with a whole code point.
func cutBytes(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// line is s as one line of at most limit code points: control characters
// become spaces, those that turn the direction of writing go.
func line(s string, limit int) string {
	plain := strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Bidi_Control, r):
			return -1
		case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
			return ' '
		}
		return r
	}, cutBytes(s, limit*utf8.UTFMax))
	plain = strings.TrimSpace(plain)
	if utf8.RuneCountInString(plain) > limit {
		plain = strings.TrimSpace(string([]rune(plain)[:limit]))
	}
	return plain
}

// mediaURL is url if it is one that a platform's media could have; else empty.
// It is only kept here. Who fetches it decides about hosts.
func mediaURL(url string) string {
	bad := func(r rune) bool { return r <= ' ' || r == '\u007f' || r == utf8.RuneError }
	if len(url) > maxURL || !strings.HasPrefix(url, "https://") || strings.ContainsFunc(url, bad) {
		return ""
	}
	return url
}

// cleanJSON is a part of an element as PostgreSQL's jsonb takes it: no NUL, no
// half of a surrogate pair, no number that it couldn't hold, bounded in size
// and depth. A note stands where something was too much. raw is valid JSON.
func cleanJSON(raw []byte) json.RawMessage {
	if len(raw) > maxKept {
		return leftOut(fmt.Sprintf("%d bytes", len(raw)))
	}
	if harmless(raw) {
		return raw
	}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil {
		return leftOut("unreadable")
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(cleanValue(v, 0)); err != nil {
		return leftOut("unreadable")
	}
	return bytes.TrimRight(out.Bytes(), "\n")
}

func leftOut(why string) json.RawMessage { return json.RawMessage(`"left out: ` + why + `"`) }

// harmless reports whether raw can stay as it is; a false alarm costs only
// time.
func harmless(raw []byte) bool {
	if !utf8.Valid(raw) || bytes.Contains(raw, []byte(`\u`)) {
		return false
	}
	depth, digits := 0, 0
	for _, c := range raw {
		switch {
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case '0' <= c && c <= '9':
			digits++
			if digits > maxDigit {
				return false
			}
			continue
		case (c == 'e' || c == 'E') && digits > 0:
			return false
		case c == '.' && digits > 0:
			continue
		}
		if depth > maxDepth {
			return false
		}
		digits = 0
	}
	return true
}

func cleanValue(v any, depth int) any {
	switch v := v.(type) {
	case string:
		return cleanText(v)
	case json.Number:
		if len(v) > maxDigit || strings.ContainsAny(string(v), "eE") {
			return cutBytes(string(v), maxDigit)
		}
		return v
	case []any:
		if depth >= maxDepth {
			return "left out: too deep"
		}
		for i := range v {
			v[i] = cleanValue(v[i], depth+1)
		}
		return v
	case map[string]any:
		if depth >= maxDepth {
			return "left out: too deep"
		}
		clean := make(map[string]any, len(v))
		for key, value := range v {
			clean[cleanText(key)] = cleanValue(value, depth+1)
		}
		return clean
	}
	return v
}

// keeper gathers the parts of an element that its message keeps beside its
// columns, as one JSON object.
type keeper struct{ object []byte }

// raw keeps a part as the platform wrote it; nothing when it is absent or null.
func (k *keeper) raw(key string, part json.RawMessage) {
	if len(part) == 0 || string(part) == "null" {
		return
	}
	k.put(key, cleanJSON(part))
}

// text keeps a string; nothing when it is empty.
func (k *keeper) text(key, value string) {
	if value == "" {
		return
	}
	quoted, err := json.Marshal(cutBytes(value, maxKept))
	if err != nil {
		return // a string always is JSON
	}
	k.put(key, quoted)
}

func (k *keeper) put(key string, value json.RawMessage) {
	if k.object == nil {
		k.object = append(k.object, '{')
	} else {
		k.object[len(k.object)-1] = ','
	}
	k.object = append(k.object, '"')
	k.object = append(k.object, key...)
	k.object = append(k.object, '"', ':')
	k.object = append(k.object, value...)
	k.object = append(k.object, '}')
}

// kept is what was gathered; nil when there is nothing.
func (k *keeper) kept() json.RawMessage { return k.object }
