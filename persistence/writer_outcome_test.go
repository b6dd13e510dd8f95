package persistence_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func send(by domain.Caller, body string) domain.Send {
	return domain.Send{By: by, Draft: domain.Draft{
		Type: domain.TypeTemplate, Body: body,
		Metadata: domain.MessageMetadata{Content: &domain.Content{
			Type: domain.TypeTemplate, Template: &domain.Template{Name: "hello", Language: "en"},
		}},
	}}
}

// The connection breaks around a commit, another owner changes the conversation
// before the writer is back, and the writer still knows what it has stored.
func TestWriterKnowsWhatItHasStored(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breaks func(packet) bool
		how    fate
		stored bool
	}{
		"the answer to COMMIT is lost":     {isCommitted, cut, true},
		"COMMIT is lost":                   {isCommit, cut, false},
		"half of COMMIT arrives":           {isCommit, cutHalf, false},
		"half of the messages arrive":      {func(p packet) bool { return isBind(p, "insert_messages") }, cutHalf, false},
		"half of the fence's rows arrives": {func(p packet) bool { return isBind(p, "fence") }, cutHalf, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := persistencetest.New(t)
			n := newTenant(t, db, "unknown")
			by := n.caller(n.agent("ada"))
			network, behind := newProxy(t, db.URL)
			o := newOwner(t, openWriter(t, behind, oneLane), n, "1")
			o.store(o.says("hello"))
			o.store(domain.Accept{By: by})
			broken := make(chan struct{})
			network.onPacket(breakOnce(network, c.breaks, c.how, broken))

			first := o.submit(send(by, "an answer"))
			come(t, broken)
			next := o.submit(send(by, "built on it"))
			rival := newPlayer(t, openWriter(t, db.URL), newLoader(t, db), n, "1")
			if c.stored { // the server may be busy with it still
				until(t, func() bool { return count(t, db, `SELECT count(*) FROM messages WHERE body = 'an answer'`) == 1 }, "stored")
			}
			require.Equal(t, []error{nil}, rival.play(send(by, "of somebody else")))
			network.turnAway(false)

			if c.stored {
				require.Equal(t, domain.Committed, await(t, first).Outcome)
				require.Equal(t, domain.Conflict, await(t, next).Outcome)
			} else {
				require.Equal(t, domain.Conflict, await(t, first).Outcome)
			}
			stored := map[bool]int{true: 1, false: 0}[c.stored]
			require.Equal(t, stored, count(t, db, `SELECT count(*) FROM messages WHERE body = 'an answer'`))
			require.Zero(t, count(t, db, `SELECT count(*) FROM messages WHERE body = 'built on it'`))
			requireLinear(t, db)
		})
	}
}

// breakOnce does something to the first packet that is meant, lets nobody in
// after that, and says so.
func breakOnce(network *proxy, meant func(packet) bool, how fate, broken chan struct{}) func(packet) fate {
	var once sync.Once
	return func(p packet) fate {
		f := pass
		if meant(p) {
			once.Do(func() {
				f = how
				network.turnAway(true)
				close(broken)
			})
		}
		return f
	}
}

// While a batch is taken apart for a value that is refused, the database goes
// away. What is in hand isn't refused through what builds on it: that would tell
// "not executed" of what is stored in the end.
func TestWriterHoldsWhatIsInHandThroughAnOutage(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "in-hand")
	network, behind := newProxy(t, db.URL)
	w := openWriter(t, behind, oneLane)
	letGo := plug(t, w, n)
	var owners []*owner
	for i := range 9 {
		owners = append(owners, newOwner(t, w, n, fmt.Sprint(i)))
	}
	slices.SortFunc(owners, func(a, b *owner) int { return bytes.Compare(a.state.ID[:], b.state.ID[:]) })
	spoiled, owners := owners[8], owners[:8] // it is in the second half
	refused := spoiled.submit(spoiled.says("NUL \x00"))
	var good []<-chan domain.Verdict
	for i, o := range owners {
		good = append(good, o.submit(o.says(fmt.Sprint("in hand ", i))))
	}
	var refusals, halves atomic.Int64
	broken := make(chan struct{})
	network.onPacket(breakOnce(network, func(p packet) bool {
		if p.fromServer && p.kind == 'E' && strings.Contains(string(p.body), "22021") {
			refusals.Add(1)
		}
		if refusals.Load() > 0 && !p.fromServer && p.kind == 'P' && strings.Contains(string(p.body), "BEGIN") {
			halves.Add(1)
		}
		return halves.Load() > 0 && isCommit(p)
	}, cut, broken))
	letGo()
	come(t, broken)
	for i, o := range owners {
		good = append(good, o.submit(o.says(fmt.Sprint("on top ", i))))
	}
	bystander := newOwner(t, w, n, "bystander")
	require.Equal(t, domain.Unavailable, await(t, bystander.submit(bystander.says("not begun"))).Outcome)
	network.turnAway(false)

	for _, v := range good {
		require.Equal(t, domain.Committed, await(t, v).Outcome)
	}
	require.Equal(t, domain.Refused, await(t, refused).Outcome)
	require.Equal(t, 1+len(good), count(t, db, `SELECT count(*) FROM messages`)) // and the plug's
	requireLinear(t, db)
}

// Many conversations, two owners of each, over a network that breaks at random:
// what is answered is stored exactly once, and what isn't stored is decided
// again until it is.
func TestWriterOverABrokenNetwork(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "broken")
	by := n.caller(n.agent("ada"))
	network, behind := newProxy(t, db.URL)
	broken, direct, loader := openWriter(t, behind), openWriter(t, db.URL), newLoader(t, db)
	var breaks atomic.Int64
	network.onPacket(func(p packet) fate {
		f := pass
		switch {
		case isCommitted(p) && rand.N(8) == 0:
			f = cut
		case isCommit(p) && rand.N(12) == 0:
			f = cut
		case !p.fromServer && p.kind == 'B' && rand.N(60) == 0:
			f = cutHalf
		case p.fromServer && p.kind == 'D' && rand.N(100) == 0:
			f = cut
		}
		if f != pass {
			breaks.Add(1)
		}
		return f
	})

	const conversations, rounds, pipelined = 16, 6, 4
	players := make([]*player, 0, 2*conversations)
	var all sync.WaitGroup
	for i := range conversations {
		owner := newPlayer(t, broken, loader, n, fmt.Sprint(i))
		require.Equal(t, []error{nil, nil}, owner.play(owner.says(fmt.Sprint("hello ", i)), domain.Accept{By: by}))
		rival := newPlayer(t, direct, loader, n, fmt.Sprint(i))
		players = append(players, owner, rival)
		for name, p := range map[string]*player{"owner": owner, "rival": rival} {
			all.Go(func() {
				for round := range rounds {
					var commands []domain.Command
					for k := range pipelined {
						body := fmt.Sprintf("%s %d, %d.%d", name, i, round, k)
						commands = append(commands, send(by, body), p.says(body+" from outside"))
					}
					for _, err := range p.play(commands...) {
						if err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
	}
	all.Wait()

	t.Logf("the network broke %d times", breaks.Load())
	require.Greater(t, breaks.Load(), int64(10))
	requireLinear(t, db)
	require.Equal(t, conversations*(1+2*rounds*pipelined*2), count(t, db, `SELECT count(*) FROM messages`))
	for i := 0; i < len(players); i += 2 {
		changes := players[i].changes + players[i+1].changes
		require.Equal(t, changes, count(t, db, `SELECT version FROM conversations WHERE id = $1`, players[i].state.ID), "changes that were told as stored")
	}
}
