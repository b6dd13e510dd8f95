package persistence_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// BenchmarkWriter submits one message after the other to 2,000 conversations,
// at most 2,000 on their way, and waits until all are durable.
func BenchmarkWriter(b *testing.B) {
	db := persistencetest.New(b)
	n := newTenant(b, db, "bench")
	w := openWriter(b, db.URL)
	owners := make([]*owner, 2000)
	for i := range owners {
		owners[i] = newOwner(b, w, n, fmt.Sprint(i))
		require.Equal(b, domain.Committed, await(b, owners[i].submit(owners[i].text(fmt.Sprint(i), fmt.Sprint("c", i), "hello"))).Outcome)
	}
	free := make(chan struct{}, 2000)
	var running sync.WaitGroup
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		free <- struct{}{}
		o := owners[i%len(owners)]
		verdict := o.submit(o.text(fmt.Sprint(i%len(owners)), fmt.Sprint("m", i), "a message of ordinary length, as customers write them"))
		running.Add(1)
		go func() {
			defer running.Done()
			<-verdict
			<-free
		}()
		i++
	}
	running.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msgs/s")
}
