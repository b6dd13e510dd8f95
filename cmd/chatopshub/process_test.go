package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/auth"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// What the tests' servers are told, instead of making it up.
const (
	testAuthSecret = "the secret of the end-to-end tests, long enough"
	testAppSecret  = "0123456789abcdef0123456789abcdef"
	noPlatform     = "http://127.0.0.1:1" // nobody answers there: no test calls Meta
)

// binary builds the program once for all tests that need the real one.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "chatopshub-test")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "chatopshub")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return path, nil
})

// serverProcess is the real program, running.
type serverProcess struct {
	t       testing.TB
	cmd     *exec.Cmd
	url     string
	exited  chan struct{}
	exitErr error // after exited
	stderr  *lockedBuffer
}

// lockedBuffer keeps the end of a log.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.buf.Len() > 1<<20 {
		b.buf.Reset()
	}
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startProcess runs `chatopshub serve` on a free port and returns once it
// answers.
func startProcess(t testing.TB, environ ...string) *serverProcess {
	t.Helper()
	path, err := binary()
	require.NoError(t, err)
	return startRelease(t, path, environ...)
}

// startRelease is startProcess with the program of any release.
func startRelease(t testing.TB, path string, environ ...string) *serverProcess {
	t.Helper()
	s := &serverProcess{t: t, cmd: exec.Command(path, "serve"), exited: make(chan struct{}), stderr: &lockedBuffer{}}
	s.cmd.Dir = t.TempDir()
	s.cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.cmd.Dir, "PORT=0", "DATA_DIR=" + s.cmd.Dir, "LOG_LEVEL=warn",
		"AUTH_SECRET=" + testAuthSecret, "WHATSAPP_APP_SECRET=" + testAppSecret, "MESSENGER_APP_SECRET=" + testAppSecret,
		"REQUESTS_PER_USER=0", "REQUESTS_PER_ADDRESS=0", "META_GRAPH_URL=" + noPlatform,
	}, environ...)
	s.cmd.Stderr = s.stderr
	stdout, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	go func() {
		s.exitErr = s.cmd.Wait()
		close(s.exited)
	}()
	t.Cleanup(s.kill)
	s.url = s.awaitURL(stdout)
	return s
}

func (s *serverProcess) awaitURL(stdout io.Reader) string {
	s.t.Helper()
	found := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if m := listeningAt.FindStringSubmatch(lines.Text()); m != nil {
				found <- m[1]
			}
		}
	}()
	select {
	case url := <-found:
		return url
	case <-s.exited:
		require.FailNow(s.t, "the server ended", "%v\n%s", s.exitErr, s.stderr)
	case <-time.After(60 * time.Second):
		require.FailNow(s.t, "the server didn't start", s.stderr.String())
	}
	return ""
}

// kill ends the process as a crash would, and waits until it is gone.
func (s *serverProcess) kill() {
	_ = s.cmd.Process.Kill() // it may be gone already
	<-s.exited
}

// terminate asks the process to end and returns its exit code.
func (s *serverProcess) terminate() int {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-s.exited:
	case <-time.After(40 * time.Second):
		require.FailNow(s.t, "the server didn't end", s.stderr.String())
	}
	return s.cmd.ProcessState.ExitCode()
}

// tenantRows is an organization that a test made in the database, with what it
// needs to call the server as one of its agents.
type tenantRows struct {
	t       testing.TB
	db      *persistencetest.Database
	org     domain.OrganizationID
	account string // phone number id of its channel
	channel domain.ChannelID
}

// neverDue keeps a channel from being checked while a test runs: it decides
// itself what its platform says, and how the channel is.
const neverDue = "now() + interval '1 day'"

func newTenantRows(t testing.TB, db *persistencetest.Database, slug, account string) *tenantRows {
	t.Helper()
	n := &tenantRows{t: t, db: db, org: domain.OrganizationID(entropy()), account: account, channel: domain.ChannelID(entropy())}
	n.exec(`INSERT INTO organizations (id, name, slug) VALUES ($1, $2, $2)`, n.org, slug)
	n.exec(`INSERT INTO channels (id, organization_id, provider, name, external_id, status, proved_at, checked_at)
		VALUES ($1, $2, 'WHATSAPP', $3, $3, 'ACTIVE', now(), `+neverDue+`)`, n.channel, n.org, account)
	return n
}

func (n *tenantRows) exec(query string, args ...any) {
	n.t.Helper()
	_, err := n.db.SQL.ExecContext(context.Background(), query, args...)
	require.NoError(n.t, err)
}

func (n *tenantRows) count(query string, args ...any) int {
	n.t.Helper()
	var c int
	require.NoError(n.t, n.db.SQL.QueryRowContext(context.Background(), query, args...).Scan(&c))
	return c
}

// agent makes a user and a token for one: no password is hashed.
func (n *tenantRows) agent(name string, role domain.Role) testAgent {
	n.t.Helper()
	id := domain.UserID(entropy())
	n.exec(`INSERT INTO users (id, organization_id, email, password_hash, name, role) VALUES ($1, $2, $3 || '@example.com', 'none', $3, $4)`,
		id, n.org, name, string(role))
	return testAgent{id: id, name: name, token: n.token(id, role)}
}

