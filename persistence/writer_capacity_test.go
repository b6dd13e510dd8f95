package persistence_test

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// Accepts and releases of few agents' conversations race over two writers, in
// rounds. Nobody ever has more than the limit. Who is refused for capacity was
// refused rightly: what the agent had when the round began, and what was
// accepted in it, reached the limit. And so nobody is refused who would have
// had room even if all came first.
func TestWriterCapacityUnderConcurrency(t *testing.T) {
	t.Parallel()
	w := newCapacityWorld(t)
	var games atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		game := w.game(rt, games.Add(1))
		for range rapid.IntRange(1, 4).Draw(rt, "rounds") {
			game.round(rt)
		}
	})
}

// capacityWorld is what the games share.
type capacityWorld struct {
	t      *testing.T
	tenant *tenant
	play   [2]func(number string) *player
}

func newCapacityWorld(t *testing.T) *capacityWorld {
	db := persistencetest.New(t)
	n := newTenant(t, db, "capacity")
	// More than the limit is an error, not a number to be found at the end.
	n.exec(`ALTER TABLE users ADD CONSTRAINT never_over CHECK (assigned_count <= max_conversations)`)
	w, loader := &capacityWorld{t: t, tenant: n}, newLoader(t, db)
	for i := range w.play {
		writer := openWriter(t, db.URL)
		w.play[i] = func(number string) *player { return newPlayer(t, writer, loader, n, number) }
	}
	return w
}

type capacityGame struct {
	world         *capacityWorld
	agents        []domain.UserID
	limit         []int
	has           []int          // what each agent has
	holder        map[string]int // the agent, by the conversation's number
	conversations []string
}

func (w *capacityWorld) game(rt *rapid.T, nth int64) *capacityGame {
	g := &capacityGame{world: w, holder: map[string]int{}}
	for i := range rapid.IntRange(1, 3).Draw(rt, "agents") {
		agent := w.tenant.agent(fmt.Sprintf("agent %d of game %d", i, nth))
		limit := rapid.IntRange(1, 5).Draw(rt, "limit")
		w.tenant.exec(`UPDATE users SET max_conversations = $2 WHERE id = $1`, agent, limit)
		g.agents, g.limit, g.has = append(g.agents, agent), append(g.limit, limit), append(g.has, 0)
	}
	var begin sync.WaitGroup
	for i := range rapid.IntRange(1, 12).Draw(rt, "conversations") {
		number := fmt.Sprintf("%d.%d", nth, i)
		g.conversations = append(g.conversations, number)
		begin.Go(func() {
			p := w.play[i%2](number)
			if err := errors.Join(p.play(p.says("hello " + number))...); err != nil {
				w.t.Error(err)
			}
		})
	}
	begin.Wait()
	return g
}

// round has some conversations accepted and some released, all at once, over
// either writer.
func (g *capacityGame) round(rt *rapid.T) {
	type move struct {
		number  string
		agent   int
		accepts bool
		err     error
	}
	var moves []*move
	for _, number := range g.conversations {
		holder, held := g.holder[number]
		if rapid.IntRange(0, 3).Draw(rt, "idle") == 0 {
			continue
		}
		if held {
			moves = append(moves, &move{number: number, agent: holder})
		} else {
			moves = append(moves, &move{number: number, agent: rapid.IntRange(0, len(g.agents)-1).Draw(rt, "agent"), accepts: true})
		}
	}
	var all sync.WaitGroup
	for _, m := range moves {
		p := g.world.play[rapid.IntRange(0, 1).Draw(rt, "writer")](m.number)
		all.Go(func() {
			by := g.world.tenant.caller(g.agents[m.agent])
			cmd := domain.Command(domain.Release{By: by})
			if m.accepts {
				cmd = domain.Accept{By: by}
			}
			m.err = p.play(cmd)[0]
		})
	}
	all.Wait()

	reached, refused := append([]int(nil), g.has...), make([]int, len(g.agents))
	for _, m := range moves {
		var refusal *domain.Refusal
		switch {
		case m.err == nil && m.accepts:
			g.holder[m.number] = m.agent
			reached[m.agent]++
			g.has[m.agent]++
		case m.err == nil:
			delete(g.holder, m.number)
			g.has[m.agent]--
		case m.accepts && errors.As(m.err, &refusal) && refusal.Code == domain.CodeCapacityReached:
			refused[m.agent]++
		default:
			rt.Fatalf("accepts %v: %v", m.accepts, m.err)
		}
	}
	for i, agent := range g.agents {
		if refused[i] > 0 {
			require.GreaterOrEqual(rt, reached[i], g.limit[i], "refused though there was room")
		}
		require.Equal(rt, g.has[i], g.count(agent), "counted wrong")
	}
}

func (g *capacityGame) count(agent domain.UserID) int {
	return count(g.world.t, g.world.tenant.db, `SELECT assigned_count FROM users WHERE id = $1`, agent)
}
