package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newID[K any](domain.ID[K]) domain.ID[K] { return domain.ID[K](uuid.New()) }

// fixture is the API over ports that a test can make fail, behind a real HTTP
// server.
type fixture struct {
	t      testing.TB
	config Config
	url    string
	client *http.Client
	log    *syncBuffer

	issuer       *auth.Issuer
	org          domain.OrganizationID
	agent, admin domain.User
	foreigner    domain.User // of another organization
	conversation domain.ConversationID

	inbox         *fakeInbox
	conversations *fakeConversations
	users         *fakeUsers
	directory     fakeDirectory
	presences     *fakePresences
	sessions      *fakeSessions
	throttle      *fakeThrottle
	accounts      *fakeAccounts
	channels      *fakeChannels
	contacts      *fakeContacts
	letters       *fakeLetters
	figures       *fakeFigures
	persons       *fakePersons
	files         *fakeFiles
	links         *auth.FileLinks
}

var testChain = auth.RefreshChain{Key: auth.DeriveKey([]byte("a secret of the tests, not of anybody"), auth.RefreshTokenLabel)}

// newFixture starts the API; change, where given, has the last word on its
// configuration.
func newFixture(t testing.TB, change ...func(*fixture)) *fixture {
	f := &fixture{
		t: t, log: &syncBuffer{}, directory: fakeDirectory{}, presences: &fakePresences{},
		inbox: &fakeInbox{}, conversations: &fakeConversations{}, users: &fakeUsers{}, sessions: &fakeSessions{}, throttle: &fakeThrottle{}, figures: &fakeFigures{}, persons: &fakePersons{},
	}
	f.files = &fakeFiles{rows: map[domain.AttachmentID]domain.Attachment{}, content: map[domain.FileKey][]byte{}}
	f.links = &auth.FileLinks{Key: auth.DeriveKey([]byte("a secret of the tests, not of anybody"), auth.FileLinkLabel), Now: time.Now}
	f.org, f.conversation = newID(f.org), newID(f.conversation)
	f.agent = f.addUser(f.org, "Ada", domain.RoleAgent)
	f.admin = f.addUser(f.org, "Grace", domain.RoleAdmin)
	f.foreigner = f.addUser(newID(f.org), "Mallory", domain.RoleAdmin)
	row := exampleConversation()
	row.ID, row.Organization, row.Status, row.Holder, row.HolderRef = f.conversation, f.org, domain.Pending, nil, nil
	row.AssignedAt, row.LastMessage, row.WindowExpiresAt = domain.Timestamp{}, nil, domain.Timestamp{}
	f.conversations.org, f.conversations.row = f.org, row
	f.inbox.org, f.persons.org = f.org, f.org
	f.administration()
	f.issuer = &auth.Issuer{Key: auth.DeriveKey([]byte("a secret of the tests, not of anybody"), auth.AccessTokenLabel), TTL: 15 * time.Minute, Now: time.Now}
	f.config = Config{
		Inbox: f.inbox, Conversations: f.conversations, Users: f.users, Directory: f.directory, Presences: f.presences,
		Attachments: f.files, Blobs: f.files, Links: f.links,
		Sessions: f.sessions, Tokens: f.issuer, Passwords: auth.NewHasher(2), Throttle: f.throttle, Figures: f.figures, Persons: f.persons, Chain: testChain,
		Accounts: f.accounts, Relief: f.accounts, Channels: f.channels, Platforms: f.channels, Contacts: f.contacts, DeadLetters: f.letters,
		Origins: []string{"https://inbox.example.com"}, AccessTTL: 15 * time.Minute,
		Version: "test", Log: slog.New(slog.NewJSONHandler(f.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: time.Now,
	}
	for _, c := range change {
		c(f)
	}
	handler, err := New(f.config)
	require.NoError(t, err)
	f.serve(handler)
	return f
}

// serve makes the fixture talk to handler from now on.
func (f *fixture) serve(handler http.Handler) {
	server := httptest.NewServer(handler)
	f.t.Cleanup(server.Close)
	f.url, f.client = server.URL, server.Client()
	f.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
}

func (f *fixture) addUser(org domain.OrganizationID, name string, role domain.Role) domain.User {
	u := domain.User{Organization: org, Name: name, Email: strings.ToLower(name) + "@example.com", Role: role, Status: domain.UserActive}
	u.ID = newID(u.ID)
	f.directory[u.ID] = u
	return u
}

// token proves to be u.
func (f *fixture) token(u domain.User) string {
	p := auth.Principal{User: u.ID, Organization: u.Organization, Role: u.Role}
	p.Session = newID(p.Session)
	token, err := f.issuer.Issue(p)
	require.NoError(f.t, err)
	return token
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	raw    []byte
	body   map[string]any
}

func (f *fixture) request(method, path string, body io.Reader) *http.Request {
	r, err := http.NewRequestWithContext(f.t.Context(), method, f.url+path, body)
	require.NoError(f.t, err)
	return r
}

// as calls the API as u, with a JSON body unless it is empty.
func (f *fixture) as(u domain.User, method, path, body string) answer {
	r := f.request(method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+f.token(u))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	return f.send(r)
}

func (f *fixture) send(r *http.Request) answer {
	response, err := f.client.Do(r)
	require.NoError(f.t, err)
	defer response.Body.Close()
	a := answer{status: response.StatusCode, header: response.Header}
	a.raw, err = io.ReadAll(response.Body)
	require.NoError(f.t, err)
	f.fits(r, a)
	if strings.HasSuffix(a.header.Get("Content-Type"), "json") {
		require.NoError(f.t, json.Unmarshal(a.raw, &a.body), "%s", a.raw)
	}
	return a
}

// path is an operation's path with the fixture's conversation in it.
func (f *fixture) path(pattern string) string {
	return strings.NewReplacer("{agentId}", f.agent.ID.String(), "{id}", f.conversation.String(), "{name}", "swagger-ui.css").Replace(pattern)
}

// problem requires that a is a problem with status and code.
func (f *fixture) problem(a answer, status int, code string) map[string]any {
	require.Equal(f.t, status, a.status, "%s", a.raw)
	require.Equal(f.t, "application/problem+json", a.header.Get("Content-Type"))
	require.EqualValues(f.t, status, a.body["status"])
	require.Equal(f.t, code, a.body["code"])
	require.NotEmpty(f.t, a.body["title"])
	require.NotEmpty(f.t, a.header.Get("X-Request-Id"))
	return a.body
}

// fieldOf is the first field that a problem names, as "in.field".
func fieldOf(a answer) string {
	errs, _ := a.body["errors"].([]any)
	if len(errs) == 0 {
		return ""
	}
	first := errs[0].(map[string]any)
	return strings.Trim(first["in"].(string)+"."+first["field"].(string), ".")
}

type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

type fakeInbox struct {
	org  domain.OrganizationID
	do   func(ctx context.Context, cmd domain.Command) error // nil: everything succeeds
	sent domain.MessageID                                    // what a Send makes

	mu   sync.Mutex
	last domain.Command
}

func (i *fakeInbox) Do(ctx context.Context, _ domain.ConversationID, cmd domain.Command) error {
	i.mu.Lock()
	i.last = cmd
	i.mu.Unlock()
	if by, _ := domain.CallerOf(cmd); by.Organization != i.org {
		return domain.ErrNotFound
	}
	if i.do != nil {
		return i.do(ctx, cmd)
	}
	return nil
}

// Send answers the id of the newest message there is.
func (i *fakeInbox) Send(ctx context.Context, id domain.ConversationID, cmd domain.Send) (domain.MessageID, error) {
	return i.sent, i.Do(ctx, id, cmd)
}

type fakeConversations struct {
	org      domain.OrganizationID
	row      domain.ConversationView
	messages []domain.MessageView // newest first
	err      error

	mu     sync.Mutex
	filter domain.ConversationFilter
}

func (c *fakeConversations) fails(org domain.OrganizationID, id domain.ConversationID) error {
	if c.err == nil && (org != c.org || id != c.row.ID) {
		return domain.ErrNotFound
	}
	return c.err
}

func (c *fakeConversations) List(_ context.Context, org domain.OrganizationID, filter domain.ConversationFilter) ([]domain.ConversationView, domain.PageMeta, error) {
	c.mu.Lock()
	c.filter = filter
	c.mu.Unlock()
	if org != c.org || c.err != nil {
		return nil, filter.Page.Meta(0, false), c.err
	}
	return []domain.ConversationView{c.row}, filter.Page.Meta(1, false), nil
}

func (c *fakeConversations) Get(_ context.Context, org domain.OrganizationID, id domain.ConversationID) (domain.ConversationView, error) {
	if err := c.fails(org, id); err != nil {
		return domain.ConversationView{}, err
	}
	return c.row, nil
}

func (c *fakeConversations) Messages(_ context.Context, org domain.OrganizationID, id domain.ConversationID, before domain.MessageID, limit int) ([]domain.MessageView, error) {
	if err := c.fails(org, id); err != nil {
		return nil, err
	}
	var out []domain.MessageView
	for _, m := range c.messages {
		if (before.IsZero() || bytes.Compare(m.ID[:], before[:]) < 0) && len(out) < limit {
			whole := exampleMessage()
			whole.ID, whole.Body = m.ID, m.Body
			out = append(out, whole)
		}
	}
	return out, nil
}

func (c *fakeConversations) Message(_ context.Context, org domain.OrganizationID, id domain.ConversationID, message domain.MessageID) (domain.MessageView, error) {
	whole := exampleMessage()
	whole.ID, whole.Conversation = message, id
	return whole, c.fails(org, id)
}

func (c *fakeConversations) Audit(_ context.Context, org domain.OrganizationID, id domain.ConversationID, page domain.Page) ([]domain.AuditView, domain.PageMeta, error) {
	return []domain.AuditView{{Conversation: id, Seq: 1, Type: domain.AuditCreated}}, page.Meta(1, false), c.fails(org, id)
}

type fakeUsers struct {
	accounts []domain.LoginUser
	agents   []domain.AgentView
	err      error
}

func (u *fakeUsers) ByEmail(_ context.Context, email string) ([]domain.LoginUser, error) {
	var out []domain.LoginUser
	for _, a := range u.accounts {
		if strings.EqualFold(a.Email, email) {
			out = append(out, a)
		}
	}
	return out, u.err
}

func (u *fakeUsers) Agents(context.Context, domain.OrganizationID) ([]domain.AgentView, error) {
	return u.agents, u.err
}

type fakeDirectory map[domain.UserID]domain.User

func (d fakeDirectory) User(org domain.OrganizationID, id domain.UserID) (domain.User, bool) {
	u, ok := d[id]
	return u, ok && u.Organization == org
}

type fakePresences struct {
	present map[domain.UserID]domain.AgentPresence
	err     error
}

func (p *fakePresences) Snapshot(context.Context, domain.OrganizationID) (map[domain.UserID]domain.AgentPresence, error) {
	return p.present, p.err
}

type fakeSessions struct {
	mu      sync.Mutex
	started []domain.LoginSession
	used    []domain.RefreshUse
	ended   []endedSession
	renewal domain.Renewal
	err     error
}

type endedSession struct {
	user        domain.UserID
	session     domain.SessionID
	refreshHash []byte
}

func (s *fakeSessions) Refresh(_ context.Context, use domain.RefreshUse) (domain.Renewal, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used = append(s.used, use)
	if s.err == nil && s.renewal.User.IsZero() {
		return domain.Renewal{}, domain.ErrSessionOver
	}
	return s.renewal, s.err
}

func (s *fakeSessions) End(_ context.Context, user domain.UserID, session domain.SessionID, refreshHash []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = append(s.ended, endedSession{user, session, refreshHash})
	return s.err
}

// fakeThrottle counts exactly, and forgets nothing.
type fakeThrottle struct {
	mu    sync.Mutex
	taken map[string]int
}

func (f *fakeThrottle) Take(_ context.Context, key string, limit int, window time.Duration) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.taken[key] >= limit {
		return window - 1500*time.Millisecond
	}
	if f.taken == nil {
		f.taken = map[string]int{}
	}
	f.taken[key]++
	return 0
}

func (f *fakeThrottle) GiveBack(_ context.Context, key string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken[key]--
}

// counted is what is counted under each key.
func (f *fakeThrottle) counted() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.taken)
}

func (s *fakeSessions) Start(_ context.Context, session domain.LoginSession) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.started = append(s.started, session)
	return s.err
}
