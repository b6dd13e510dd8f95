package actors

import "slices"

// This file tells who is concerned when the view changes or a connection breaks.

// onChange has f called after each change of the view, once everybody who has
// to leave was told. It doesn't wait for anything.
func (r *router) onChange(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, f)
}

// onLost has f called when the connection to a node broke, so that what was sent
// there may not have arrived. It doesn't wait for anything.
func (r *router) onLost(f func(addr string)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.losses = append(r.losses, f)
}

// onDisturbance has f called after both: what was sent last may have gone astray.
func (r *router) onDisturbance(f func()) {
	r.onChange(f)
	r.onLost(func(string) { f() })
}

// viewChanged has everybody look who is on the wrong node now.
func (r *router) viewChanged() {
	r.changed.Store(r.system.now().UnixNano())
	r.wake()
}

func (r *router) wake() {
	select {
	case r.moves <- struct{}{}:
	default: // it will see this, too
	}
}

func (r *router) move() {
	var known int64
	for {
		select {
		case <-r.stopped:
			return
		case <-r.moves:
		}
		if n := r.placement.Number(); n != known {
			known = n
			r.tellChanges()
		}
		r.tellLosses()
	}
}

func (r *router) tellChanges() {
	for _, d := range r.destinations() {
		d.rebalance()
	}
	r.mu.RLock()
	changes := slices.Clone(r.changes)
	r.mu.RUnlock()
	for _, f := range changes {
		f()
	}
}

func (r *router) tellLosses() {
	r.mu.Lock()
	losses, broken := slices.Clone(r.losses), r.broken
	r.broken = nil
	r.mu.Unlock()
	for _, addr := range broken {
		for _, f := range losses {
			f(addr)
		}
	}
}
