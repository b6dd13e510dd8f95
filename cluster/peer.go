package cluster

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// peer is another node as this one sees it: a queue, and a goroutine that keeps
// a link and writes to it what the queue has.
type peer struct {
	r     *Remote
	addr  string
	queue *queue
	ctx   context.Context
	// forget ends the peer at once.
	forget context.CancelCauseFunc
	nudge  chan struct{} // one token: it was heard of, dial now

	finishing chan struct{} // closed: write what there is, then end
	finish    func()

	sent, received, frames, undelivered atomic.Uint64

	mu      sync.Mutex
	link    *link     // nil while there is none
	node    string    // who was last there
	since   time.Time // that there is a link, or is none
	err     error     // why there is none
	session *session  // what comes in
}

// session is a stream from the peer. One at a time is read, so that what it
// sent over an earlier connection can't be overtaken.
type session struct {
	node   string
	number uint64
	stop   chan struct{} // closed by who takes its place
	done   chan struct{} // closed when it reads no more
}

func newPeer(r *Remote, addr string) *peer {
	p := &peer{
		r: r, addr: addr, queue: newQueue(r.cfg.QueueMessages, r.cfg.QueueBytes), since: r.cfg.Now(),
		nudge: make(chan struct{}, 1), finishing: make(chan struct{}),
	}
	p.ctx, p.forget = context.WithCancelCause(r.ctx)
	p.finish = sync.OnceFunc(func() {
		p.queue.close()
		close(p.finishing)
	})
	return p
}

// run keeps the link until the peer is forgotten or has finished.
func (p *peer) run() {
	defer p.end()
	select {
	case <-p.r.started:
	case <-p.ctx.Done():
		return
	}
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		p.watch()
	}()
	defer func() { <-watched }()
	defer p.forget(errStopped)
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 50*time.Millisecond, time.Second
	for {
		if !p.r.member(p.ctx, "", p.addr) {
			p.r.forget(p)
			return
		}
		l, err := p.r.connect(p.ctx, p.addr)
		if err == nil {
			pause.Reset()
			err = p.use(l)
		}
		p.down(err)
		if !p.wait(pause.NextBackOff()) {
			return
		}
	}
}

// wait reports whether to go on.
func (p *peer) wait(pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-p.nudge:
	case <-p.finishing:
		return false
	case <-p.ctx.Done():
		return false
	}
	return true
}

// heardOf makes the peer dial at once if it is waiting to.
func (p *peer) heardOf() {
	select {
	case p.nudge <- struct{}{}:
	default:
	}
}

// use writes to the link until it breaks; nil: everything has arrived.
func (p *peer) use(l *link) error {
	now := p.r.cfg.Now()
	l.heard.Store(&now)
	p.up(l)
	go l.listen(p.r.cfg.Now)
	finished := p.write(l)
	<-l.ended
	l.close(errStopped)
	if finished && l.err == nil && p.ctx.Err() == nil {
		return nil
	}
	p.r.lost(p.addr) // also of a peer that is forgotten: nothing more comes from it
	return cmp.Or(l.err, errEnded)
}

// write sends until the link ends, or until everything is sent after finish:
// true. Why a link has ended is told by l.listen.
func (p *peer) write(l *link) (finished bool) {
	beat := p.r.cfg.Silence / 3
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	var batch []message
	var pinged time.Time
	for number := uint64(0); ; {
		clear(batch)
		if batch = p.queue.take(frameBytes, batch[:0]); len(batch) == 0 {
			if p.queue.done() {
				return l.stream.CloseSend() == nil
			}
			select {
			case <-p.queue.wake:
				continue
			case <-ticker.C:
			case <-l.ended:
				return false
			}
		}
		ping, now := uint64(0), p.r.cfg.Now()
		if now.Sub(pinged) >= beat {
			number++
			ping, pinged = number, now
		}
		if len(batch) == 0 && ping == 0 {
			continue
		}
		p.sent.Add(uint64(len(batch)))
		if err := l.stream.SendMsg(pack(batch, ping, p.r.cfg.Self.Addr)); err != nil {
			return false
		}
		p.frames.Add(1)
		p.queue.wrote(p.r.cfg.Now())
	}
}

// watch takes out what has waited too long, and breaks a link that is silent,
// be it that nothing can be written to it or that nothing comes back.
func (p *peer) watch() {
	ticker := time.NewTicker(min(p.r.cfg.MaxWait, p.r.cfg.Silence) / 8)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-p.ctx.Done():
			return
		}
		now := p.r.cfg.Now()
		p.giveUp(p.queue.expired(now, p.r.cfg.MaxWait))
		p.mu.Lock()
		l := p.link
		p.mu.Unlock()
		if l != nil && now.Sub(*l.heard.Load()) > p.r.cfg.Silence {
			l.cancel(errSilent)
		}
	}
}

// giveUp tells that messages were not sent.
func (p *peer) giveUp(messages []message) {
	for _, m := range messages {
		p.r.undelivered(m.to, m.msg)
	}
	p.undelivered.Add(uint64(len(messages)))
}

func (p *peer) up(l *link) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.node != "" && p.node != l.node {
		p.r.cfg.Logger.Info("another process has taken the place of a peer", "addr", p.addr, "before", p.node, "now", l.node)
	}
	p.link, p.node, p.since, p.err = l, l.node, p.r.cfg.Now(), nil
	p.r.cfg.Logger.Info("link to peer is up", "peer", p.node, "addr", p.addr)
}

func (p *peer) down(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil && (p.link != nil || p.err == nil) { // and not at each try
		p.r.cfg.Logger.Warn("no link to peer", "peer", p.node, "addr", p.addr, "error", err)
	}
	if p.link != nil {
		p.link, p.since = nil, p.r.cfg.Now()
	}
	p.err = err
}

// end hands back what wasn't sent.
func (p *peer) end() {
	p.forget(errStopped)
	p.finish()
	p.giveUp(p.queue.rest())
	p.r.forget(p)
}

// reaches is false when there has been no link for longer than d.
func (p *peer) reaches(d time.Duration) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link != nil || p.r.cfg.Now().Sub(p.since) <= d
}

// begin makes s the stream that is read, when the one before it is over. It is
// false for one that the peer began earlier: a network that was cut delivers
// such late.
func (p *peer) begin(s *session) bool {
	p.mu.Lock()
	before := p.session
	if before != nil && before.node == s.node && before.number > s.number {
		p.mu.Unlock()
		return false
	}
	p.session = s
	p.mu.Unlock()
	if before != nil {
		close(before.stop)
		<-before.done
	}
	return true
}
