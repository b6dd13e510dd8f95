package actors

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// One million is what a node is to hold; the default keeps a run short.
var many = flag.Int("actors", 100_000, "how many actors benchmarks of many have")

// drainer is the smallest behaviour there is: it leaves when the directory
// closes.
type drainer struct {
	directory *Directory[domain.ConversationID]
	key       domain.ConversationID
	entry     *Entry
	handled   *atomic.Int64
}

func (b *drainer) Receive(msg any, _ Self) {
	if _, ok := msg.(Drain); ok {
		b.directory.Passivate(b.key, b.entry)
		return
	}
	b.handled.Add(1)
}

func newDrainers(b *testing.B) (*Directory[domain.ConversationID], *atomic.Int64) {
	s := newSystem(b)
	var d *Directory[domain.ConversationID]
	handled := new(atomic.Int64)
	d = NewDirectory(s, "conversation", func(key domain.ConversationID, entry *Entry) Behavior {
		return &drainer{directory: d, key: key, entry: entry, handled: handled}
	}, DirectoryConfig{})
	b.Cleanup(func() {
		if err := d.Close(context.WithoutCancel(b.Context())); err != nil {
			b.Log(err)
		}
	})
	return d, handled
}

func benchKey(n int) domain.ConversationID {
	var id domain.ConversationID
	id[0], id[1], id[2], id[3] = byte(n>>24), byte(n>>16), byte(n>>8), byte(n)
	return id
}

func await(handled *atomic.Int64, n int64) {
	for handled.Load() < n {
		runtime.Gosched()
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkResident measures what an idle actor costs in memory: process,
// mailbox, registry, directory and the behaviour's 48 bytes.
func BenchmarkResident(b *testing.B) {
	const actors = 100_000
	for b.Loop() {
		d, handled := newDrainers(b)
		before := heap()
		for n := range actors {
			if err := d.Tell(benchKey(n), "hello"); err != nil {
				b.Fatal(err)
			}
		}
		await(handled, actors)
		b.ReportMetric(float64(heap()-before)/actors, "B/actor")
		runtime.KeepAlive(d)
	}
}

// BenchmarkTell measures a message through the directory, with few and with
// many actors in memory.
func BenchmarkTell(b *testing.B) {
	for _, residents := range []int{10_000, *many} {
		b.Run(fmt.Sprintf("residents=%d", residents), func(b *testing.B) {
			d, handled := newDrainers(b)
			for n := range residents {
				if err := d.Tell(benchKey(n), "hello"); err != nil {
					b.Fatal(err)
				}
			}
			await(handled, int64(residents))
			handled.Store(0)
			n := 0
			for b.Loop() {
				if err := d.Tell(benchKey(n*7919%residents), "hello"); err != nil {
					b.Fatal(err)
				}
				if n++; n%1024 == 0 {
					await(handled, int64(n-1024)) // a bounded backlog, as the edges keep it
				}
			}
			await(handled, int64(n))
		})
	}
}

// BenchmarkActivationStorm starts -actors actors from several goroutines as fast
// as it can and reports the highest heap on the way beside the one at rest.
func BenchmarkActivationStorm(b *testing.B) {
	for b.Loop() {
		d, handled := newDrainers(b)
		before := heap()
		start := time.Now()
		var starting sync.WaitGroup
		workers := 2 * runtime.GOMAXPROCS(0)
		for w := range workers {
			starting.Go(func() {
				for n := w; n < *many; n += workers {
					if err := d.Tell(benchKey(n), "hello"); err != nil {
						b.Error(err)
					}
				}
			})
		}
		starting.Wait()
		await(handled, int64(*many))
		took := time.Since(start)
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		b.ReportMetric(float64(*many)/took.Seconds(), "actors/s")
		b.ReportMetric(float64(m.HeapSys-m.HeapReleased)/float64(*many), "peak-B/actor")
		b.ReportMetric(float64(heap()-before)/float64(*many), "rest-B/actor")
		runtime.KeepAlive(d)
	}
}

// BenchmarkAsk measures a question to an actor and its answer.
func BenchmarkAsk(b *testing.B) {
	s := newSystem(b)
	var d *Directory[int]
	d = NewDirectory(s, "test", leaver(&d, func(_ int, msg any, _ Self) {
		q := msg.(question)
		s.Reply(q.to, q.n)
	}), DirectoryConfig{})
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if _, err := askDirectory(b, s, d, n%1000, n); err != nil {
				b.Error(err)
			}
		}
	})
	if err := d.Close(context.WithoutCancel(b.Context())); err != nil {
		b.Fatal(err)
	}
}
