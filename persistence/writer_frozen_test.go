package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// thaws is how long a frozen writer may hold up another one.
const thaws = 3 * time.Second

// A writer freezes while its batch holds locks. Another one gets on within
// three seconds; the frozen one finds that it has lost.
func TestWriterGoesOnWhileAnotherIsFrozen(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		where func(packet) bool
		how   fate
	}{
		"in the messages":   {func(p packet) bool { return isBind(p, "insert_messages") }, freezeHalf},
		"in the events":     {func(p packet) bool { return isBind(p, "insert_events") }, freezeHalf},
		"before the events": {isSyncAfter("insert_messages"), freezeAfter},
		"in COMMIT":         {isCommit, freezeHalf},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := persistencetest.New(t)
			n := newTenant(t, db, "frozen")
			network, behind := newProxy(t, db.URL)
			frozen, other := openWriter(t, behind, oneLane), openWriter(t, db.URL)
			var owners, rivals []*owner
			for i := range 20 {
				o := newOwner(t, frozen, n, fmt.Sprint(i))
				o.store(o.says(fmt.Sprint("hello ", i)))
				owners, rivals = append(owners, o), append(rivals, o.rival(other))
			}
			stands := make(chan struct{})
			network.onPacket(breakOnce(network, c.where, c.how, stands))

			var lost, won []<-chan domain.Verdict
			letGo := lock(t, db, `SELECT FROM conversations WHERE id = $1 FOR UPDATE`, owners[0].state.ID)
			for i, o := range owners {
				lost = append(lost, o.submit(o.says(fmt.Sprint("frozen ", i))))
			}
			letGo()
			come(t, stands)
			network.turnAway(false)
			begun := time.Now()
			for i, r := range rivals {
				won = append(won, r.submit(r.says(fmt.Sprint("moving ", i))))
			}
			for _, v := range won {
				require.Equal(t, domain.Committed, await(t, v).Outcome)
			}
			require.Less(t, time.Since(begun), thaws)

			network.thaw()
			for i, v := range lost {
				// Those that came too late for the frozen batch were in no way to lose.
				require.Equal(t, domain.Conflict, await(t, v).Outcome, "conversation %d", i)
			}
			require.Equal(t, 40, count(t, db, `SELECT count(*) FROM messages`))
			requireLinear(t, db)
		})
	}
}

// isSyncAfter is the packet that ends a statement of the writer.
func isSyncAfter(statement string) func(packet) bool {
	var mu sync.Mutex
	seen := false
	return func(p packet) bool {
		mu.Lock()
		defer mu.Unlock()
		seen = seen || isBind(p, statement)
		return seen && !p.fromServer && p.kind == 'S'
	}
}

// childURL names the environment variable that makes this test binary a process
// that writes without pause, to be frozen.
const childURL = "CHATOPSHUB_TEST_WRITER_CHILD"

func init() {
	if url := os.Getenv(childURL); url != "" {
		if err := writeUntilOrphaned(url); err != nil {
			log.Fatal(err)
		}
		os.Exit(0)
	}
}

const (
	childConversations = 150
	childBody          = 20 << 10 // long enough that it takes a while to send a batch
)

// writeUntilOrphaned is the child: each of its conversations is written to as
// fast as it goes, until standard input ends. A conversation that somebody else
// has changed is loaded again.
func writeUntilOrphaned(home string) error {
	url, n := "", &tenant{}
	var org, channel string
	if _, err := fmt.Sscan(home, &url, &org, &channel); err != nil {
		return err
	}
	if err := errors.Join(n.org.UnmarshalText([]byte(org)), n.channel.UnmarshalText([]byte(channel))); err != nil {
		return err
	}
	ctx := context.Background()
	w, err := persistence.NewWriter(persistence.WriterConfig{URL: url, Lanes: 1})
	if err != nil {
		return err
	}
	reads, err := persistence.OpenReads(ctx, persistence.Config{URL: url, MaxConns: 2})
	if err != nil {
		return err
	}
	loader := persistence.NewLoader(reads)
	failed := make(chan error, 2)
	go func() { failed <- w.Run(ctx) }()
	go func() { failed <- loader.Run(ctx) }()
	for i := range childConversations {
		p := &player{owner: newOwner(nil, w, n, fmt.Sprint(i)), loader: loader}
		p.lineage = nil
		go func() {
			for round := 0; ; round++ {
				id := fmt.Sprintf("child %d, %d", i, round)
				p.play(p.text(p.number, id, id+strings.Repeat(" and so on", childBody/10)))
			}
		}()
	}
	go func() {
		_, err := io.Copy(io.Discard, os.Stdin)
		failed <- err
	}()
	return <-failed
}