func (n *tenantRows) token(id domain.UserID, role domain.Role) string {
	n.t.Helper()
	return n.tokenOf(id, domain.SessionID(entropy()), role)
}

// tokenOf is an access token of that session.
func (n *tenantRows) tokenOf(id domain.UserID, session domain.SessionID, role domain.Role) string {
	n.t.Helper()
	issuer := auth.Issuer{Key: auth.DeriveKey([]byte(testAuthSecret), auth.AccessTokenLabel), TTL: time.Hour, Now: time.Now}
	token, err := issuer.Issue(auth.Principal{User: id, Organization: n.org, Session: session, Role: role})
	require.NoError(n.t, err)
	return token
}

type testAgent struct {
	id    domain.UserID
	name  string
	token string
}

// answer is what the server says to a call.
type answer struct {
	status int
	body   map[string]any
}

// call calls the server; an answer that never comes is status 0.
func call(client *http.Client, method, url, token string, body any) answer {
	var reader io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		if err != nil {
			return answer{}
		}
		reader = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, url, reader)
	if err != nil {
		return answer{}
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return answer{}
	}
	defer resp.Body.Close()
	a := answer{status: resp.StatusCode}
	if err := json.NewDecoder(resp.Body).Decode(&a.body); err != nil && resp.ContentLength != 0 {
		return answer{}
	}
	return a
}

// postWebhook posts a signed webhook; an answer that never comes is status 0.
func postWebhook(client *http.Client, url, provider, secret string, body []byte) int {
	req, err := http.NewRequest(http.MethodPost, url+webhooktest.Path(provider), bytes.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Hub-Signature-256", webhooktest.Sign(secret, body))
	resp, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return 0
	}
	return resp.StatusCode
}

// deliver posts a WhatsApp webhook as the platform does: again and again until it
// is answered 200. Anything but 200, 503 and no answer at all is a fault.
func deliver(t testing.TB, client *http.Client, url string, body []byte) {
	for begun := time.Now(); ; {
		switch status := postWebhook(client, url, "whatsapp", testAppSecret, body); {
		case status == http.StatusOK:
			return
		case status != 0 && status != http.StatusServiceUnavailable:
			t.Errorf("a webhook was answered %d", status)
			return
		case time.Since(begun) > 2*time.Minute:
			t.Errorf("a webhook was never taken")
			return
		}
	}
}

// testClient is an HTTP client with room for many calls at once.
func testClient(t testing.TB) *http.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 256}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport, Timeout: 15 * time.Second}
	if _, timed := t.(*testing.B); !timed {
		client.Transport = &contractChecker{t: t, next: transport}
	}
	return client
}

// conversationOf is the conversation that a number has with the tenant's channel.
func (n *tenantRows) conversationOf(number string) domain.ConversationID {
	return domain.ConversationIDFor(n.channel, domain.ContactIDFor(n.org, domain.WhatsApp, number))
}

// checkTrail checks that the stored conversations are whole: the audit trail of
// each is linear, and nothing is half done.
func (n *tenantRows) checkTrail() {
	n.t.Helper()
	for name, query := range map[string]string{
		"audit trails with gaps": `SELECT count(*) FROM (
			SELECT c.id FROM conversations c LEFT JOIN conversation_events e ON e.conversation_id = c.id
			GROUP BY c.id HAVING count(e.seq) <> c.event_seq OR coalesce(max(e.seq), 0) <> c.event_seq) q`,
		"messages without their audit event": `SELECT count(*) FROM messages m WHERE direction = 'INBOUND' AND NOT EXISTS (
			SELECT FROM conversation_events e WHERE e.conversation_id = m.conversation_id AND e.metadata->>'messageId' = m.id::text)`,
		"conversations that forgot their newest message": `SELECT count(*) FROM conversations c
			WHERE last_message_id IS DISTINCT FROM (SELECT m.id FROM messages m WHERE m.conversation_id = c.id ORDER BY m.id DESC LIMIT 1)`,
		"agents whose load is miscounted": `SELECT count(*) FROM users u WHERE assigned_count <>
			(SELECT count(*) FROM conversations c WHERE c.assigned_agent_id = u.id AND c.status = 'ASSIGNED')`,
		"messages stored twice": `SELECT count(*) FROM (SELECT FROM messages WHERE provider_message_id IS NOT NULL
			GROUP BY channel_id, provider_message_id HAVING count(*) > 1) q`,
		"contacts without an alias": `SELECT count(*) FROM contacts k WHERE merged_into IS NULL
			AND NOT EXISTS (SELECT FROM contact_aliases a WHERE a.contact_id = k.id)`,
		"holders that nobody accepted": `SELECT count(*) FROM conversations c WHERE status = 'ASSIGNED' AND NOT EXISTS (
			SELECT FROM conversation_events e WHERE e.conversation_id = c.id AND e.seq = c.assignment_seq
				AND e.metadata->>'agentId' = c.assigned_agent_id::text)`,
	} {
		require.Zero(n.t, n.count(query), name)
	}
}

func bodyText(a answer) string { return strings.TrimSpace(fmt.Sprint(a.body)) }
