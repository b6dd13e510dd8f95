//go:build browser

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// browserWindow is short, so that the page can be away for longer.
const browserWindow = 12 * time.Second

// TestBrowserSeesTheFeed has a page with the unmodified socket.io-client in a
// headless Chromium, while customers write all the time: it moves from polling
// to WebSocket, its network goes and comes, its tab is halted, its laptop
// sleeps. What it was told equals the feed's log whenever its socket was
// recovered; otherwise it fetched again, and what came since is complete.
func TestBrowserSeesTheFeed(t *testing.T) {
	chromium, err := exec.LookPath(cmp.Or(os.Getenv("CHROMIUM"), "chromium"))
	require.NoError(t, err, "a Chromium is needed (Debian: apt-get install chromium); CHROMIUM names the one to take, if it isn't on the PATH as chromium")
	folder := filepath.Join("testdata", "browser")
	require.DirExists(t, filepath.Join(folder, "node_modules"), "the page's packages are missing: run `npm ci` in %s, or `make browser`", folder)
	site := httptest.NewServer(http.FileServer(http.Dir(folder)))
	t.Cleanup(site.Close)

	s, p := started(t, "FRONTEND_URL="+site.URL, "SOCKET_RECOVERY_WINDOW="+browserWindow.String(),
		"SOCKET_PING_INTERVAL=1s", "SOCKET_PING_TIMEOUT=2s")
	watched := s.writes()
	feed := followFeed(t, p, s.org)
	writing := s.writeAllTheTime(watched)

	// The client takes no notice of a lost network when its server is "localhost".
	server := strings.Replace(s.url, "localhost", "127.0.0.1", 1)
	page := site.URL + "/page.html#" + url.Values{"server": {server}, "token": {s.ada.token}, "conversation": {watched.String()}}.Encode()
	driver := startDriver(t, folder, "CHROMIUM="+chromium, "PAGE="+page, fmt.Sprint("WINDOW_MS=", browserWindow.Milliseconds()))
	require.Equal(t, "calm", driver.line(t))
	writing()
	last := feed.rest(t, func(e domain.FeedEvent) bool { return slices.Contains(e.Rooms, domain.OrgRoom(s.org)) })
	_, err = fmt.Fprintln(driver.stdin, last.Offset())
	require.NoError(t, err)
	var seen browserWitness
	require.NoError(t, json.Unmarshal([]byte(driver.line(t)), &seen))
	require.NoError(t, driver.cmd.Wait(), "%s", driver.stderr)
	seen.check(t, feed.events, last, []domain.Room{domain.OrgRoom(s.org), domain.AgentRoom(s.ada.id)}, domain.ConversationRoom(watched))
	require.Len(t, seen.Known, s.count(`SELECT count(*) FROM conversations`), "what was fetched and what came since is everything")
	require.Equal(t, 4, seen.Halted, "times that the timers of the tab stood still")
	require.Equal(t, 4, seen.Slept, "times that the whole browser stood still")
}

// writeAllTheTime lets new customers and the watched one write until stop is
// called, which waits.
func (s *shift) writeAllTheTime(watched domain.ConversationID) (stop func()) {
	number := fmt.Sprint(4915200000000 + s.customers)
	require.Equal(s.t, watched, s.conversationOf(number))
	ctx, cancel := context.WithCancel(context.Background())
	var writing sync.WaitGroup
	writing.Go(func() {
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		for i := 0; ctx.Err() == nil; i++ {
			if i%4 == 0 {
				s.writes()
			} else {
				deliver(s.t, s.client, s.url, webhooktest.WhatsAppText(
					s.account, webhooktest.Customer{Name: "Dana", Number: number}, fmt.Sprint("wamid.again.", i), "are you there?", time.Now()))
			}
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	})
	stop = func() {
		cancel()
		writing.Wait()
	}
	s.t.Cleanup(stop)
	return stop
}

// feedLog is the log of an organization's feed, as the server has it.
type feedLog struct {
	feeds interface {
		Replay(domain.OrganizationID, domain.FeedPosition, func(domain.FeedReplay)) error
	}
	organization domain.OrganizationID
	newest       domain.FeedPosition
	stop         func()
	events       []domain.FeedEvent // after stop
	gap          error              // after stop
}

// followFeed reads the feed from now on: it forgets what is past the window.
func followFeed(t testing.TB, p *program, organization domain.OrganizationID) *feedLog {
	t.Helper()
	l := &feedLog{feeds: p.actors.feeds, organization: organization}
	r, err := l.read()
	require.NoError(t, err)
	l.newest = r.Newest
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() {
		for ctx.Err() == nil && l.gap == nil {
			l.gap = l.advance()
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
		}
	})
	l.stop = func() {
		cancel()
		following.Wait()
	}
	t.Cleanup(l.stop)
	return l
}

func (l *feedLog) read() (domain.FeedReplay, error) {
	answered := make(chan domain.FeedReplay, 1)
	if err := l.feeds.Replay(l.organization, l.newest, func(r domain.FeedReplay) { answered <- r }); err != nil {
		return domain.FeedReplay{}, err
	}
	select {
	case r := <-answered:
		return r, nil
	case <-time.After(10 * time.Second):
		return domain.FeedReplay{}, fmt.Errorf("the feed didn't answer what came after %v", l.newest)
	}
}

