package actors

import (
	"errors"
	"fmt"

	"github.com/anthdm/hollywood/actor"

	"github.com/chatopshub/chatopshub/domain"
)

// This file makes a Directory one of a cluster's: the actor of a key lives on
// the node that owns the key. How it gets there is in moving.go.

// placing is what a directory knows of placement.
type placing[K comparable] struct {
	bytes func(K) [16]byte
	key   func([16]byte) K
	// anywhere allows a second actor of a key, on a node that doesn't reach the
	// owner's: what it does is fenced.
	anywhere bool
	// leftover is what is kept of an actor that isn't in memory; nil: nothing.
	leftover func(K) any
}

// place has the directory's actors on the nodes that own their keys, if there
// are several nodes. Call it before anything is sent.
func place[K ~[16]byte](d *Directory[K], how placing[K]) {
	if d.system.router == nil {
		return
	}
	how.bytes = func(k K) [16]byte { return k }
	how.key = func(b [16]byte) K { return K(b) }
	d.placing = &how
	d.system.router.register(d.kind, d)
}

// owns reports whether the key's actor belongs on this node.
func (d *Directory[K]) owns(key K) bool {
	_, is := d.elsewhere(key)
	return !is
}

// elsewhere is the node where the key's actor belongs, if that is another one.
func (d *Directory[K]) elsewhere(key K) (addr string, is bool) {
	if d.placing == nil {
		return "", false
	}
	addr, is = d.system.router.elsewhere(d.placing.bytes(key))
	if is && d.placing.anywhere && !d.system.router.remote.Reaches(addr) {
		return "", false
	}
	return addr, is
}

// errElsewhere: the key is another node's.
var errElsewhere = errors.New("another node owns the actor")

// strays reports whether an actor that was made here for msg would be on the
// wrong node. One whose state comes with it is sent on, if need be.
func (d *Directory[K]) strays(key K, msg any) bool {
	_, handedOver := msg.(parcel)
	return !handedOver && !d.owns(key)
}

// tell sends msg to the actor of key, wherever that is.
func (d *Directory[K]) tell(key K, msg any, m mode) error {
	if d.placing == nil {
		return d.tellHere(key, msg, m)
	}
	return d.send(key, letter{Kind: d.kind, Key: d.placing.bytes(key), Mode: m, Msg: msg})
}

func (d *Directory[K]) send(key K, l letter) error {
	for range maxReturns {
		addr, is := d.elsewhere(key)
		if is && (l.Mode != concluding || !d.has(key)) {
			return d.system.router.forward(addr, l)
		}
		if err := d.tellHere(key, l.Msg, l.Mode); !errors.Is(err, errElsewhere) {
			return err
		}
	}
	return fmt.Errorf("nobody owns the %s: %w", d.kind, domain.ErrUnavailable)
}

func (d *Directory[K]) has(key K) bool {
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.residents[key]
	return ok
}

// arrive implements destination.
func (d *Directory[K]) arrive(l letter) error {
	return d.tellHere(d.placing.key(l.Key), l.Msg, l.Mode)
}

// again implements destination.
func (d *Directory[K]) again(l letter) error {
	if w := d.system.router.waiter(l.Msg); w != nil {
		w.at.Store(nil)
	}
	return d.send(d.placing.key(l.Key), l)
}

// fetched implements destination.
func (d *Directory[K]) fetched(key [16]byte, to *actor.PID) {
	k := d.placing.key(key)
	switch {
	case d.owns(k):
		d.system.Reply(to, parcel{Stays: d.system.router.placement.Export()})
	case !d.tellResident(k, moveOut{to}):
		d.giveLeftover(k, to)
	}
}

// giveLeftover answers who asks for the state of an actor that isn't in memory.
func (d *Directory[K]) giveLeftover(k K, to *actor.PID) {
	var state any
	if d.placing.leftover != nil {
		state = d.placing.leftover(k)
	}
	d.system.Reply(to, parcel{State: state})
}

func (d *Directory[K]) tellResident(key K, msg any) bool {
	s := d.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.residents[key]
	if ok {
		d.deliver(r, msg)
	}
	return ok
}

// rebalance implements destination.
func (d *Directory[K]) rebalance() {
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		for key, r := range s.residents {
			if !d.owns(key) {
				d.deliver(r, moveOut{})
			}
		}
		s.mu.Unlock()
	}
}

// strangers implements destination.
func (d *Directory[K]) strangers() int {
	n := 0
	for i := range d.shards {
		s := &d.shards[i]
		s.mu.Lock()
		for key := range s.residents {
			if !d.owns(key) {
				n++
			}
		}
		s.mu.Unlock()
	}
	return n
}

// each tells msg to all who are in memory here.
func (d *Directory[K]) each(msg any) {
	for i := range d.shards {
		d.eachOf(i, msg)
	}
}

// eachOf is each for one of the directoryShards parts of those.
func (d *Directory[K]) eachOf(part int, msg any) {
	s := &d.shards[part]
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.residents {
		d.deliver(r, msg)
	}
}
