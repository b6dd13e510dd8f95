package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// TestTimeTellsNotWhoHasAnAccount compares how long wrong logins take for
// e-mails with and without an account, by the rank-sum test of Mann and Whitney:
// with 150 of each, in random order and side by side, |z| stays below 4.4 but for
// one run in 100,000 if the two can't be told apart. Somebody who compares one
// answer with one other must guess right in less than two of three cases.
func TestTimeTellsNotWhoHasAnAccount(t *testing.T) {
	t.Parallel()
	const each = 150
	db := persistencetest.New(t)
	p := runProgram(t, db, "TRUSTED_PROXIES=127.0.0.0/8,::1/128")
	n := newTenantRows(t, db, "acme", "7001")
	hash, err := auth.NewHasher(1).Hash(context.Background(), "the right one")
	require.NoError(t, err)
	client := testClient(t)

	type probe struct {
		email string
		known bool
		took  time.Duration
	}
	var probes []*probe
	for i := range each {
		name := fmt.Sprintf("known%d", i)
		n.agent(name, domain.RoleAgent)
		probes = append(probes, &probe{email: name + "@example.com", known: true}, &probe{email: fmt.Sprintf("never%d@example.com", i)})
	}
	n.exec(`UPDATE users SET password_hash = $2 WHERE organization_id = $1`, n.org, hash)
	rand.Shuffle(len(probes), func(i, j int) { probes[i], probes[j] = probes[j], probes[i] })

	var group sync.WaitGroup
	for worker := range 6 {
		group.Go(func() {
			for i := worker; i < len(probes); i += 6 {
				begun := time.Now()
				status, _ := loginAs(t, client, p, fmt.Sprintf("10.9.%d.%d", i/250, i%250), probes[i].email, "a wrong one")
				probes[i].took = time.Since(begun)
				if status != http.StatusUnauthorized {
					t.Errorf("answered %d", status)
				}
			}
		})
	}
	group.Wait()

	slices.SortFunc(probes, func(a, b *probe) int { return int(a.took - b.took) })
	var ranks float64
	for i, q := range probes {
		if q.known {
			ranks += float64(i + 1)
		}
	}
	u := ranks - each*(each+1)/2
	z := (u - each*each/2) / math.Sqrt(each*each*(2*each+1)/12.0)
	guessed := u / (each * each)
	t.Logf("z %.2f, a guess is right in %.0f %%; fastest %v, median %v, slowest %v", z, 100*max(guessed, 1-guessed),
		probes[0].took, probes[each].took, probes[2*each-1].took)
	require.Less(t, math.Abs(z), 4.4, "the time tells who has an account")
	require.InDelta(t, 0.5, guessed, 1.0/6)
}
