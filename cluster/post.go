package cluster

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// Send is Post for who doesn't wait for an answer: what can't be posted is told
// as undelivered.
func (r *Remote) Send(to *actor.PID, msg any, sender *actor.PID) {
	if err := r.Post(to, msg, sender); err != nil {
		r.cfg.Logger.Debug("message to another node refused", "to", to.String(), "error", err)
		r.undelivered(to, msg)
	}
}

// Post sends msg to a process of another node; sender may be nil. It encodes,
// and never waits. An error says that msg certainly is not sent:
// domain.ErrOverloaded, the queue to that node is full; domain.ErrUnavailable,
// the node isn't there, or this one stops; ErrTooLarge, or another
// domain.ErrFailed, the message can't travel at all. No error says that it
// will be written, in the order of Posts to that node, or told as undelivered.
func (r *Remote) Post(to *actor.PID, msg any, sender *actor.PID) error {
	body, err := r.cfg.Codec.Encode(msg)
	if err != nil {
		return fmt.Errorf("%w: encode a %T for another node: %w", domain.ErrFailed, msg, err)
	}
	m := message{to: to, sender: sender, msg: msg, body: body, since: r.cfg.Now()}
	if m.size = measure(&m, r.cfg.Self.Addr); m.size > r.cfg.MaxMessage {
		return fmt.Errorf("%w: a %T of %d bytes, the limit is %d", ErrTooLarge, msg, m.size, r.cfg.MaxMessage)
	}
	p, err := r.peer(to.Address)
	if err != nil {
		return err
	}
	return p.queue.push(m)
}

// Reaches is false for a node to which there has been no link for longer than
// the lease, and for one that isn't a member.
func (r *Remote) Reaches(addr string) bool {
	r.mu.RLock()
	p := r.peers[addr]
	r.mu.RUnlock()
	if p == nil {
		return isMember(r.cfg.View(), "", addr)
	}
	return p.reaches(r.cfg.Lease)
}

// Follow takes note of a new view: links to nodes that aren't in it any more are
// closed, nodes that are new in it get one. It is for Member.Watch.
func (r *Remote) Follow(_, after *View) {
	r.mu.RLock()
	var gone []*peer
	for addr, p := range r.peers {
		if !isMember(after, "", addr) {
			gone = append(gone, p)
		}
	}
	r.mu.RUnlock()
	for _, p := range gone {
		r.forget(p)
	}
	for _, n := range after.Nodes() {
		if n.Addr == r.cfg.Self.Addr {
			continue
		}
		if _, err := r.peer(n.Addr); err != nil {
			r.cfg.Logger.Warn("no link to a new peer", "peer", n.Name, "error", err)
		}
	}
}

// ViewOf asks the node at addr for its view.
func (r *Remote) ViewOf(ctx context.Context, addr string) (*View, error) {
	// The life of a connection is that of its context, and this one is for one call.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, err := r.client(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its view: %w", addr, err)
	}
	defer conn.Close()
	var answer []byte
	if err := conn.Invoke(ctx, viewMethod, wrap(appendHello(nil, r.hello())), &answer); err != nil {
		return nil, fmt.Errorf("ask %s for its view: %w", addr, err)
	}
	return DecodeView(answer)
}

// peer is the one at addr, made if there is none: whether it is a member is
// found out before it is dialled.
func (r *Remote) peer(addr string) (*peer, error) {
	r.mu.RLock()
	p := r.peers[addr]
	r.mu.RUnlock()
	if p != nil {
		return p, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.peers[addr]; p != nil {
		return p, nil
	}
	if r.stopped || len(r.peers) >= maxPeers {
		return nil, fmt.Errorf("no link to %s: %w", addr, domain.ErrUnavailable)
	}
	p = newPeer(r, addr)
	r.peers[addr] = p
	r.links.Go(p.run)
	return p, nil
}

// forget closes the link to a peer; what waits for it is undelivered.
func (r *Remote) forget(p *peer) {
	r.mu.Lock()
	if r.peers[p.addr] == p {
		delete(r.peers, p.addr)
	}
	r.mu.Unlock()
	p.forget(errGone)
	p.queue.close()
}

// member reports whether a node is in our view, or in a newer one if there is
// one. An empty name is any at that address.
func (r *Remote) member(ctx context.Context, name, addr string) bool {
	if isMember(r.cfg.View(), name, addr) {
		return true
	}
	r.refreshing.Lock()
	defer r.refreshing.Unlock()
	if isMember(r.cfg.View(), name, addr) {
		return true
	}
	// Who asks again and again doesn't make us do the same.
	if r.cfg.Now().Sub(r.refreshed) < refreshEvery {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := r.cfg.Refresh(ctx); err != nil {
		r.cfg.Logger.Debug("the view can't be refreshed", "error", err)
	}
	r.refreshed = r.cfg.Now()
	return isMember(r.cfg.View(), name, addr)
}

const refreshEvery = 250 * time.Millisecond

func isMember(v *View, name, addr string) bool {
	return slices.ContainsFunc(v.Nodes(), func(n Node) bool { return n.Addr == addr && (name == "" || n.Name == name) })
}
