package persistence_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// newRegistry runs a registry and waits until it knows the configuration.
func newRegistry(t testing.TB, database *persistencetest.Database) *persistence.Registry {
	t.Helper()
	registry := persistence.NewRegistry(openReads(t, database), newSealer(t, 1), accessTTL, discard(), time.Now)
	running(t, registry.Run)
	<-registry.Loaded()
	return registry
}

func soon(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, 20*time.Second, 2*time.Millisecond, what)
}

func TestTheRegistryKnowsUsersOfTheirOrganizationAlone(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	a, b := newTenant(t, database, "a"), newTenant(t, database, "b")
	ada := a.agent("Ada")
	a.exec(`UPDATE users SET max_conversations = 3, avatar_url = 'https://a.example/1', role = 'ADMIN', status = 'SUSPENDED'`)
	registry := newRegistry(t, database)

	user, ok := registry.User(a.org, ada)
	require.True(t, ok)
	require.Equal(t, domain.User{
		ID: ada, Organization: a.org, Email: "Ada@example.com", Name: "Ada", AvatarURL: "https://a.example/1",
		Role: domain.RoleAdmin, Status: domain.UserSuspended, MaxConversations: 3,
	}, user)
	_, ok = registry.User(b.org, ada)
	require.False(t, ok)
	_, ok = registry.User(a.org, newID[domain.UserID]())
	require.False(t, ok)
	_, ok = registry.Channel(a.org, a.channel)
	require.True(t, ok)
	_, ok = registry.Channel(b.org, a.channel)
	require.False(t, ok)
}

func TestTheRegistryFollowsChanges(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	registry := newRegistry(t, database)

	ada := n.agent("Ada")
	soon(t, func() bool { _, ok := registry.User(n.org, ada); return ok }, "a new user")
	n.exec(`UPDATE users SET status = 'SUSPENDED' WHERE id = $1`, ada)
	soon(t, func() bool { u, _ := registry.User(n.org, ada); return u.Status == domain.UserSuspended }, "a changed user")
	n.exec(`DELETE FROM users WHERE id = $1`, ada)
	soon(t, func() bool { _, ok := registry.User(n.org, ada); return !ok }, "a removed user")

	n.exec(`UPDATE channels SET name = 'renamed', status = 'ERROR' WHERE id = $1`, n.channel)
	soon(t, func() bool { c, _ := registry.Channel(n.org, n.channel); return c.Name == "renamed" }, "a changed channel")
	n.exec(`DELETE FROM channels WHERE id = $1`, n.channel)
	soon(t, func() bool { _, ok := registry.Channel(n.org, n.channel); return !ok }, "a removed channel")
	_, _, ok := registry.Receiving(domain.WhatsApp, "channel of one")
	require.False(t, ok)
}

// Ids of the log are given out before the commit: a follower that only asks for
// greater ids than it has seen loses the change that commits last.
func TestAChangeThatCommitsAfterALaterOneIsNotLost(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	early, late := n.agent("early"), n.agent("late")
	registry := newRegistry(t, database)

	slow, err := database.SQL.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	_, err = slow.Exec(`UPDATE users SET name = 'changed' WHERE id = $1`, early)
	require.NoError(t, err)
	name := func(id domain.UserID) string { u, _ := registry.User(n.org, id); return u.Name }
	for i := range 3 {
		want := fmt.Sprintf("changed %d", i)
		n.exec(`UPDATE users SET name = $2 WHERE id = $1`, late, want)
		soon(t, func() bool { return name(late) == want }, "the later change")
	}
	require.Equal(t, "early", name(early))
	require.NoError(t, slow.Commit())
	soon(t, func() bool { return name(early) == "changed" }, "the change that committed last")
}

// The poll finds what no notification told of.
func TestTheRegistryPollsTheLogOfChanges(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	ada := n.agent("Ada")
	registry := newRegistry(t, database)
	n.exec(`DROP TRIGGER change_log_notify ON change_log`)
	n.exec(`UPDATE users SET name = 'changed' WHERE id = $1`, ada)
	soon(t, func() bool { u, _ := registry.User(n.org, ada); return u.Name == "changed" }, "a change without a notification")
}

