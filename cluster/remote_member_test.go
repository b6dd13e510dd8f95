package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// joined is a node as it is put together outside of tests: its remote follows
// its member, which asks its peers through the remote.
type joined struct {
	*node
	member *Member
}

func (v *valkey) joined(t *testing.T, w *town, name string) joined {
	t.Helper()
	var j joined
	cfg := w.config(name, listen(t))
	cfg.View = func() *View { return j.member.View() }
	cfg.Refresh = func(ctx context.Context) error { return j.member.Refresh(ctx) }
	remote, err := NewRemote(cfg)
	require.NoError(t, err)
	j.member, err = NewMember(MemberConfig{
		Cluster: cfg.Cluster, Self: cfg.Self, Lease: lease, Valkey: v.client, Peers: remote,
		Logger: slog.New(slog.DiscardHandler), Now: v.clock,
	})
	require.NoError(t, err)
	j.member.Watch(remote.Follow)
	require.NoError(t, j.member.Join(t.Context()))
	j.node = w.run(remote)
	return j
}

func TestMembersFindEachOther(t *testing.T) {
	t.Parallel()
	v, w := newValkey(t), newTown(t)
	a, b := v.joined(t, w, "a"), v.joined(t, w, "b")
	// A hasn't renewed since b joined, and finds it when it calls.
	a.becomes(t, b.Address(), "linked", connected)
	b.becomes(t, a.Address(), "linked", connected)
	require.Equal(t, []string{"a", "b"}, names(a.member.View()))
	converse(t, a.node, b.node)

	// The lease of a alone runs out: it learns so from b.
	for range 5 {
		v.pass(lease / 5)
		require.NoError(t, b.member.renew(t.Context()))
	}
	a.member.askPeers(t.Context())
	require.Equal(t, []string{"b"}, names(a.member.View()))
	require.Equal(t, b.member.View().Number(), a.member.View().Number())
	require.NotEmpty(t, within(t, b.lost, "the end of b's link"))

	require.NoError(t, a.member.renew(t.Context()))
	require.NoError(t, b.member.renew(t.Context()))
	converse(t, a.node, b.node)
	require.NoError(t, b.member.Leave(t.Context()))
	require.NoError(t, a.member.renew(t.Context()))
	require.Empty(t, a.Status())
	require.False(t, a.Reaches(b.Address()), "who has left isn't reached, though nobody tries")
}

// TestWhatNoNodeSends ends its stream with a reason, and nothing else.
func TestWhatNoNodeSends(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a := w.node("a")
	loose := w.config("loose", listen(t))
	loose.MaxMessage, loose.QueueBytes = 20<<20, 20<<20
	w.join(loose.Self)
	from, err := NewRemote(loose)
	require.NoError(t, err)
	t.Cleanup(func() { from.Stop().Wait() })
	hello := string(appendHello(nil, from.hello()))
	for name, c := range map[string]struct {
		frames []string
		code   codes.Code
	}{
		"no hello":         {[]string{"\x18\x01"}, codes.InvalidArgument},
		"nothing":          {[]string{""}, codes.InvalidArgument},
		"noise":            {[]string{"\x80"}, codes.InvalidArgument},
		"noise after it":   {[]string{hello, "\x12\x7f"}, codes.InvalidArgument},
		"more than a node": {[]string{hello, strings.Repeat("x", a.maxFrame()+1)}, codes.ResourceExhausted},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			conn, err := from.client(ctx, a.Address())
			require.NoError(t, err)
			defer conn.Close()
			stream, err := conn.NewStream(ctx, &messagesStream, messagesMethod)
			require.NoError(t, err)
			for _, frame := range c.frames {
				if err := stream.SendMsg(wrap([]byte(frame))); !errors.Is(err, io.EOF) { // it may have ended by now
					require.NoError(t, err)
				}
			}
			var data []byte
			for err = nil; err == nil; {
				err = stream.RecvMsg(&data)
			}
			require.Equal(t, c.code, status.Code(err), "%v", err)
		})
	}
	conn, err := a.client(t.Context(), a.Address())
	require.NoError(t, err)
	defer conn.Close()
	var data []byte
	require.Equal(t, codes.InvalidArgument, status.Code(conn.Invoke(t.Context(), viewMethod, wrap([]byte("\x80")), &data)))
	require.Equal(t, codes.InvalidArgument, status.Code(conn.Invoke(t.Context(), viewMethod, wrap(nil), &data)))
	b := w.node("b")
	converse(t, a, b)
}

// TestSomebodyElsesAddress: what answers there isn't who the view says.
func TestSomebodyElsesAddress(t *testing.T) {
	t.Parallel()
	w := newTown(t)
	a, b := w.node("a"), w.node("b")
	w.leave("b")
	w.join(Node{Name: "c", Addr: b.Address()})
	require.NoError(t, a.Post(b.sink(), "for c", nil))
	s := a.becomes(t, b.Address(), "refused", func(s PeerStatus) bool { return s.LastError != "" })
	require.Contains(t, s.LastError, "isn't in the view")
	require.False(t, s.Connected)

	cfg := w.config("d", listen(t))
	_, port, err := net.SplitHostPort(cfg.Self.Addr)
	require.NoError(t, err)
	cfg.Self.Addr = "localhost:" + port
	d := w.start(cfg)
	by := "127.0.0.1:" + port
	w.join(Node{Name: "e", Addr: by})
	_, err = a.peer(by)
	require.NoError(t, err)
	s = a.becomes(t, by, "refused", func(s PeerStatus) bool { return s.LastError != "" })
	require.Equal(t, "who answers at "+by+" calls itself "+d.Address(), s.LastError)
	require.Empty(t, b.got)
}
