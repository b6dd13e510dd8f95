package persistence_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// Two owners of each conversation accept, hand over, release and answer for the
// same few agents, so that their batches want the same rows all the time, once
// also where the database's default is the strictest isolation: all ends, and
// what was told as stored makes up the stored state.
func TestWritersOfTheSameRowsAllGetOn(t *testing.T) {
	t.Parallel()
	for _, isolation := range []string{"read committed", "serializable"} {
		t.Run(isolation, func(t *testing.T) {
			t.Parallel()
			db := persistencetest.New(t)
			n := newTenant(t, db, "contention")
			n.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_isolation = ''` + isolation + `''', current_database()); END $$`)
			first, second, loader := openWriter(t, db.URL), openWriter(t, db.URL), newLoader(t, db)
			agents := make([]domain.Caller, 4)
			for i := range agents {
				agents[i] = n.caller(n.agent(fmt.Sprint("agent", i)))
				agents[i].Role = domain.RoleAdmin
			}
			const conversations = 24
			changes := make([][2]*player, conversations)
			var all sync.WaitGroup
			for i := range changes {
				changes[i] = [2]*player{newPlayer(t, first, loader, n, fmt.Sprint(i)), newPlayer(t, second, loader, n, fmt.Sprint(i))}
				for k, p := range changes[i] {
					all.Go(func() { contend(p, k, agents) })
				}
			}
			all.Wait()
			requireLinear(t, db)
			for _, players := range changes {
				require.Equal(t, players[0].changes+players[1].changes,
					count(t, db, `SELECT version FROM conversations WHERE id = $1`, players[0].state.ID))
			}
		})
	}
}

// contend plays random commands; the rules may refuse them.
func contend(p *player, who int, agents []domain.Caller) {
	for round := range 8 {
		by, to := agents[rand.N(len(agents))], agents[rand.N(len(agents))]
		commands := []domain.Command{
			p.says(fmt.Sprintf("%s, %d.%d", p.number, who, round)),
			domain.Accept{By: by},
			domain.Reassign{By: by, To: domain.User{ID: to.User, Organization: to.Organization, Status: domain.UserActive}},
			domain.Read{By: by},
			domain.Release{By: by},
			domain.Complete{By: by},
		}
		rand.Shuffle(len(commands)-1, func(i, j int) { commands[i+1], commands[j+1] = commands[j+1], commands[i+1] })
		for _, err := range p.play(commands...) {
			var refusal *domain.Refusal
			if err != nil && !errors.As(err, &refusal) {
				p.t.Error(err)
			}
		}
	}
}

// A foreign session wants the same agents in the other order.
func TestWriterOutlivesADeadlock(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "deadlock")
	low, high := n.agent("ada"), n.agent("grace") // in the order of their ids
	n.exec(`DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET deadlock_timeout = ''100ms''', current_database()); END $$`)
	var log lockedBuffer
	w := openWriter(t, db.URL, oneLane, logTo(&log))
	var owners []*owner
	for i := range 2 {
		o := newOwner(t, w, n, fmt.Sprint(i))
		o.store(o.says(fmt.Sprint("hello ", i)))
		owners = append(owners, o)
	}
	foreign, err := db.SQL.BeginTx(context.Background(), nil)
	require.NoError(t, err)
	_, err = foreign.Exec(`SELECT FROM users WHERE id = $1 FOR UPDATE`, high)
	require.NoError(t, err)

	letGo := plug(t, w, n)
	verdicts := []<-chan domain.Verdict{
		owners[0].submit(domain.Accept{By: n.caller(low)}), owners[1].submit(domain.Accept{By: n.caller(high)}),
	}
	letGo()
	until(t, func() bool {
		return count(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'chatopshub writer' AND wait_event = 'transactionid'`) > 0
	}, "the batch waits for the foreign session")
	_, victim := foreign.Exec(`SELECT FROM users WHERE id = $1 FOR UPDATE`, low)
	require.NoError(t, foreign.Rollback())

	for _, v := range verdicts {
		require.Equal(t, domain.Committed, await(t, v).Outcome)
	}
	require.Contains(t, fmt.Sprint(victim, log.String()), "40P01", "one of the two was the victim")
	requireLinear(t, db)
}

