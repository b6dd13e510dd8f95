package main

import (
	"math/rand/v2"
	"sync"
)

// desk is what the load generator knows of a day's conversations: who waits, who
// is being served and by whom. A conversation that somebody works on just now is
// in neither list.
type desk struct {
	mu      sync.Mutex
	threads []thread
	pending []int
	held    []int
}

// thread is one conversation.
type thread struct {
	state  threadState
	holder int  // agent
	wrote  bool // the customer did, while somebody worked on it
}

type threadState int

const (
	threadDone threadState = iota
	threadPending
	threadHeld
	threadBusy
)

func newDesk(n int) *desk { return &desk{threads: make([]thread, n)} }

// wrote says that a customer's message was taken.
func (d *desk) wrote(i int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch t := &d.threads[i]; t.state {
	case threadDone:
		d.put(i, threadPending)
	case threadBusy:
		t.wrote = true
	case threadPending, threadHeld:
	}
}

// put lays a conversation into its list.
func (d *desk) put(i int, state threadState) {
	d.threads[i].state, d.threads[i].wrote = state, false
	switch state {
	case threadPending:
		d.pending = append(d.pending, i)
	case threadHeld:
		d.held = append(d.held, i)
	case threadDone, threadBusy:
	}
}

// take takes some conversation out of a list; whoever did gives it back.
func (d *desk) take(list *[]int) (i, holder int, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(*list) == 0 {
		return 0, 0, false
	}
	at := rand.IntN(len(*list))
	i = (*list)[at]
	last := len(*list) - 1
	(*list)[at] = (*list)[last]
	*list = (*list)[:last]
	d.threads[i].state = threadBusy
	return i, d.threads[i].holder, true
}

// hold gives a conversation back to its holder.
func (d *desk) hold(i, holder int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.threads[i].holder = holder
	d.put(i, threadHeld)
}

// finish gives a conversation back as completed. If its customer wrote meanwhile,
// it may have been reopened by that: then somebody finds out by trying.
func (d *desk) finish(i int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.threads[i].wrote {
		d.put(i, threadPending)
		return
	}
	d.put(i, threadDone)
}

// wait gives a conversation back as waiting.
func (d *desk) wait(i int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.put(i, threadPending)
}
