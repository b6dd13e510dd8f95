package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// leaks is what no answer may show: SQL, Go's stacks, the machine's files.
var leaks = regexp.MustCompile(`(?i)goroutine \d|runtime error|\.go:\d+|panic|SQLSTATE|pq:|pgx|syntax error at|\bSELECT\b.+\bFROM\b|violates .+ constraint|/usr/|/root/|/home/|/tmp/|127\.0\.0\.1:\d+`)

// TestHostileRequests sends requests to every operation of the document that
// the server serves, each field and parameter of the right kind or of a hostile
// one: no 500, no hang, no leak, and only answers that the document knows.
// HOSTILE_FOR says for how long (make fuzz); the seed is fixed.
func TestHostileRequests(t *testing.T) {
	t.Parallel()
	during := 3 * time.Second
	if text := os.Getenv("HOSTILE_FOR"); text != "" {
		var err error
		during, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "hostile-api", "9200")
	p := runProgram(t, db)
	client := testClient(t)
	client.Timeout = 20 * time.Second // beyond every deadline of the server: what takes longer hangs
	admin, other := n.agent("admin", domain.RoleAdmin), n.agent("other", domain.RoleAgent)
	awaitAgent(t, p, n, other)
	deliver(t, client, p.url(), webhooktest.WhatsAppText(n.account, webhooktest.Customer{Name: "N", Number: "4960000000"}, "first", "hi", time.Now()))
	checker := client.Transport.(*contractChecker)
	_, err := checker.readContract(t.Context(), p.url())
	require.NoError(t, err)

	h := &hostile{
		random: rand.New(rand.NewPCG(1, 2)), url: p.url(), answered: map[int]int{},
		// Each request has a session of its own, and the caller's id isn't among those
		// that are used: an attack that logs itself out finds nothing more.
		token: func() string { return n.token(admin.id, domain.RoleAdmin) },
		ids:   []string{n.conversationOf("4960000000").String(), other.id.String(), n.channel.String(), n.org.String()},
	}
	var operations []operationAt
	for path, item := range contract.document.Paths.Map() {
		for method, op := range item.Operations() {
			operations = append(operations, operationAt{method, path, op})
		}
	}
	slices.SortFunc(operations, func(a, b operationAt) int { return strings.Compare(a.method+a.path, b.method+b.path) })
	require.Greater(t, len(operations), 20)
	tried := 0
	for end := time.Now().Add(during); time.Now().Before(end) || tried < 3*len(operations); tried++ {
		h.try(t, client, operations[tried%len(operations)])
		if t.Failed() {
			return
		}
	}
	t.Logf("%d requests to %d operations: %v", tried, len(operations), h.answered)
	for _, status := range []int{http.StatusOK, http.StatusNotFound, http.StatusUnprocessableEntity, http.StatusUnauthorized} {
		require.Positive(t, h.answered[status], "they got past the first check: %d", status)
	}
	require.Equal(t, http.StatusOK, call(client, http.MethodGet, p.url()+"/readyz", "", nil).status, "it is as well as before")
}

type operationAt struct {
	method, path string
	op           *openapi3.Operation
}

// hostile makes requests. Its randomness is the seed's alone.
type hostile struct {
	random   *rand.Rand
	url      string
	token    func() string
	ids      []string    // that exist
	answered map[int]int // by status
}

func (h *hostile) try(t *testing.T, client *http.Client, at operationAt) {
	path, query := at.path, url.Values{}
	for _, ref := range at.op.Parameters {
		switch parameter := ref.Value; parameter.In {
		case openapi3.ParameterInPath:
			path = strings.ReplaceAll(path, "{"+parameter.Name+"}", url.PathEscape(h.text(parameter.Schema)))
		case openapi3.ParameterInQuery:
			for range h.random.IntN(3) {
				query.Add(parameter.Name, h.text(parameter.Schema))
			}
		}
	}
	if h.one(8) {
		query.Add(h.nasty(), h.nasty())
	}
	target := h.url + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	body, media := h.body(at.op)
	request, err := http.NewRequestWithContext(t.Context(), at.method, target, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Content-Type", media)
	if !h.one(10) {
		request.Header.Set("Authorization", "Bearer "+h.token())
	}
	request.Header.Set("Idempotency-Key", strings.Map(printable, h.nasty()))
	answer, err := client.Do(request)
	require.NoError(t, err, "%s %s", at.method, target)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	h.answered[answer.StatusCode]++
	about := fmt.Sprintf("%s %s %.300q: %d %.500s", at.method, target, body, answer.StatusCode, text)
	require.NotContains(t, []int{http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout}, answer.StatusCode, about)
	if strings.Contains(answer.Header.Get("Content-Type"), "problem") {
		require.Empty(t, leaks.FindString(string(text)), about)
	}
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return '?'
	}
	return r
}