func (l *feedLog) advance() error {
	r, err := l.read()
	if err != nil {
		return err
	}
	if !r.Complete {
		return fmt.Errorf("the feed has forgotten what came after %v", l.newest)
	}
	l.events, l.newest = append(l.events, r.Events...), r.Newest
	return nil
}

// rest waits until nothing more comes, and returns the last event of that kind.
func (l *feedLog) rest(t testing.TB, kind func(domain.FeedEvent) bool) domain.FeedEvent {
	t.Helper()
	l.stop()
	require.NoError(t, l.gap)
	for still := 0; still < 20; still++ { // two seconds: activity is told within one
		before := l.newest
		<-time.After(100 * time.Millisecond)
		require.NoError(t, l.advance())
		if l.newest != before {
			still = 0
		}
	}
	for _, e := range slices.Backward(l.events) {
		if kind(e) {
			return e
		}
	}
	require.FailNow(t, "no such event")
	return domain.FeedEvent{}
}

// browserDriver is the script that opens the page.
type browserDriver struct {
	stdin  io.Writer
	stdout *bufio.Reader
	stderr *bytes.Buffer // once it has ended
	cmd    *exec.Cmd
}

func startDriver(t testing.TB, folder string, environ ...string) *browserDriver {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node", "drive.mjs")
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), environ...)
	d := &browserDriver{cmd: cmd, stderr: &bytes.Buffer{}}
	cmd.Stderr = d.stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	d.stdin, d.stdout = stdin, bufio.NewReader(stdout)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it closes the browser then
	cmd.WaitDelay = 10 * time.Second
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Wait() // the test has failed
		}
	})
	return d
}

// line is the next that the script says.
func (d *browserDriver) line(t testing.TB) string {
	t.Helper()
	text, err := d.stdout.ReadString('\n')
	if err != nil {
		err = cmp.Or(d.cmd.Wait(), err)
		require.NoError(t, err, "%s", d.stderr)
	}
	return text[:len(text)-1]
}

// browserWitness is what the page has seen.
type browserWitness struct {
	Log []struct {
		Kind      string // event, connect, disconnect, upgrade, join
		Name      domain.EventName
		Offset    string
		Recovered bool
		Transport string
		OK        bool
		Reason    string
	}
	Known         []string // conversations
	Fetches       int
	Halted, Slept int
}

// check compares what the page was told with the log: from one fresh start to
// the next, all of it, in order, without a repeat. The room is one that the page
// joins itself, so that its events begin later.
func (w *browserWitness) check(t testing.TB, log []domain.FeedEvent, last domain.FeedEvent, rooms []domain.Room, joined domain.Room) {
	t.Helper()
	at := make(map[string]int, len(log))
	for i, e := range log {
		at[e.Offset()] = i
	}
	kinds := map[string]int{}
	var segments [][]string
	for _, entry := range w.Log {
		kinds[entry.Kind]++
		switch entry.Kind {
		case "connect":
			kinds[fmt.Sprint("recovered ", entry.Recovered)]++
			if !entry.Recovered {
				segments = append(segments, nil)
			}
		case "disconnect":
			kinds[entry.Reason]++
		case "join":
			require.True(t, entry.OK)
		case "event":
			require.Contains(t, at, entry.Offset, entry.Name)
			require.Equal(t, log[at[entry.Offset]].Name, entry.Name)
			segments[len(segments)-1] = append(segments[len(segments)-1], entry.Offset)
		}
	}
	told := 0
	for _, segment := range segments {
		require.NotEmpty(t, segment)
		require.Equal(t, expected(log[at[segment[0]]:at[segment[len(segment)-1]]+1], segment, rooms, joined), segment)
		told += len(segment)
	}
	newest := segments[len(segments)-1]
	require.Contains(t, newest, last.Offset(), "the newest came, too")
	t.Logf("%d events in the log, %d told to the page, %d conversations; %v", len(log), told, len(w.Known), kinds)
	require.Equal(t, kinds["recovered false"], w.Fetches, "each fresh start was followed by a fetch")
	require.GreaterOrEqual(t, kinds["recovered false"], 4, "the first, and those after the window")
	require.GreaterOrEqual(t, kinds["recovered true"], 10)
	require.GreaterOrEqual(t, kinds["upgrade"], 10)
}

// expected is what a page in these rooms has to be told of a part of the log;
// events of the joined room count from the first that it was told.
func expected(log []domain.FeedEvent, told []string, rooms []domain.Room, joined domain.Room) []string {
	var want []string
	inside := false
	for _, e := range log {
		offset := e.Offset()
		if !inside && slices.Contains(e.Rooms, joined) {
			inside = slices.Contains(told, offset)
		}
		if slices.ContainsFunc(e.Rooms, func(r domain.Room) bool { return slices.Contains(rooms, r) || inside && r == joined }) {
			want = append(want, offset)
		}
	}
	return want
}