func TestWhichChannelReceives(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	other := newTenant(t, database, "two")
	registry := newRegistry(t, database)
	channel := func(owner *tenant, status string, provedAt *time.Time) domain.ChannelID {
		id := newID[domain.ChannelID]()
		owner.exec(`INSERT INTO channels (id, organization_id, provider, name, external_id, status, proved_at)
			VALUES ($1, $2, 'MESSENGER', $3, 'page', $4, $5)`, id, owner.org, id.String(), status, provedAt)
		return id
	}
	receives := func(want domain.ChannelID, why string) {
		t.Helper()
		soon(t, func() bool {
			ch, secret, ok := registry.Receiving(domain.Messenger, "page")
			return ok == !want.IsZero() && ch.ID == want && secret == nil
		}, why)
	}
	known := func(id domain.ChannelID, owner *tenant) {
		t.Helper()
		soon(t, func() bool { _, ok := registry.Channel(owner.org, id); return ok }, "the channel is known")
	}
	later := dawn.Add(time.Hour)

	squatter := channel(other, "INACTIVE", nil)
	known(squatter, other)
	receives(domain.ChannelID{}, "what has proved nothing receives nothing")
	paused := channel(n, "INACTIVE", &dawn)
	receives(paused, "a proved one receives, whatever its status")
	_, _, ok := registry.Receiving(domain.WhatsApp, "page")
	require.False(t, ok, "the other platform's ids are other accounts")
	working := channel(other, "ACTIVE", &dawn)
	receives(working, "the one that works before all others")
	n.exec(`UPDATE channels SET proved_at = $2 WHERE id = $1`, paused, later)
	n.exec(`UPDATE channels SET status = 'ERROR' WHERE id = $1`, working)
	soon(t, func() bool { c, _ := registry.Channel(other.org, working); return c.Status == domain.ChannelError }, "the error is known")
	receives(working, "an error stops sending, not receiving")
	n.exec(`UPDATE channels SET status = 'INACTIVE' WHERE id = $1`, working)
	receives(paused, "of two that don't work, the one that proved the account last")
	n.exec(`UPDATE channels SET external_id = 'elsewhere' WHERE id = $1`, paused)
	receives(working, "who has moved to another account leaves the first")
	n.exec(`DELETE FROM channels WHERE id = $1`, working)
	receives(domain.ChannelID{}, "nobody is left")
}

// recorder keeps what is logged.
type recorder struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(p)
}

func (r *recorder) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.String()
}

func TestChannelsReceiveWithTheirOwnSecret(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	seal := func(sealer *persistence.Sealer, account string) domain.ChannelID {
		id := newID[domain.ChannelID]()
		n.exec(`INSERT INTO channels (id, organization_id, provider, name, external_id, status, webhook_secret)
			VALUES ($1, $2, 'MESSENGER', $3, $3, 'ACTIVE', $4)`, id, n.org, account,
			sealer.Seal(id, persistence.FieldWebhookSecret, "secret of "+account))
		return id
	}
	mine, foreign := seal(newSealer(t, 1), "mine"), seal(newSealer(t, 2), "foreign")
	log := &recorder{}
	registry := persistence.NewRegistry(openReads(t, database), newSealer(t, 1), accessTTL, slog.New(slog.NewTextHandler(log, nil)), time.Now)
	running(t, registry.Run)
	<-registry.Loaded()

	ch, secret, ok := registry.Receiving(domain.Messenger, "mine")
	require.True(t, ok)
	require.Equal(t, mine, ch.ID)
	require.Equal(t, "secret of mine", string(secret))

	// Falling back to the environment's secret would let its owner write here.
	_, _, ok = registry.Receiving(domain.Messenger, "foreign")
	require.False(t, ok)
	_, ok = registry.Channel(n.org, foreign)
	require.True(t, ok, "it is there all the same")
	require.Contains(t, log.String(), foreign.String())
	require.NotContains(t, log.String(), "secret of")
}

