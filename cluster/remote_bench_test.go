package cluster

import (
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
)

// bareStream is gRPC alone, with the same windows and codec: send gives frames
// to a stream whose other end counts what it gets.
type bareStream struct {
	stream   grpc.ClientStream
	received atomic.Int64
}

func newBareStream(b *testing.B, secured security, count func(frame []byte) int64) *bareStream {
	bare := new(bareStream)
	desc := grpc.StreamDesc{StreamName: "Bare", ClientStreams: true, ServerStreams: true}
	served := desc
	served.Handler = func(_ any, stream grpc.ServerStream) error {
		var data []byte
		for {
			if err := stream.RecvMsg(&data); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			bare.received.Add(count(data))
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	server := grpc.NewServer(grpc.Creds(secured.server()), grpc.ForceServerCodecV2(raw{}), grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connWindow))
	server.RegisterService(&grpc.ServiceDesc{ServiceName: "bare", HandlerType: (*any)(nil), Streams: []grpc.StreamDesc{served}}, bare)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	b.Cleanup(func() {
		server.Stop()
		require.NoError(b, <-ended)
	})
	conn, err := grpc.NewClient("passthrough:///"+listener.Addr().String(), grpc.WithTransportCredentials(secured.client()),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{})),
		grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(connWindow))
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, conn.Close()) })
	bare.stream, err = conn.NewStream(b.Context(), &desc, "/bare/Bare")
	require.NoError(b, err)
	return bare
}

func (s *bareStream) send(b *testing.B, frame mem.BufferSlice, messages int64) int64 {
	if err := s.stream.SendMsg(frame); err != nil {
		b.Error(err)
	}
	return messages
}

// perSecond is how many messages a second arrive when send is called until the
// time is over.
func perSecond(b *testing.B, received *atomic.Int64, senders int, send func() (sent int64)) float64 {
	begun, end := time.Now(), time.Now().Add(time.Second/2)
	var sent atomic.Int64
	before := received.Load()
	done := make(chan struct{})
	for range senders {
		go func() {
			for time.Now().Before(end) {
				sent.Add(send())
			}
			done <- struct{}{}
		}()
	}
	for range senders {
		<-done
	}
	require.Eventually(b, func() bool { return received.Load()-before == sent.Load() }, patience, 100*time.Microsecond)
	return float64(sent.Load()) / time.Since(begun).Seconds()
}

// BenchmarkRemote compares a pair of nodes, many goroutines of which post
// messages of 256 bytes, with gRPC alone: one message for each call of SendMsg,
// and the remote's own frames, ready made and unread.
func BenchmarkRemote(b *testing.B) {
	b.Run("plain", func(b *testing.B) { benchmarkRemote(b, nil) })
	b.Run("tls", func(b *testing.B) {
		files := newAuthority(b).issue(b.TempDir(), nil)
		benchmarkRemote(b, &files)
	})
}

func benchmarkRemote(b *testing.B, files *TLSFiles) {
	const posters, inFrame = 32, frameBytes / 270
	body := strings.Repeat("x", 256)
	w := newTown(b)
	a, c := w.secure("a", files), w.secure("b", files)
	one := newBareStream(b, a.security, func([]byte) int64 { return 1 })
	packed := newBareStream(b, a.security, func([]byte) int64 { return inFrame })
	m := message{to: actor.NewPID("b", "router"), body: []byte(body)}
	m.size = measure(&m, "a")
	ready := pack(slices.Repeat([]message{m}, inFrame), 0, "a").Materialize()

	var received atomic.Int64
	to := c.process("router", func(any, *actor.PID) { received.Add(1) })
	var remote, single, frames []float64
	for b.Loop() {
		remote = append(remote, perSecond(b, &received, posters, func() int64 {
			for range 100 {
				for a.Post(to, body, nil) != nil { // overloaded: the others have to get on
					<-time.After(100 * time.Microsecond)
				}
			}
			return 100
		}))
		single = append(single, perSecond(b, &one.received, 1, func() int64 {
			return one.send(b, wrap([]byte(body)), 1)
		}))
		frames = append(frames, perSecond(b, &packed.received, 1, func() int64 {
			return packed.send(b, wrap(ready), inFrame)
		}))
	}
	b.ReportMetric(median(remote), "msgs/s")
	b.ReportMetric(median(single), "bare-msgs/s")
	b.ReportMetric(median(frames), "bare-packed-msgs/s")
	b.ReportMetric(100*median(remote)/median(single), "%-of-bare")
	b.ReportMetric(100*median(remote)/median(frames), "%-of-bare-packed")
	b.ReportMetric(0, "ns/op")
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}

// BenchmarkHop is the time of a question and its answer between two processes:
// of one node, and of two.
func BenchmarkHop(b *testing.B) {
	w := newTown(b)
	a, c := w.node("a"), w.node("b")
	for _, n := range []*node{a, c} {
		name := map[*node]string{a: "one-node", c: "two-nodes"}[n]
		echo := n.process("echo", func(msg any, sender *actor.PID) { n.engine.Send(sender, msg) })
		b.Run(name, func(b *testing.B) {
			var took []float64
			for b.Loop() {
				begun := time.Now()
				a.engine.SendWithSender(echo, "question", a.sink())
				<-a.got
				took = append(took, float64(time.Since(begun))/1e3)
			}
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2], "p50-µs")
			b.ReportMetric(took[len(took)*99/100], "p99-µs")
			b.ReportMetric(0, "ns/op")
		})
	}
}
