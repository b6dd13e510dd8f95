package actors

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// DirectoryConfig bounds the actors of one kind.
type DirectoryConfig struct {
	// MaxResidents is how many may be in memory; 0: no bound of ours.
	// Overflow: Tell refuses the message that would make one more.
	MaxResidents int
	// MaxWaiting is how many messages may wait for one actor; 0: 16,384.
	// Overflow: Tell refuses.
	MaxWaiting int
	// IdleTTL is after how long without a message an actor is asked, by Idle,
	// to leave; 0: never.
	IdleTTL time.Duration
}

const (
	defaultMaxWaiting = 16_384
	directoryShards   = 64
	// inboxSize is what Hollywood allocates per actor before anything is sent:
	// its default of 1,024 would cost 28 KB. It doubles as needed.
	inboxSize = 4
)

// Idle tells an actor that nobody has sent anything for the directory's
// IdleTTL. If it has nothing under way, it calls Passivate.
type Idle struct{}

// Drain tells an actor that the directory is closing: it finishes what it has,
// and then calls Passivate, now or later. It may come more than once.
type Drain struct{}

// Directory knows the actors of one kind by their keys. It makes them when
// somebody sends them something and lets them go when they are idle, in such a
// way that no message is ever left in the mailbox of one that goes: sending
// and leaving exclude each other by the lock of the key's shard.
type Directory[K comparable] struct {
	system  *System
	kind    string
	spawn   func(key K, entry *Entry) Behavior
	config  DirectoryConfig
	placing *placing[K] // nil: all actors are here

	mark   *actor.PID // the "sender" of every message that went through Tell
	seed   maphash.Seed
	shards [directoryShards]shard[K]

	residents atomic.Int64 // processes; the last of an actor that is going included
	waiting   atomic.Int64 // messages in all mailboxes

	closed      atomic.Bool
	empty       chan struct{} // closed when closed and nobody is left
	emptied     sync.Once
	stopSweeper func()
}

type shard[K comparable] struct {
	mu        sync.Mutex
	residents map[K]*resident[K]
}

// NewDirectory makes the directory of the actors called kind, of which a system
// has one. Spawn makes an actor's behaviour; it is called in the actor's own
// process when its first message comes, so it may use the directory. Close it:
// with an IdleTTL it runs a goroutine.
func NewDirectory[K comparable](
	s *System, kind string, spawn func(key K, entry *Entry) Behavior, limit DirectoryConfig,
) *Directory[K] {
	limit.MaxWaiting = cmp.Or(limit.MaxWaiting, defaultMaxWaiting)
	d := &Directory[K]{
		system: s, kind: kind, spawn: spawn, config: limit,
		mark: actor.NewPID(s.engine.Address(), kind), seed: maphash.MakeSeed(),
		empty: make(chan struct{}), stopSweeper: func() {},
	}
	for i := range d.shards {
		d.shards[i].residents = make(map[K]*resident[K])
	}
	err := s.metrics.watch(kind,
		func() float64 { return float64(d.Len()) },
		func() float64 { return float64(d.waiting.Load()) })
	if err != nil {
		panic(fmt.Sprintf("actors: second directory of kind %q: %v", kind, err))
	}
	if limit.IdleTTL > 0 {
		d.startSweeper()
	}
	return d
}

// Tell sends msg to the actor of key, making it when it isn't in memory. It
// returns domain.ErrOverloaded when a bound is reached and domain.ErrUnavailable
// once the directory is closed; msg was then certainly not taken.
func (d *Directory[K]) Tell(key K, msg any) error {
	return d.tell(key, msg, ordinary)
}

// insist is Tell without the bound of the mailbox, for what its sender sends
// once per thing that was let in under a bound.
func (d *Directory[K]) insist(key K, msg any) error { return d.tell(key, msg, insisting) }

// conclude is insist for what an actor waits for: one that is still there while
// the directory closes gets it, too. Such an actor has to look after each
// message whether it can leave.
func (d *Directory[K]) conclude(key K, msg any) error { return d.tell(key, msg, concluding) }