// A foreign session holds a row for longer than lock_timeout: who needs it
// waits, the other lanes don't.
func TestWriterWaitsForALockedRow(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "locked")
	var log lockedBuffer
	w := openWriter(t, db.URL, logTo(&log))
	locked := newOwner(t, w, n, "0")
	locked.store(locked.says("hello"))
	letGo := lock(t, db, `SELECT FROM conversations WHERE id = $1 FOR UPDATE`, locked.state.ID)
	waits := locked.submit(locked.says("patience"))
	for i := 1; i <= 40; i++ {
		o := newOwner(t, w, n, fmt.Sprint(i))
		if domain.Shard(o.state.ID)%4 != domain.Shard(locked.state.ID)%4 { // another lane than the locked one's
			o.store(o.says(fmt.Sprint("nobody holds me up ", i)))
		}
	}
	until(t, func() bool { return log.String() != "" }, "lock_timeout has passed once")
	require.Contains(t, log.String(), "55P03")
	require.Empty(t, waits)
	letGo()
	require.Equal(t, domain.Committed, await(t, waits).Outcome)
	requireLinear(t, db)
}

// An alias moves to somebody else between the fence, which saw it where the
// claim says, and the claim itself.
func TestWriterFindsAnAliasThatMovedAway(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "moved")
	w := openWriter(t, db.URL, oneLane)
	former := n.contact("1", "former owner")
	winner := n.contact("2", "winner")
	o := newOwner(t, w, n, "3")
	claim := o.says("hello")
	claim.Origin.Person.Claims = append(claim.Origin.Person.Claims,
		domain.AliasClaim{Alias: domain.Alias{Kind: domain.AliasNumber, Value: "1"}, MoveFrom: former})

	foreign, err := db.SQL.BeginTx(context.Background(), nil)
	require.NoError(t, err)
	_, err = foreign.Exec(`UPDATE contact_aliases SET contact_id = $1 WHERE alias = '1'`, winner)
	require.NoError(t, err)
	verdict := o.submit(claim)
	until(t, func() bool {
		return count(t, db, `SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
			AND application_name = 'chatopshub writer' AND wait_event_type = 'Lock'`) > 0
	}, "the claim waits for the foreign session")
	require.NoError(t, foreign.Commit())

	v := await(t, verdict)
	require.Equal(t, domain.ForeignAlias, v.Outcome)
	require.Equal(t, winner, v.Foreign.Owner)
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM contact_aliases WHERE alias = '1' AND contact_id = $1`, winner))
	require.Zero(t, count(t, db, `SELECT count(*) FROM messages`))
}

// Two lanes meet one customer on two channels at the same time, again and
// again: both conversations begin, with one contact.
func TestWritersMeetACustomerOnTwoChannels(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	one := newTenant(t, db, "two-channels")
	two := *one
	two.channel = newID[domain.ChannelID]()
	two.exec(`INSERT INTO channels (id, organization_id, provider, name, external_id, status)
		VALUES ($1, $2, 'WHATSAPP', 'second', 'second', 'ACTIVE')`, two.channel, two.org)
	first, second := openWriter(t, db.URL), openWriter(t, db.URL)
	const customers = 200
	var verdicts []<-chan domain.Verdict
	for i := range customers {
		a, b := newOwner(t, first, one, fmt.Sprint(i)), newOwner(t, second, &two, fmt.Sprint(i))
		verdicts = append(verdicts, a.submit(a.says(fmt.Sprint("one ", i))), b.submit(b.says(fmt.Sprint("two ", i))))
	}
	for _, v := range verdicts {
		require.Equal(t, domain.Committed, await(t, v).Outcome)
	}
	require.Equal(t, customers, count(t, db, `SELECT count(*) FROM contacts`))
	require.Equal(t, customers, count(t, db, `SELECT count(*) FROM contact_aliases`))
	require.Equal(t, 2*customers, count(t, db, `SELECT count(*) FROM messages`))
	requireLinear(t, db)
}
