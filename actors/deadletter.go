package actors

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// deadLetterLogEvery is how often at most dead letters are logged; the metric
// counts every one.
const deadLetterLogEvery = 10 * time.Second

// deadLetters takes what nobody was there for. It is a process without a
// mailbox: Send runs in the goroutine of Hollywood's event stream.
type deadLetters struct {
	system *System
	pid    *actor.PID

	unlogged atomic.Uint64
	nextLog  atomic.Int64 // Unix nanoseconds
}

func (s *System) collectDeadLetters() {
	d := &deadLetters{system: s, pid: actor.NewPID(s.engine.Address(), s.name("deadletters"))}
	s.engine.SpawnProc(d)
	s.engine.Subscribe(d.pid)
}

// Send counts a dead letter and tells the one who waits for an answer at once
// that there will be none, instead of leaving that to a time-out.
func (d *deadLetters) Send(_ *actor.PID, msg any, _ *actor.PID) {
	letter, ok := msg.(actor.DeadLetterEvent)
	if !ok {
		return // the stream also tells of starts and stops
	}
	if isAsk(letter.Target) {
		d.system.metrics.lateReplies.Inc()
		return
	}
	d.system.metrics.deadLetters.Inc()
	d.log(letter)
	d.system.refuse(letter.Message, fmt.Errorf("actor is gone: %w", domain.ErrUnavailable))
}

func (d *deadLetters) log(letter actor.DeadLetterEvent) {
	n := d.unlogged.Add(1)
	now, next := d.system.now().UnixNano(), d.nextLog.Load()
	if now < next || !d.nextLog.CompareAndSwap(next, now+int64(deadLetterLogEvery)) {
		return
	}
	d.unlogged.Add(-n)
	d.system.log.Warn("dead letters", "count", n, "target", letter.Target.GetID(),
		"message", fmt.Sprintf("%T", letter.Message))
}

// The rest of actor.Processer.
func (d *deadLetters) PID() *actor.PID         { return d.pid }
func (d *deadLetters) Start()                  {}
func (d *deadLetters) Shutdown()               {}
func (d *deadLetters) Invoke([]actor.Envelope) {}
