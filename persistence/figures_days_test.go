package persistence_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

var firstDay = domain.DayOf(dawn)

// workday is an organization, founded on the first day, with two agents and a
// customer who is answered once a day.
func workday(t testing.TB, database *persistencetest.Database, slug string, days int) *history {
	h := newHistory(newTenant(t, database, slug), firstDay.Start().Add(8*time.Hour), 2, 1)
	h.exec(`UPDATE organizations SET created_at = $2 WHERE id = $1`, h.org, h.now)
	th := h.threads[0]
	for day := range days {
		h.now = firstDay.Plus(day).Start().Add(9 * time.Hour)
		h.decide(th, domain.Receive{Origin: th.origin, Event: domain.CustomerMessage{
			ProviderID: fmt.Sprintf("%s %d", slug, day), At: h.now, Type: domain.TypeText, Body: "hello",
		}})
		by := h.caller(h.agents[day%2], domain.RoleAgent)
		for _, cmd := range []domain.Command{
			domain.Accept{By: by},
			domain.Send{By: by, Draft: domain.Draft{Type: domain.TypeText, Body: "12345"}, Channel: domain.ChannelActive},
			domain.Complete{By: by},
		} {
			h.now = h.now.Add(time.Minute)
			h.decide(th, cmd)
		}
	}
	h.store()
	return h
}

func aggregateAll(t testing.TB, figures *persistence.Figures) (days []string) {
	t.Helper()
	for {
		day, found, err := figures.AggregateNext(t.Context())
		require.NoError(t, err)
		if !found {
			return days
		}
		days = append(days, day.String())
	}
}

func at(now time.Time) func() time.Time { return func() time.Time { return now } }

const versions = `SELECT coalesce(string_agg(xmin::text || id::text || updated_at::text, ',' ORDER BY id), '') FROM performance_metrics`

func text(t testing.TB, database *persistencetest.Database, query string, args ...any) (s string) {
	t.Helper()
	require.NoError(t, database.SQL.QueryRow(query, args...).Scan(&s))
	return s
}

func TestMissedDaysAreCaughtUp(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	h := workday(t, database, "one", 4)
	reads := openReads(t, database)
	midnight := firstDay.Plus(2).Start()

	early := persistence.NewFigures(reads, at(midnight.Add(-time.Microsecond)))
	require.Equal(t, []string{"2026-03-01"}, aggregateAll(t, early), "a day that isn't over isn't aggregated")
	require.Error(t, early.Aggregate(t.Context(), firstDay.Plus(1)))
	later := persistence.NewFigures(reads, at(firstDay.Plus(6).Start().Add(5*time.Minute)))
	require.Equal(t, []string{"2026-03-02", "2026-03-03", "2026-03-04", "2026-03-05", "2026-03-06"}, aggregateAll(t, later))
	require.Empty(t, aggregateAll(t, later))
	require.Equal(t, 7, count(t, database, `SELECT count(*) FROM performance_metrics`), "idle days have no rows; a reopening is a figure of who had completed it")

	before := text(t, database, versions)
	for day := range 6 {
		require.NoError(t, later.Aggregate(t.Context(), firstDay.Plus(day)))
	}
	require.Equal(t, before, text(t, database, versions), "a second run touches nothing")

	h.exec(`UPDATE performance_metrics SET total_messages_sent = 99, responses = 7 WHERE date = '2026-03-02'`)
	h.exec(`INSERT INTO performance_metrics (organization_id, agent_id, date, total_conversations) VALUES ($1, $2, '2026-03-06', 5)`, h.org, h.agents[0])
	require.NoError(t, later.Aggregate(t.Context(), firstDay.Plus(1)))
	require.NoError(t, later.Aggregate(t.Context(), firstDay.Plus(5)))
	require.Equal(t, 7, count(t, database, `SELECT count(*) FROM performance_metrics`), "what is too much goes")
	require.Equal(t, 1, count(t, database, `SELECT sum(total_messages_sent) FROM performance_metrics WHERE date = '2026-03-02'`), "what is wrong is mended")
}

