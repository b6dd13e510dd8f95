package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/anthdm/hollywood/actor"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

const (
	serviceName    = "chatopshub.Cluster"
	messagesMethod = "/" + serviceName + "/Messages"
	viewMethod     = "/" + serviceName + "/View"

	// The windows bound what a receiver that falls behind has in memory, and
	// don't slow down one that keeps up.
	streamWindow = 1 << 20
	connWindow   = 2 << 20
)

// messagesStream carries frames of messages one way, and answers to pings the
// other.
var messagesStream = grpc.StreamDesc{StreamName: "Messages", ClientStreams: true, ServerStreams: true}

// service is written by hand: its messages are bytes to gRPC.
func service() *grpc.ServiceDesc {
	messages := messagesStream
	messages.Handler = func(srv any, stream grpc.ServerStream) error { return srv.(*Remote).serveMessages(stream) }
	view := func(srv any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var data []byte
		if err := decode(&data); err != nil {
			return nil, err
		}
		return srv.(*Remote).serveView(data)
	}
	return &grpc.ServiceDesc{
		ServiceName: serviceName,
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{messages},
		Methods:     []grpc.MethodDesc{{MethodName: "View", Handler: view}},
	}
}

func (r *Remote) newServer() *grpc.Server {
	s := grpc.NewServer(
		grpc.Creds(r.security.server()),
		grpc.ForceServerCodecV2(raw{}),
		grpc.MaxRecvMsgSize(r.maxFrame()), grpc.MaxSendMsgSize(r.maxFrame()),
		grpc.InitialWindowSize(streamWindow), grpc.InitialConnWindowSize(connWindow),
		grpc.ConnectionTimeout(r.cfg.MaxWait), grpc.MaxConcurrentStreams(16),
		// Connections of nodes that vanished are closed.
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: r.cfg.Silence, Timeout: r.cfg.Silence}),
		grpc.WaitForHandlers(true),
	)
	s.RegisterService(service(), r)
	return s
}

// maxFrame is the size of a frame with the largest message, or with many.
func (r *Remote) maxFrame() int { return r.cfg.MaxMessage + frameBytes }

func (r *Remote) hello() hello {
	return hello{protocol, oldestProtocol, r.cfg.Cluster, r.cfg.Self.Name, r.cfg.Self.Addr, r.connections.Add(1)}
}

// related refuses a node of another cluster or of a release too far away.
func (r *Remote) related(h *hello) error {
	switch {
	case h == nil:
		return status.Error(codes.InvalidArgument, "a hello comes first")
	case h.oldest > protocol || h.protocol < oldestProtocol:
		return status.Errorf(codes.FailedPrecondition, "node %s speaks protocols %d to %d, this one %d to %d",
			h.node, h.oldest, h.protocol, oldestProtocol, protocol)
	case h.cluster != r.cfg.Cluster:
		return status.Errorf(codes.PermissionDenied, "node %s is of cluster %q, this one of %q", h.node, h.cluster, r.cfg.Cluster)
	case h.node == "" || h.addr == "":
		return status.Error(codes.InvalidArgument, "the hello lacks the node's name or address")
	}
	return nil
}

// admit refuses who isn't a member of this cluster.
func (r *Remote) admit(ctx context.Context, h *hello) error {
	if err := r.related(h); err != nil {
		return err
	}
	if !r.member(ctx, h.node, h.addr) {
		return status.Errorf(codes.PermissionDenied, "node %s at %s isn't in the view of %s", h.node, h.addr, r.cfg.Self.Name)
	}
	return nil
}

// serveView is for relatives, members or not: it is how a node finds out that
// it isn't one any more.
func (r *Remote) serveView(data []byte) (any, error) {
	var f frame
	if err := f.read(data); err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if err := r.related(f.hello); err != nil {
		return nil, err
	}
	return wrap(r.cfg.View().Encode()), nil
}

func (r *Remote) serveMessages(stream grpc.ServerStream) error {
	var data []byte
	if err := stream.RecvMsg(&data); err != nil {
		return err
	}
	var f frame
	if err := f.read(data); err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if err := r.admit(stream.Context(), f.hello); err != nil {
		r.cfg.Logger.Warn("a node was refused", "error", err)
		return err
	}
	p, err := r.peer(f.hello.addr)
	if err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	s := &session{node: f.hello.node, number: f.hello.number, stop: make(chan struct{}), done: make(chan struct{})}
	if !p.begin(s) {
		return status.Error(codes.Aborted, "the node has connected again")
	}
	p.heardOf()
	var broken error
	// In a goroutine of its own, since gRPC ends what is blocked in receiving
	// only when the handler returns.
	r.serving.Go(func() {
		defer close(s.done)
		broken = r.take(stream, p)
	})
	select {
	case <-s.done:
		return broken
	case <-s.stop:
		return status.Error(codes.Aborted, "the node has connected again")
	case <-p.ctx.Done():
		return status.Error(codes.Unavailable, context.Cause(p.ctx).Error())
	}
}

// take says hello and brings what comes to its processes.
func (r *Remote) take(stream grpc.ServerStream, p *peer) error {
	if err := stream.SendMsg(wrap(appendHello(nil, r.hello()))); err != nil {
		return err
	}
	var data []byte
	var f frame
	for {
		if err := stream.RecvMsg(&data); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := f.read(data); err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		for i := range f.messages {
			r.deliver(&f.messages[i], p)
		}
		p.received.Add(uint64(len(f.messages)))
		if f.ping == 0 {
			continue
		}
		if err := stream.SendMsg(wrap(appendPing(nil, f.ping))); err != nil {
			return err
		}
	}
}

func (r *Remote) deliver(e *envelope, p *peer) {
	msg, err := r.decode(e.body)
	if err != nil {
		r.complain(p, err)
		if r.cfg.Unreadable != nil {
			r.cfg.Unreadable(err)
		}
		return
	}
	var sender *actor.PID
	if e.sender != "" {
		addr := e.address
		if addr == "" {
			addr = p.addr
		}
		sender = actor.NewPID(addr, e.sender)
	}
	r.engine.SendLocal(actor.NewPID(r.cfg.Self.Addr, e.target), msg, sender)
}

// decode keeps a fault of the codec from ending the process: what it reads was
// written elsewhere.
func (r *Remote) decode(body []byte) (msg any, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("panic: %v", fault)
		}
	}()
	return r.cfg.Codec.Decode(body)
}

// complain counts what can't be read, and says so now and then.
func (r *Remote) complain(p *peer, err error) {
	n := r.unreadable.Add(1)
	now, last := r.cfg.Now().UnixNano(), r.complained.Load()
	if now-last >= int64(10*time.Second) && r.complained.CompareAndSwap(last, now) {
		r.cfg.Logger.Error("a message of a peer can't be read", "addr", p.addr, "error", err, "so_far", n)
	}
}