func TestTheRegistrySurvivesARestartOfTheDatabase(t *testing.T) {
	t.Parallel()
	server := persistencetest.NewServer(t)
	database := server.New(t)
	n := newTenant(t, database, "one")
	ada := n.agent("Ada")
	clock := &testClock{}
	registry := persistence.NewRegistry(openReads(t, database), newSealer(t, 1), accessTTL, discard(), clock.now)
	require.ErrorIs(t, registry.Ready(), domain.ErrUnavailable)
	running(t, registry.Run)
	<-registry.Loaded()
	require.NoError(t, registry.Ready())

	server.Stop()
	clock.advance(time.Minute)
	require.ErrorIs(t, registry.Ready(), domain.ErrUnavailable)
	_, ok := registry.User(n.org, ada)
	require.True(t, ok, "what it knew last")

	server.Start()
	soon(t, func() bool {
		_, err := database.SQL.Exec(`UPDATE users SET name = 'changed' WHERE id = $1`, ada)
		return err == nil
	}, "the database is back")
	soon(t, func() bool { u, _ := registry.User(n.org, ada); return u.Name == "changed" }, "a change after the restart")
	soon(t, func() bool { return registry.Ready() == nil }, "ready again")
}

// A node that was frozen for long can't know what was pruned meanwhile.
func TestTheRegistryReadsAllAfterALongPause(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	ada := n.agent("Ada")
	clock := &testClock{}
	registry := persistence.NewRegistry(openReads(t, database), newSealer(t, 1), accessTTL, discard(), clock.now)
	running(t, registry.Run)
	<-registry.Loaded()
	n.exec(`ALTER TABLE users DISABLE TRIGGER users_changed`) // as if pruned: the log says nothing
	n.exec(`UPDATE users SET name = 'changed' WHERE id = $1`, ada)
	clock.advance(13 * time.Hour)
	soon(t, func() bool { u, _ := registry.User(n.org, ada); return u.Name == "changed" }, "everything is read again")
}

func TestTheRegistryReadsAllWhenMuchChangesAtOnceAndPrunesTheLog(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	n.exec(`INSERT INTO change_log (kind, created_at) VALUES ('old', now() - interval '2 days'), ('recent', now() - interval '1 hour')`)
	registry := newRegistry(t, database)
	n.exec(`INSERT INTO users (organization_id, email, password_hash, name)
		SELECT $1, i || '@example.com', 'hash', i FROM generate_series(1, 10001) i`, n.org)
	var id domain.UserID
	require.NoError(t, database.SQL.QueryRow(`SELECT id FROM users WHERE name = '10001'`).Scan(&id))
	soon(t, func() bool { _, ok := registry.User(n.org, id); return ok }, "the last of many")
	soon(t, func() bool {
		var old, recent int
		err := database.SQL.QueryRow(`SELECT count(*) FILTER (WHERE kind = 'old'), count(*) FILTER (WHERE kind = 'recent')
			FROM change_log`).Scan(&old, &recent)
		return err == nil && old == 0 && recent == 1
	}, "old changes are pruned, recent ones kept")
}

func TestReadsOfTheRegistryRaceWithItsChanges(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	n := newTenant(t, database, "one")
	ada := n.agent("Ada")
	registry := newRegistry(t, database)
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for ctx.Err() == nil {
				registry.User(n.org, ada)
				registry.Receiving(domain.WhatsApp, "channel of one")
			}
		})
	}
	for i := range 20 {
		n.exec(`UPDATE users SET name = $2 WHERE id = $1`, ada, fmt.Sprint(i))
		n.exec(`UPDATE channels SET name = $2 WHERE id = $1`, n.channel, fmt.Sprint(i))
	}
	soon(t, func() bool { c, _ := registry.Channel(n.org, n.channel); return c.Name == "19" }, "the last change")
	cancel()
	group.Wait()
}