// What a run is killed in leaves nothing behind, and the next run does it.
func TestAKilledRunIsFinishedByTheNext(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	workday(t, database, "one", 2)
	figures := persistence.NewFigures(openReads(t, database), at(firstDay.Plus(2).Start()))
	_, _, err := figures.AggregateNext(t.Context())
	require.NoError(t, err)

	letGo := lock(t, database, `INSERT INTO aggregated_days (date) VALUES ('2026-03-02')`) // its last statement waits for this
	ended := make(chan error, 1)
	go func() {
		_, _, err := figures.AggregateNext(t.Context())
		ended <- err
	}()
	until(t, func() bool {
		return count(t, database, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO aggregated_days%'`) == 1
	}, "the run is at its end")
	require.ErrorIs(t, <-ended, domain.ErrUnavailable)
	letGo()
	require.Equal(t, 1, count(t, database, `SELECT count(*) FROM performance_metrics`), "nothing of the day that was begun")
	require.Equal(t, []string{"2026-03-02"}, aggregateAll(t, figures))
	require.Equal(t, 3, count(t, database, `SELECT count(*) FROM performance_metrics`))
}

func TestFiguresOfARange(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	h, other := workday(t, database, "one", 4), workday(t, database, "two", 4)
	now := firstDay.Plus(3).Start().Add(12 * time.Hour) // on the fourth day
	figures := persistence.NewFigures(openReads(t, database), at(now))
	days := domain.Days{First: firstDay, Last: firstDay.Plus(9)}
	aggregateAll(t, figures)

	report, err := figures.Organization(t.Context(), h.org, days)
	require.NoError(t, err)
	require.Len(t, report.Daily, 4, "today is computed")
	require.Len(t, report.ByAgent, 2)
	require.EqualValues(t, 4, report.Total.Sent)
	require.EqualValues(t, 4, report.Total.Conversations)
	minutes := func(n float64) *float64 { n *= 60_000; return &n }
	require.Equal(t, minutes(2), report.Total.FirstResponse.Value(), "arrival at 9:00, answer at 9:02")
	require.Equal(t, minutes(1), report.Total.FirstAssigned.Value())
	require.Equal(t, minutes(2), report.Total.Response.Value())
	require.Equal(t, minutes(2), report.Total.Handle.Value())
	require.Equal(t, minutes(1), report.Total.Wait.Value())
	require.Equal(t, 5.0, *report.Total.TextLength.Value())

	report, err = figures.Agent(t.Context(), h.org, h.agents[1], domain.Days{First: firstDay, Last: firstDay.Plus(1)})
	require.NoError(t, err)
	require.Len(t, report.Daily, 1)
	require.EqualValues(t, 1, report.Total.Sent)
	require.Nil(t, report.ByAgent)

	report, err = figures.Agent(t.Context(), h.org, other.agents[0], days)
	require.NoError(t, err)
	require.Equal(t, domain.Report{}, report, "another organization's agent has no figures here")
	report, err = figures.Agent(t.Context(), other.org, h.agents[0], days)
	require.NoError(t, err)
	require.Equal(t, domain.Report{}, report)
}

// BenchmarkAggregateDay aggregates a day of BENCH_MESSAGES messages (default
// 10,000), in conversations of 20 messages that are accepted and completed,
// beside a day before of the same size.
func BenchmarkAggregateDay(b *testing.B) {
	messages := 10_000
	if n, err := strconv.Atoi(os.Getenv("BENCH_MESSAGES")); err == nil {
		messages = n
	}
	database := persistencetest.New(b)
	tn := newTenant(b, database, "one")
	tn.exec(`INSERT INTO users (id, organization_id, email, password_hash, name)
		SELECT gen_random_uuid(), $1, i || '@example.com', 'x', 'agent ' || i FROM generate_series(1, 200) i`, tn.org)
	fillDay(tn, messages/20, "2026-03-01")
	fillDay(tn, messages/20, "2026-03-02")
	tn.exec(`VACUUM ANALYZE`)
	figures := persistence.NewFigures(openReads(b, database), at(firstDay.Plus(2).Start()))
	for b.Loop() {
		require.NoError(b, figures.Aggregate(b.Context(), firstDay.Plus(1)))
	}
	require.Equal(b, messages/2, count(b, database, `SELECT sum(total_messages_sent) FROM performance_metrics`))
	b.ReportMetric(float64(messages)*float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

// fillDay makes conversations of that day, with 20 messages each.
func fillDay(tn *tenant, conversations int, day string) {
	tn.exec(`
		CREATE UNLOGGED TABLE thread AS
			SELECT gen_random_uuid() AS id, gen_random_uuid() AS contact, n, $3::date::timestamp AT TIME ZONE 'UTC' + n % 80000 * interval '1 second' AS at,
				(SELECT array_agg(id) FROM users WHERE organization_id = $1)[1 + n % 200] AS agent
			FROM generate_series(1, $2::int) n`, tn.org, conversations, day)
	tn.exec(`INSERT INTO contacts (id, organization_id, provider, provider_id) SELECT contact, $1, 'WHATSAPP', contact::text FROM thread`, tn.org)
	tn.exec(`INSERT INTO conversations (id, organization_id, channel_id, contact_id, status, assigned_agent_id, assigned_at, change_id, created_at, last_message_at)
		SELECT id, $1, $2, contact, 'COMPLETED', agent, at + interval '1 minute', id, at, at FROM thread`, tn.org, tn.channel)
	tn.exec(`INSERT INTO conversation_events (id, conversation_id, seq, event_type, actor_id, metadata, created_at)
		SELECT gen_random_uuid(), id, seq, (ARRAY['CREATED', 'ACCEPTED', 'COMPLETED'])[s]::event_type, agent,
			CASE s WHEN 1 THEN '{}' WHEN 2 THEN jsonb_build_object('agentId', agent) ELSE jsonb_build_object('previousAgentId', agent) END,
			at + minutes * interval '1 minute'
		FROM thread CROSS JOIN (VALUES (1, 1, 0), (2, 3, 1), (3, 23, 22)) AS e (s, seq, minutes)`)
	tn.exec(`INSERT INTO conversation_events (id, conversation_id, seq, event_type, metadata, created_at)
		SELECT gen_random_uuid(), id, CASE i WHEN 0 THEN 2 ELSE 3 + i END, 'MESSAGE_RECEIVED', '{}', at + i * interval '1 minute'
		FROM thread CROSS JOIN generate_series(0, 19) i`)
	tn.exec(`INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, agent_id, type, body, provider_message_id, status, created_at)
		SELECT (left(message_id_floor(m.at)::text, 14) || '7' || substr(md5(random()::text), 1, 3) || '-8' || substr(md5(random()::text), 1, 3) || '-' || substr(md5(random()::text), 1, 12))::uuid,
			$1, $2, id, CASE i % 2 WHEN 0 THEN 'INBOUND' ELSE 'OUTBOUND' END::message_direction, CASE i % 2 WHEN 1 THEN agent END, 'text',
			'a message of a usual length, some eighty characters long, as people write them', gen_random_uuid()::text, 'READ', m.at
		FROM thread CROSS JOIN generate_series(0, 19) i
		CROSS JOIN LATERAL (SELECT at + i * interval '1 minute' + interval '1 second' AS at OFFSET 0) m
		ORDER BY m.at`, tn.org, tn.channel)
	tn.exec(`DROP TABLE thread`)
}
