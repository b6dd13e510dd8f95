package embedded

import (
	"crypto/rand"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// expiryTick is how late a key of the stand-in may expire.
const expiryTick = 100 * time.Millisecond

// Valkey is an in-process server that speaks Valkey's protocol on a loopback
// port behind a random password. It keeps nothing.
type Valkey struct {
	server  *miniredis.Miniredis
	url     string
	stop    chan struct{}
	stopped chan struct{}
	once    sync.Once
}

// StartValkey runs one on a free port until Close.
func StartValkey() (*Valkey, error) {
	v := &Valkey{
		server:  miniredis.NewMiniRedis(),
		stop:    make(chan struct{}),
		stopped: make(chan struct{}),
	}
	password := rand.Text()
	v.server.RequireAuth(password)
	if err := v.server.Start(); err != nil {
		return nil, fmt.Errorf("embedded Valkey: %w", err)
	}
	u := url.URL{Scheme: "redis", User: url.UserPassword("", password), Host: v.server.Addr(), Path: "/0"}
	v.url = u.String()
	go v.expire()
	return v, nil
}

// expire moves the clock of the keys, which in this library stands still.
func (v *Valkey) expire() {
	defer close(v.stopped)
	tick := time.NewTicker(expiryTick)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case now := <-tick.C:
			v.server.FastForward(now.Sub(last))
			last = now
		case <-v.stop:
			return
		}
	}
}

// URL is the connection string, password included.
func (v *Valkey) URL() string { return v.url }

// Close ends it and forgets everything. Closing again does nothing.
func (v *Valkey) Close() {
	v.once.Do(func() {
		close(v.stop)
		<-v.stopped
		v.server.Close()
	})
}
