package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lxzan/gws"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// follower is an agent's page: a socket to some node, and to another one when
// that is lost. What it has heard is in stretches: within one nothing is
// missing; after each it fetched again what it shows, as it was told.
type follower struct {
	fleet *fleet
	agent testAgent
	r     *rand.Rand

	connects, recovered, resyncs atomic.Int32

	mu        sync.Mutex
	stretches [][]heard
	refetch   time.Time // when the client fetches; zero: it needn't
	offset    string    // of the last event
	pid       string
}

// heard is an event of one conversation's assignment.
type heard struct {
	conversation domain.ConversationID
	text         string
	at           time.Time
}

// refetchAfter is how long after a resync these clients fetch: at some moment
// within the time that it gives them.
const refetchAfter = time.Second

// follow opens sockets of count agents, until the test ends.
func follow(f *fleet, n *tenantRows, r *rand.Rand, count int) followers {
	f.t.Helper()
	var all followers
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	f.t.Cleanup(func() {
		stop()
		running.Wait()
	})
	client := clusterClient(f.t)
	for i := range count {
		fo := &follower{fleet: f, agent: n.agent(fmt.Sprint("follower", i), domain.RoleAgent), r: rand.New(rand.NewPCG(r.Uint64(), 0))}
		for _, node := range f.all() {
			awaitUsers(f.t, client, node, []testAgent{fo.agent})
		}
		running.Go(func() { fo.run(ctx) })
		all = append(all, fo)
	}
	for _, fo := range all {
		require.Eventually(f.t, func() bool { return fo.connects.Load() > 0 }, 15*time.Second, 5*time.Millisecond)
	}
	return all
}

