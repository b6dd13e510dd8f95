package cluster

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for what must happen.
const patience = 20 * time.Second

// texts is a codec of strings. Some of them it can't read.
type texts struct{}

func (texts) Encode(msg any) ([]byte, error) {
	text, ok := msg.(string)
	if !ok {
		return nil, errors.New("not a text")
	}
	return []byte(text), nil
}

func (texts) Decode(data []byte) (any, error) {
	switch text := string(data); {
	case strings.HasPrefix(text, "unreadable"):
		return nil, errors.New("unreadable")
	case strings.HasPrefix(text, "fault"):
		panic("fault")
	default:
		return text, nil
	}
}

// town has the view that all nodes of a test share.
type town struct {
	testing.TB
	mu        sync.Mutex
	view      *View
	refreshed atomic.Int64
}

func newTown(t testing.TB) *town { return &town{TB: t, view: NewView(1, nil)} }

func (w *town) current() *View {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.view
}

// settle makes a new view, which the nodes find when they ask for it.
func (w *town) settle(members ...Node) *View {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.view = NewView(w.view.Number()+1, members)
	return w.view
}

func (w *town) join(n Node) { w.settle(append(slices.Clone(w.current().Nodes()), n)...) }

func (w *town) leave(name string) *View {
	return w.settle(slices.DeleteFunc(slices.Clone(w.current().Nodes()), func(n Node) bool { return n.Name == name })...)
}

// delivery is a message as a process got it.
type delivery struct {
	msg    any
	sender *actor.PID
}

// node is one of a test, with a process "sink" that passes on what it gets.
type node struct {
	*Remote
	engine      *actor.Engine
	got         chan delivery
	undelivered chan string
	lost        chan string
}

// process is an actor without an inbox.
type process struct {
	pid *actor.PID
	f   func(msg any, sender *actor.PID)
}

func (p *process) Start()                                      {}
func (p *process) PID() *actor.PID                             { return p.pid }
func (p *process) Send(_ *actor.PID, msg any, from *actor.PID) { p.f(msg, from) }
func (p *process) Invoke([]actor.Envelope)                     {}
func (p *process) Shutdown()                                   {}

func (n *node) process(id string, f func(msg any, sender *actor.PID)) *actor.PID {
	return n.engine.SpawnProc(&process{actor.NewPID(n.Address(), id), f})
}

func (n *node) sink() *actor.PID { return actor.NewPID(n.Address(), "sink") }

func listen(t testing.TB) net.Listener {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return listener
}

// config is that of a node of the town, which no load of the machine makes give up.
func (w *town) config(name string, listener net.Listener) RemoteConfig {
	return RemoteConfig{
		Cluster: "test", Self: Node{Name: name, Addr: listener.Addr().String()}, Listener: listener, Codec: texts{},
		View: w.current, Lease: time.Second, MaxWait: patience, Silence: patience, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
		Refresh: func(context.Context) error {
			w.refreshed.Add(1)
			return nil
		},
	}
}

// start runs a node until the test ends, and makes it a member.
func (w *town) start(cfg RemoteConfig) *node {
	w.Helper()
	w.join(cfg.Self)
	return w.startStranger(cfg)
}

func (w *town) startStranger(cfg RemoteConfig) *node {
	w.Helper()
	remote, err := NewRemote(cfg)
	require.NoError(w, err)
	return w.run(remote)
}

func (w *town) run(remote *Remote) *node {
	w.Helper()
	n := &node{Remote: remote, got: make(chan delivery, 1<<18), undelivered: make(chan string, 1<<18), lost: make(chan string, 1<<10)}
	remote.Notify(
		func(_ *actor.PID, msg any) { n.undelivered <- msg.(string) },
		func(addr string) { n.lost <- addr },
	)
	var err error
	n.engine, err = actor.NewEngine(actor.NewEngineConfig().WithRemote(remote))
	require.NoError(w, err)
	n.process("sink", func(msg any, sender *actor.PID) { n.got <- delivery{msg, sender} })
	require.NoError(w, n.Serve())
	w.Cleanup(func() { n.Stop().Wait() })
	return n
}

func (w *town) node(name string) *node {
	w.Helper()
	return w.start(w.config(name, listen(w)))
}

// brisk starts a node that gives up as soon as it does by default.
func (w *town) brisk(name string) *node {
	w.Helper()
	cfg := w.config(name, listen(w))
	cfg.MaxWait, cfg.Silence = 0, 0
	return w.start(cfg)
}

// within is what comes from c, soon.
func within[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		require.Fail(t, "waited in vain for "+what)
		panic("unreachable")
	}
}

func (n *node) receives(t testing.TB, want string) {
	t.Helper()
	require.Equal(t, want, within(t, n.got, want).msg)
}

// becomes waits until a peer's status is as wanted.
func (n *node) becomes(t testing.TB, addr, what string, wanted func(PeerStatus) bool) PeerStatus {
	t.Helper()
	var last PeerStatus
	require.Eventually(t, func() bool {
		for _, s := range n.Status() {
			if s.Addr == addr {
				last = s
				return wanted(s)
			}
		}
		return false
	}, patience, 2*time.Millisecond, what)
	return last
}

func connected(s PeerStatus) bool { return s.Connected }

// net4 listens on all addresses of the machine.
func net4(t testing.TB) (net.Listener, error) {
	listener, err := net.Listen("tcp", ":0")
	if err == nil {
		t.Cleanup(func() { _ = listener.Close() })
	}
	return listener, err
}