func (h *hostile) one(in int) bool { return h.random.IntN(in) == 0 }

// body is a body for the operation and what it is said to be.
func (h *hostile) body(op *openapi3.Operation) (text, media string) {
	if op.RequestBody == nil {
		return "", "application/json"
	}
	for media, content := range op.RequestBody.Value.Content {
		switch {
		case h.one(12):
			return h.nasty(), media
		case strings.Contains(media, "json"):
			return h.json(content.Schema, 0), media
		case strings.HasPrefix(media, "multipart/"):
			return "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"" + strings.Map(printable, h.nasty()) + "\"\r\n\r\n" + h.nasty() + "\r\n--x--\r\n",
				media + "; boundary=x"
		}
		return h.nasty(), media
	}
	return "", "application/json"
}

// nasty is text that has broken somebody's server.
func (h *hostile) nasty() string {
	words := []string{
		"", " ", "\x00", "\u0000a", "'; DROP TABLE messages; --", "\\", "%", "_", "%00", "../../../etc/passwd", "<script>alert(1)</script>", "null", "NaN", "-1",
		"9223372036854775808", "1e309", "true", "[]", "{}", "\xff\xfe", "\ud7ff\uffff", "\u202e", "👩🏽‍🚀", "${jndi:ldap://x}", "{{7*7}}", "me",
		"00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff", "2026-02-30T25:61:61Z", "2026-01-31", "0001-01-01", "https://127.0.0.1/",
		"http://[::1", "a@b", strings.Repeat("A", 300), strings.Repeat("ä", 5000), strings.Repeat("[", 2000), "image/png", "\r\nX-Injected: 1",
	}
	if h.one(4) {
		raw := make([]byte, h.random.IntN(40))
		for i := range raw {
			raw[i] = byte(h.random.IntN(256))
		}
		return string(raw)
	}
	return words[h.random.IntN(len(words))]
}

// text is a value of the schema for a path or a query, or a hostile one.
func (h *hostile) text(schema *openapi3.SchemaRef) string {
	if schema == nil || schema.Value == nil || h.one(3) {
		return h.nasty()
	}
	s := schema.Value
	switch {
	case s.Type.Includes("array"):
		return h.text(s.Items)
	case len(s.Enum) > 0:
		return fmt.Sprint(s.Enum[h.random.IntN(len(s.Enum))])
	case s.Format == "uuid":
		return h.ids[h.random.IntN(len(h.ids))]
	case s.Type.Includes("integer"):
		return fmt.Sprint(h.random.IntN(200) - 20)
	}
	return h.nasty()
}

// json is a value of the schema, or a hostile one here and there.
func (h *hostile) json(ref *openapi3.SchemaRef, depth int) string {
	if ref == nil || ref.Value == nil || depth > 5 || h.one(6) {
		return h.anything()
	}
	s := ref.Value
	switch {
	case len(s.Enum) > 0:
		return fmt.Sprintf("%q", fmt.Sprint(s.Enum[h.random.IntN(len(s.Enum))]))
	case s.Type.Includes("object"):
		var fields []string
		names := make([]string, 0, len(s.Properties))
		for name := range s.Properties {
			names = append(names, name)
		}
		slices.Sort(names)
		for _, name := range names {
			if slices.Contains(s.Required, name) && !h.one(10) || h.one(2) {
				fields = append(fields, fmt.Sprintf("%q:%s", name, h.json(s.Properties[name], depth+1)))
			}
		}
		if h.one(10) {
			fields = append(fields, fmt.Sprintf(`"unknown":%s`, h.anything()))
		}
		return "{" + strings.Join(fields, ",") + "}"
	case s.Type.Includes("array"):
		items := make([]string, h.random.IntN(4))
		for i := range items {
			items[i] = h.json(s.Items, depth+1)
		}
		return "[" + strings.Join(items, ",") + "]"
	case s.Type.Includes("integer"), s.Type.Includes("number"):
		return fmt.Sprint(h.random.IntN(1000) - 100)
	case s.Type.Includes("boolean"):
		return fmt.Sprint(h.one(2))
	case s.Format == "uuid":
		return fmt.Sprintf("%q", h.ids[h.random.IntN(len(h.ids))])
	}
	return quoted(h.nasty())
}

// anything is JSON of any kind, or nearly JSON.
func (h *hostile) anything() string {
	kinds := []string{"null", "true", "-1", "1e400", "18446744073709551616", "[]", "{}", `{"a":{"b":[null]}}`, `[[[[[[]]]]]]`, `"\ud800"`, "{", ""}
	if h.one(2) {
		return quoted(h.nasty())
	}
	return kinds[h.random.IntN(len(kinds))]
}

// quoted makes a JSON string and leaves bytes that aren't UTF-8 as they are.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ':
			fmt.Fprintf(&b, `\u%04x`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