// child is that process, seen from the test.
type child struct {
	t     testing.TB
	db    *persistencetest.Database
	ours  string // the backends of the test's own writer
	start *exec.Cmd
}

// startChild runs a child until the test ends.
func startChild(t testing.TB, db *persistencetest.Database, url string, n *tenant) *child {
	t.Helper()
	c := &child{t: t, db: db, start: exec.Command(os.Args[0])}
	require.NoError(t, db.SQL.QueryRow(`SELECT array_agg(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'chatopshub writer'`).Scan(&c.ours))
	c.start.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %s", childURL, url, n.org, n.channel))
	c.start.Stderr = os.Stderr
	stdin, err := c.start.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, c.start.Start())
	t.Cleanup(func() {
		c.signal(syscall.SIGCONT)
		require.NoError(t, stdin.Close())
		require.NoError(t, c.start.Wait())
	})
	c.progress()
	return c
}

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	require.NoError(c.t, c.start.Process.Signal(s))
}

// progress waits until the child has stored something more.
func (c *child) progress() {
	c.t.Helper()
	stored := func() int {
		return count(c.t, c.db, `SELECT count(*) FROM messages WHERE provider_message_id LIKE 'child %'`)
	}
	before := stored()
	until(c.t, func() bool { return stored() > before }, "the child writes")
}

// transaction is when the child's transaction began that holds locks and waits
// for the child; empty when there is none.
func (c *child) transaction() string {
	c.t.Helper()
	var begun string
	err := c.db.SQL.QueryRow(`SELECT coalesce(min(a.xact_start)::text, '') FROM pg_stat_activity a
		WHERE a.datname = current_database() AND a.application_name = 'chatopshub writer' AND a.pid <> ALL ($1::int[])
			AND a.state = 'idle in transaction' AND EXISTS (SELECT FROM pg_locks l
				WHERE l.pid = a.pid AND l.granted AND l.relation = 'conversations'::regclass AND l.mode = 'RowExclusiveLock')`,
		c.ours).Scan(&begun)
	require.NoError(c.t, err)
	return begun
}

// stop freezes the child at a random moment, and reports whether that was in
// the middle of a transaction.
func (c *child) stop() (locked bool) {
	c.t.Helper()
	<-time.After(rand.N(60 * time.Millisecond))
	c.signal(syscall.SIGSTOP)
	begun := c.transaction()
	if begun == "" {
		return false
	}
	<-time.After(50 * time.Millisecond) // what was on its way has arrived by then
	return c.transaction() == begun
}

// Another process is stopped at random moments, at least once in the middle of
// a transaction. Ours gets on within three seconds on the same conversations.
func TestWriterGoesOnWhileAnotherProcessIsStopped(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "stopped")
	w, loader := openWriter(t, db.URL), newLoader(t, db)
	until(t, func() bool { return w.Ready() == nil }, "the writer has its connections")
	network, behind := newProxy(t, db.URL)
	network.trickle()
	c := startChild(t, db, behind, n)
	players := make([]*player, childConversations)
	for i := range players {
		players[i] = newPlayer(t, w, loader, n, fmt.Sprint(i))
	}

	locked, deadline := 0, time.Now().Add(patience)
	for round := 0; round < 3 || locked == 0; round++ {
		require.True(t, time.Now().Before(deadline), "the child was never stopped in the middle of a transaction")
		held := c.stop()
		if round >= 3 && !held {
			c.signal(syscall.SIGCONT)
			continue
		}
		if held {
			locked++
		}
		begun := time.Now()
		var all sync.WaitGroup
		for i, p := range players {
			all.Go(func() {
				for _, err := range p.play(p.says(fmt.Sprintf("parent %d, %d", i, round))) {
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		require.Less(t, time.Since(begun), thaws)
		c.signal(syscall.SIGCONT)
		c.progress()
	}
	t.Logf("%d times in the middle of a transaction", locked)
	requireLinear(t, db)
}