// tellHere sends msg to the actor of key on this node. It makes none when another
// node owns the key: errElsewhere.
func (d *Directory[K]) tellHere(key K, msg any, m mode) error {
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.residents[key]
	if d.closed.Load() && (!ok || m != concluding) {
		return fmt.Errorf("%s directory is closed: %w", d.kind, domain.ErrUnavailable)
	}
	if !ok {
		// Under the lock: rebalance comes after a change of the view, so whoever
		// is made before it is found by it.
		if d.strays(key, msg) {
			return errElsewhere
		}
		var err error
		if r, err = d.activate(key); err != nil {
			return err
		}
		s.residents[key] = r
	}
	if m == ordinary && int(r.waiting.Load()) >= d.config.MaxWaiting {
		return fmt.Errorf("mailbox of the %s is full: %w", d.kind, domain.ErrOverloaded)
	}
	d.deliver(r, msg)
	return nil
}

// activate starts the process of a new actor. None of the actor's own code runs
// yet.
func (d *Directory[K]) activate(key K) (*resident[K], error) {
	if n := d.residents.Add(1); d.config.MaxResidents > 0 && n > int64(d.config.MaxResidents) {
		d.left()
		return nil, fmt.Errorf("too many %s actors: %w", d.kind, domain.ErrOverloaded)
	}
	r := &resident[K]{key: key, directory: d}
	// The id is new for each activation: to an id that exists Hollywood would
	// silently give the old process, which may be on its way out.
	r.pid = d.system.engine.Spawn(func() actor.Receiver { return r }, d.kind,
		actor.WithID(d.system.name(fmt.Sprint(key))), actor.WithInboxSize(inboxSize))
	return r, nil
}

// deliver puts msg into r's mailbox. The caller holds the shard's lock.
func (d *Directory[K]) deliver(r *resident[K], msg any) {
	r.waiting.Add(1)
	d.waiting.Add(1)
	r.lastUsed = d.system.now().UnixNano()
	d.system.engine.SendWithSender(r.pid, msg, d.mark)
}

// Passivate takes the actor out of the directory if no message is on its way to
// it. True: nobody can reach it any more, and its process stops after the
// current Receive. False: it stays, as there is more to do. Only the actor
// itself calls it, as the last thing that a Receive does, with everything it
// owed done: the next activation may run from here on.
func (d *Directory[K]) Passivate(key K, entry *Entry) bool {
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry.waiting.Load() > 0 {
		return false
	}
	d.remove(s, key, entry)
	return true
}

// evict takes a failed actor out, whatever waits for it: that is refused.
func (d *Directory[K]) evict(r *resident[K]) {
	s := d.shard(r.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	d.remove(s, r.key, &r.Entry)
}

// remove takes entry out, unless key has a newer activation by now. The caller
// holds the shard's lock.
func (d *Directory[K]) remove(s *shard[K], key K, entry *Entry) {
	if r, ok := s.residents[key]; ok && &r.Entry == entry {
		delete(s.residents, key)
	}
	entry.gone = true
}

// Len is how many actors are in memory.
func (d *Directory[K]) Len() int { return int(d.residents.Load()) }

// Close makes no more actors, asks all to finish (Drain) and waits until the
// last one is gone or ctx ends. It may be called again to go on waiting.
func (d *Directory[K]) Close(ctx context.Context) error {
	d.stopSweeper()
	d.closed.Store(true)
	for i := range d.shards {
		d.drain(&d.shards[i])
	}
	d.checkEmpty()
	select {
	case <-d.empty:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close %s directory: %d actors left: %w", d.kind, d.Len(), context.Cause(ctx))
	}
}

func (d *Directory[K]) drain(s *shard[K]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.residents {
		d.deliver(r, Drain{})
	}
}

// left counts a process that is no more.
func (d *Directory[K]) left() {
	d.residents.Add(-1)
	d.checkEmpty()
}

// checkEmpty tells Close when nobody is left. Closed is set before Close looks,
// so either the last to leave sees it or Close sees that there is nobody.
func (d *Directory[K]) checkEmpty() {
	if d.closed.Load() && d.residents.Load() == 0 {
		d.emptied.Do(func() { close(d.empty) })
	}
}

func (d *Directory[K]) shard(key K) *shard[K] {
	return &d.shards[maphash.Comparable(d.seed, key)%directoryShards]
}
