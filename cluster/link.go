package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

var (
	errSilent  = errors.New("the peer doesn't answer")
	errNoHello = errors.New("the peer doesn't finish the greeting")
	errEnded   = errors.New("the peer has ended the stream")
	errGone    = errors.New("the peer isn't in the view")
	errStopped = errors.New("this node stops")
)

// link is one connection to a peer and the stream on it. Everything of it ends
// with its context.
type link struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	conn   *grpc.ClientConn
	stream grpc.ClientStream
	node   string                    // who answered
	heard  atomic.Pointer[time.Time] // when it was last known to be alive
	ended  chan struct{}
	err    error // why; to be read once ended is closed
}

// client is a connection that gRPC makes when it is first used. It closes with
// ctx, even when nobody reads at its other end.
func (r *Remote) client(ctx context.Context, addr string) (*grpc.ClientConn, error) {
	dialer := r.security.dialer()
	return grpc.NewClient("passthrough:///"+addr,
		grpc.WithTransportCredentials(r.security.client()),
		grpc.WithContextDialer(func(dial context.Context, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(dial, "tcp", addr)
			if err != nil {
				return nil, err
			}
			context.AfterFunc(ctx, func() { _ = conn.Close() }) // gRPC would first try to say good-bye
			return conn, nil
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(raw{}), grpc.MaxCallRecvMsgSize(r.maxFrame()), grpc.MaxCallSendMsgSize(r.maxFrame())),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.DefaultConfig, MinConnectTimeout: r.cfg.MaxWait}),
		grpc.WithInitialWindowSize(streamWindow), grpc.WithInitialConnWindowSize(connWindow),
		grpc.WithIdleTimeout(0), grpc.WithDisableRetry(), grpc.WithDisableServiceConfig(),
	)
}

// connect makes a connection and says hello.
func (r *Remote) connect(ctx context.Context, addr string) (*link, error) {
	l := &link{ended: make(chan struct{})}
	l.ctx, l.cancel = context.WithCancelCause(ctx)
	timeout := time.AfterFunc(r.cfg.MaxWait, func() { l.cancel(errNoHello) })
	defer timeout.Stop()
	err := r.greet(l, addr)
	if err == nil {
		return l, nil
	}
	if cause := context.Cause(l.ctx); cause != nil {
		err = cause // gRPC would say that the context was canceled
	}
	l.close(err)
	return nil, err
}

func (r *Remote) greet(l *link, addr string) (err error) {
	if l.conn, err = r.client(l.ctx, addr); err != nil {
		return err
	}
	if l.stream, err = l.conn.NewStream(l.ctx, &messagesStream, messagesMethod); err != nil {
		return err
	}
	if err := l.stream.SendMsg(wrap(appendHello(nil, r.hello()))); err != nil && !errors.Is(err, io.EOF) {
		return err // after EOF, receiving says why
	}
	var data []byte
	if err := l.stream.RecvMsg(&data); err != nil {
		return err
	}
	l.node, err = r.greeted(l.ctx, data, addr)
	return err
}

// greeted checks who has answered.
func (r *Remote) greeted(ctx context.Context, data []byte, addr string) (node string, err error) {
	var f frame
	if err := f.read(data); err != nil {
		return "", err
	}
	if f.hello != nil && f.hello.addr != addr {
		return "", fmt.Errorf("who answers at %s calls itself %s", addr, f.hello.addr)
	}
	if err := r.admit(ctx, f.hello); err != nil {
		return "", err
	}
	return f.hello.node, nil
}

// listen takes the answers to our pings until the stream ends.
func (l *link) listen(now func() time.Time) {
	var data []byte
	var f frame
	for {
		if err := l.stream.RecvMsg(&data); err != nil {
			l.end(err)
			return
		}
		if err := f.read(data); err != nil {
			l.end(err)
			return
		}
		at := now()
		l.heard.Store(&at)
	}
}

// end notes why the stream is over. Only listen calls it.
func (l *link) end(err error) {
	switch cause := context.Cause(l.ctx); {
	case errors.Is(err, io.EOF): // the peer has read everything
	case cause != nil:
		l.err = cause
	default:
		l.err = err
	}
	close(l.ended)
}

func (l *link) close(cause error) {
	l.cancel(cause)
	if l.conn != nil {
		_ = l.conn.Close() // it only says that it is closed already
	}
}