// run keeps a socket open.
func (fo *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		if node, url := fo.fleet.pick(fo.r); node != nil {
			if conn, err := fo.connect(url); err == nil {
				fo.stay(ctx, node, conn)
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// connect opens a socket, shows what the client has, and takes note of whether
// that was enough to be given what was missed.
func (fo *follower) connect(url string) (*followerSocket, error) {
	c := &followerSocket{follower: fo, greeted: make(chan struct{}), closed: make(chan struct{})}
	conn, _, err := gws.NewClient(c, &gws.ClientOption{
		Addr: strings.Replace(url, "http://", "ws://", 1) + "/socket.io/?EIO=4&transport=websocket", HandshakeTimeout: attemptPatience,
	})
	if err != nil {
		return nil, err
	}
	c.conn = conn
	go conn.ReadLoop()
	fo.mu.Lock()
	shown, err := json.Marshal(map[string]string{"token": fo.agent.token, "pid": fo.pid, "offset": fo.offset})
	fo.mu.Unlock()
	if err == nil {
		err = conn.WriteString("40" + string(shown))
	}
	if err == nil {
		select {
		case <-c.greeted:
			return c, nil
		case <-c.closed:
		case <-time.After(attemptPatience):
		}
		err = errors.New("not greeted")
	}
	c.hangUp()
	return nil, err
}

// stay returns when the socket is lost, or when the balancer has long found its
// node dead: then it closes what leads there.
func (fo *follower) stay(ctx context.Context, n *fleetNode, c *followerSocket) {
	defer c.hangUp()
	dead := 0
	for dead < 20 {
		select {
		case <-ctx.Done():
			return
		case <-c.closed:
			return
		case <-time.After(checkEvery):
		}
		if n.ready.Load() {
			dead = 0
		} else {
			dead++
		}
	}
}

// followerSocket is one socket of a follower.
type followerSocket struct {
	gws.BuiltinEventHandler
	follower *follower
	conn     *gws.Conn
	once     sync.Once
	greeted  chan struct{}
	closed   chan struct{}
}

func (c *followerSocket) hangUp() {
	_ = c.conn.NetConn().Close() // the server may have closed it
	<-c.closed
}

// OnClose implements gws.Event.
func (c *followerSocket) OnClose(*gws.Conn, error) { c.once.Do(func() { close(c.closed) }) }

// OnMessage implements gws.Event.
func (c *followerSocket) OnMessage(conn *gws.Conn, message *gws.Message) {
	defer message.Close()
	fo := c.follower
	fo.mu.Lock()
	defer fo.mu.Unlock()
	switch packet := message.Data.String(); {
	case packet == "2":
		_ = conn.WriteString("3") // a broken connection shows in OnClose
	case strings.HasPrefix(packet, "40{"):
		fo.greet(packet[2:])
		close(c.greeted)
	case strings.HasPrefix(packet, "42"):
		fo.hear([]byte(packet[2:]))
	}
}

func (fo *follower) greet(text string) {
	var greeting struct{ PID string }
	if err := json.Unmarshal([]byte(text), &greeting); err != nil {
		fo.fleet.t.Errorf("a greeting: %v", err)
	}
	fo.connects.Add(1)
	if fo.pid != "" && greeting.PID == fo.pid {
		fo.recovered.Add(1)
		return
	}
	fo.pid, fo.offset = greeting.PID, ""
	fo.stretches = append(fo.stretches, nil)
}

func (fo *follower) hear(packet []byte) {
	var parts []json.RawMessage
	var name string
	if json.Unmarshal(packet, &parts) != nil || len(parts) < 2 || json.Unmarshal(parts[0], &name) != nil {
		fo.fleet.t.Errorf("an unreadable event: %s", packet)
		return
	}
	if len(parts) == 3 && json.Unmarshal(parts[2], &fo.offset) != nil {
		fo.fleet.t.Errorf("an unreadable offset: %s", packet)
	}
	switch domain.EventName(name) {
	case domain.EventResync:
		fo.resyncs.Add(1)
		fo.refetch = time.Now().Add(refetchAfter)
		// The socket's node had lost sight of the others before it knew.
		last := len(fo.stretches) - 1
		fo.stretches[last] = slices.DeleteFunc(fo.stretches[last], func(h heard) bool { return time.Since(h.at) < 2*fo.fleet.lease })
	case domain.EventAssignmentChanged:
		var change struct {
			ConversationID  domain.ConversationID
			AssignedAgentID *domain.UserID
			EventType       string
		}
		if err := json.Unmarshal(parts[1], &change); err != nil {
			fo.fleet.t.Errorf("%s: %v", packet, err)
		}
		if !fo.refetch.IsZero() && time.Now().After(fo.refetch) {
			fo.refetch = time.Time{}
			fo.stretches = append(fo.stretches, nil)
		}
		if !fo.refetch.IsZero() {
			return // it is in what will be fetched
		}
		last := &fo.stretches[len(fo.stretches)-1]
		*last = append(*last, heard{change.ConversationID, assignmentText(change.EventType, change.AssignedAgentID), time.Now()})
	}
}

func assignmentText(event string, holder *domain.UserID) string {
	if holder == nil {
		return event
	}
	return event + " " + holder.String()
}

// followers are the open pages of a test.
type followers []*follower

// check waits until everybody has heard of all assignments to the end, and
// requires that nobody misses one without being told.
//
// In order is asked of nodes that weren't lost: what a frozen node had stored
// and not told yet comes when it is back, after what others did since.
func (all followers) check(t *testing.T, n *tenantRows, inOrder bool) {
	t.Helper()
	stored := n.assignments()
	for _, fo := range all {
		var last error
		for begun := time.Now(); ; {
			if last = fo.compare(stored, inOrder); last == nil || time.Since(begun) > 15*time.Second {
				break
			}
			<-time.After(50 * time.Millisecond)
		}
		require.NoError(t, last, "%s, %d times connected, %d recovered, %d told to fetch again", fo.agent.name, fo.connects.Load(), fo.recovered.Load(), fo.resyncs.Load())
	}
}

// told counts what happened to the sockets.
func (all followers) told() string {
	var connects, recovered, resyncs int32
	for _, fo := range all {
		connects, recovered, resyncs = connects+fo.connects.Load()-1, recovered+fo.recovered.Load(), resyncs+fo.resyncs.Load()
	}
	return fmt.Sprintf("%d sockets: %d reconnects, %d of them recovered; %d times told to fetch again", len(all), connects, recovered, resyncs)
}

// assignments is what the audit trail says of each conversation's assignments.
func (n *tenantRows) assignments() map[domain.ConversationID][]string {
	n.t.Helper()
	rows, err := n.db.SQL.QueryContext(context.Background(), `SELECT conversation_id, event_type, CASE WHEN event_type = 'ACCEPTED' THEN metadata->>'agentId' ELSE '' END
		FROM conversation_events WHERE event_type IN ('ACCEPTED', 'RELEASED') ORDER BY conversation_id, seq`)
	require.NoError(n.t, err)
	defer rows.Close()
	all := map[domain.ConversationID][]string{}
	for rows.Next() {
		var id domain.ConversationID
		var event, holder string
		require.NoError(n.t, rows.Scan(&id, &event, &holder))
		all[id] = append(all[id], strings.TrimSpace(event+" "+holder))
	}
	require.NoError(n.t, rows.Err())
	return all
}

// compare is an error when what was heard within a stretch isn't what happened:
// the first one begins with the first assignment, the last one ends with the
// last, and all are without gaps and repeats.
func (fo *follower) compare(stored map[domain.ConversationID][]string, inOrder bool) error {
	fo.mu.Lock()
	defer fo.mu.Unlock()
	last := len(fo.stretches) - 1
	for i, stretch := range fo.stretches {
		of := map[domain.ConversationID][]string{}
		for _, h := range stretch {
			of[h.conversation] = append(of[h.conversation], h.text)
		}
		for id, heard := range of {
			if !isPart(stored[id], heard, i == 0, i == last && fo.refetch.IsZero(), inOrder) {
				return fmt.Errorf("conversation %s, stretch %d of %d: heard %q of %q", id, i+1, last+1, heard, stored[id])
			}
		}
		if last == 0 && fo.refetch.IsZero() && len(of) != len(stored) {
			return fmt.Errorf("heard of %d conversations of %d", len(of), len(stored))
		}
	}
	return nil
}

// lateMost is how many assignments of one conversation a lost node has stored
// and not told: one that is taken and given back.
const lateMost = 2

// isPart reports whether part is a part of all without a gap, at its beginning
// or its end where asked for. Unless it has to be in order, some of what was
// before it may have come late.
func isPart(all, part []string, begins, ends, inOrder bool) bool {
	if inOrder {
		for at := range len(all) - len(part) + 1 {
			if slices.Equal(all[at:at+len(part)], part) && (!begins || at == 0) && (!ends || at+len(part) == len(all)) {
				return true
			}
		}
		return false
	}
	for late := range min(lateMost, len(part)) + 1 {
		length := len(part) - late
		for at := range len(all) - length + 1 {
			if (!begins || at == 0) && (!ends || at+length == len(all)) && hasLate(all[:at], all[at:at+length], part) {
				return true
			}
		}
	}
	return false
}

// hasLate reports whether part is the window, in any order, and otherwise what
// was before it.
func hasLate(before, window, part []string) bool {
	rest, before := slices.Clone(part), slices.Clone(before)
	for _, w := range window {
		i := slices.Index(rest, w)
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	for _, r := range rest {
		i := slices.Index(before, r)
		if i < 0 {
			return false
		}
		before = slices.Delete(before, i, i+1)
	}
	return true
}

// TestWhatIsPartOfATrail checks the checker.
func TestWhatIsPartOfATrail(t *testing.T) {
	t.Parallel()
	all := []string{"a", "R", "b", "R", "c"}
	for _, c := range []struct {
		part          []string
		begins, ends  bool
		order, anyhow bool
	}{
		{[]string{"a", "R", "b"}, true, false, true, true},
		{[]string{"b", "R", "c"}, false, true, true, true},
		{[]string{"R", "c", "b"}, false, true, false, true},
		{[]string{"R", "c", "a"}, false, true, false, true},
		{[]string{"a", "b"}, true, false, false, false},
		{[]string{"R", "b", "R"}, false, true, false, false},
		{[]string{"c", "c"}, false, true, false, false},
	} {
		require.Equal(t, c.order, isPart(all, c.part, c.begins, c.ends, true), "%v", c.part)
		require.Equal(t, c.anyhow, isPart(all, c.part, c.begins, c.ends, false), "%v", c.part)
	}
}
