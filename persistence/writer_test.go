package persistence_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func TestWriterStoresAChain(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "chain")
	w := openWriter(t, db.URL)
	agent := n.agent("ada")
	o := newOwner(t, w, n, "4915100000001")

	verdicts := []<-chan domain.Verdict{
		o.submit(o.text("4915100000001", "wamid.1", "first")),
		o.submit(o.text("4915100000001", "wamid.2", "second")),
		o.submit(domain.Accept{By: domain.Caller{Organization: n.org, User: agent, Name: "ada", Role: domain.RoleAgent}}),
		o.submit(domain.Complete{By: domain.Caller{Organization: n.org, User: agent, Name: "ada", Role: domain.RoleAgent}}),
		o.submit(o.text("4915100000001", "wamid.3", "third, which reopens")),
	}
	for _, v := range verdicts {
		require.Equal(t, domain.Committed, await(t, v).Outcome)
	}

	require.Equal(t, 3, count(t, db, `SELECT count(*) FROM messages WHERE conversation_id = $1`, o.state.ID))
	require.Equal(t, int(o.state.EventSeq), count(t, db, `SELECT count(*) FROM conversation_events WHERE conversation_id = $1`, o.state.ID))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM contact_aliases WHERE alias = '4915100000001'`))
	require.Equal(t, 0, count(t, db, `SELECT assigned_count FROM users WHERE id = $1`, agent))
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM conversations WHERE id = $1 AND status = 'PENDING' AND unread_count = 3
		AND change_id = $2 AND version = $3 AND last_message_id = $4`, o.state.ID, o.state.Head, o.state.Version, o.state.LastMessage))
}

func TestWriterRefusesAStaleHead(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "stale")
	first, second := openWriter(t, db.URL), openWriter(t, db.URL)
	o := newOwner(t, first, n, "1")
	require.Equal(t, domain.Committed, await(t, o.submit(o.text("1", "a", "created"))).Outcome)
	stale := *o
	stale.writer, stale.lineage, stale.known = second, &domain.Lineage{}, domain.MessageSet{}

	require.Equal(t, domain.Committed, await(t, o.submit(o.text("1", "b", "by the owner"))).Outcome)
	lost, dropped := stale.submit(stale.text("1", "c", "by the stale one")), stale.submit(stale.text("1", "d", "on top of it"))

	require.Equal(t, domain.Conflict, await(t, lost).Outcome)
	require.Empty(t, dropped)
	require.Equal(t, 2, count(t, db, `SELECT count(*) FROM messages`))
	require.Equal(t, int(o.state.EventSeq), count(t, db, `SELECT count(*) FROM conversation_events`))
}

func TestWriterFindsDuplicatesAndForeignAliases(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "duplicates")
	w := openWriter(t, db.URL)
	one, two := newOwner(t, w, n, "1"), newOwner(t, w, n, "2")
	require.Equal(t, domain.Committed, await(t, one.submit(one.text("1", "same", "text"))).Outcome)

	again := newOwner(t, w, n, "3")
	v := await(t, again.submit(again.text("3", "same", "text")))
	require.Equal(t, domain.Duplicate, v.Outcome)
	require.Equal(t, []string{"same"}, v.Duplicates)

	foreign := two.text("2", "other", "text")
	foreign.Origin.Person.Claims = append(foreign.Origin.Person.Claims,
		domain.AliasClaim{Alias: domain.Alias{Kind: domain.AliasNumber, Value: "1"}})
	v = await(t, two.submit(foreign))
	require.Equal(t, domain.ForeignAlias, v.Outcome)
	require.Equal(t, one.state.Contact, v.Foreign.Owner)
	require.Equal(t, "1", v.Foreign.Alias.Value)
	require.Equal(t, 1, count(t, db, `SELECT count(*) FROM conversations`))
}

func TestWriterKeepsCapacity(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "capacity")
	w := openWriter(t, db.URL)
	agent := n.agent("ada")
	n.exec(`UPDATE users SET max_conversations = 7 WHERE id = $1`, agent)
	by := domain.Caller{Organization: n.org, User: agent, Name: "ada", Role: domain.RoleAgent}
	var owners []*owner
	for i := range 40 {
		o := newOwner(t, w, n, fmt.Sprint(i))
		require.Equal(t, domain.Committed, await(t, o.submit(o.text(fmt.Sprint(i), fmt.Sprint("m", i), "hello"))).Outcome)
		owners = append(owners, o)
	}
	outcomes := map[domain.Outcome]int{}
	var verdicts []<-chan domain.Verdict
	for _, o := range owners {
		verdicts = append(verdicts, o.submit(domain.Accept{By: by}))
	}
	for _, v := range verdicts {
		outcomes[await(t, v).Outcome]++
	}
	require.Equal(t, map[domain.Outcome]int{domain.Committed: 7, domain.OverCapacity: 33}, outcomes)
	require.Equal(t, 7, count(t, db, `SELECT assigned_count FROM users WHERE id = $1`, agent))
	require.Equal(t, 7, count(t, db, `SELECT count(*) FROM conversations WHERE assigned_agent_id = $1`, agent))
}

func TestWriterIsolatesARefusedValue(t *testing.T) {
	t.Parallel()
	db := persistencetest.New(t)
	n := newTenant(t, db, "refused")
	w := openWriter(t, db.URL)
	var good, bad []<-chan domain.Verdict
	for i := range 300 {
		o := newOwner(t, w, n, fmt.Sprint(i))
		good = append(good, o.submit(o.text(fmt.Sprint(i), fmt.Sprint("m", i), "fine")))
		if i == 150 {
			bad = append(bad, o.submit(o.text(fmt.Sprint(i), "bad", "NUL \x00 is refused by PostgreSQL")))
		}
	}
	for _, v := range good {
		require.Equal(t, domain.Committed, await(t, v).Outcome)
	}
	v := await(t, bad[0])
	require.Equal(t, domain.Refused, v.Outcome)
	var refused *domain.ValueError
	require.ErrorAs(t, v.Err, &refused)
	require.Equal(t, 300, count(t, db, `SELECT count(*) FROM messages`))
}
