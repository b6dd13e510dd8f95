package persistence_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
)

// history is what a small organization did over some days, decided by the real
// rules, each conversation at its own pace.
type history struct {
	*tenant
	agents  []domain.UserID
	threads []*thread
	shifts  []shift
	now     time.Time
	steps   int
}

// thread is a conversation with all that was ever said in it.
type thread struct {
	state    domain.Conversation
	origin   domain.Origin
	messages []domain.Message
	events   []domain.AuditEvent
}

// shift is a time during which a socket of an agent was open; until the zero
// time: it still is.
type shift struct {
	agent       domain.UserID
	from, until time.Time
}

func newHistory(tn *tenant, start time.Time, agents, threads int) *history {
	h := &history{tenant: tn, now: start}
	for i := range agents {
		h.agents = append(h.agents, tn.agent(fmt.Sprintf("agent %d of %s", i, tn.org)))
	}
	for i := range threads {
		contact := domain.ContactIDFor(tn.org, domain.WhatsApp, number(i))
		h.threads = append(h.threads, &thread{
			state: domain.Conversation{ID: domain.ConversationIDFor(tn.channel, contact)},
			origin: domain.Origin{
				Channel:  domain.Channel{ID: tn.channel, Organization: tn.org, Provider: domain.WhatsApp, Name: "channel", Status: domain.ChannelActive},
				Person:   domain.Person{Contact: contact, ProviderID: number(i)},
				Customer: domain.Customer{Name: "customer"},
			},
		})
	}
	return h
}

// decide applies a command as an actor would; what is refused changes nothing.
func (h *history) decide(th *thread, cmd domain.Command) {
	h.steps++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", h.org, h.steps))
	after, change, err := domain.Decide(th.state, cmd, &domain.MessageSet{}, domain.Moment{Now: h.now, Entropy: [16]byte(sum[:16])})
	if err != nil {
		return
	}
	th.state = after
	th.messages = append(th.messages, change.Inserts...)
	th.events = append(th.events, change.Audit...)
}

func (h *history) caller(agent domain.UserID, role domain.Role) domain.Caller {
	return domain.Caller{Organization: h.org, User: agent, Name: "agent", Role: role}
}

// draw lets time pass and one thing happen.
func (h *history) draw(t *rapid.T) {
	switch rapid.IntRange(0, 9).Draw(t, "pause") {
	case 0: // at the very same moment
	case 1:
		h.now = domain.DayOf(h.now).Plus(1).Start() // midnight
	case 2:
		h.now = h.now.Add(time.Duration(rapid.IntRange(1, 12*3600).Draw(t, "seconds")) * time.Second)
	default:
		h.now = h.now.Add(time.Duration(rapid.IntRange(1, 900_000_000).Draw(t, "us")) * time.Microsecond)
	}
	th := rapid.SampledFrom(h.threads).Draw(t, "thread")
	by := h.caller(rapid.SampledFrom(h.agents).Draw(t, "by"), rapid.SampledFrom([]domain.Role{domain.RoleAgent, domain.RoleAdmin}).Draw(t, "role"))
	if rapid.Bool().Draw(t, "the holder") && th.state.Status == domain.Assigned {
		by.User = th.state.Holder
	}
	h.decide(th, h.drawCommand(t, th, by))
}

// drawCommand is half of the time what usually comes next: blind choices leave
// most conversations unanswered.
func (h *history) drawCommand(t *rapid.T, th *thread, by domain.Caller) domain.Command {
	what := rapid.IntRange(0, 23).Draw(t, "what")
	if what > 11 && th.state.Status == domain.Pending {
		what = 0
	}
	if what > 15 && th.state.Status == domain.Assigned {
		by.User, what = th.state.Holder, 7
	}
	switch what {
	case 0, 1:
		return domain.Accept{By: by}
	case 2:
		return domain.Release{By: by}
	case 3:
		return domain.Complete{By: by}
	case 4:
		to := domain.User{ID: rapid.SampledFrom(h.agents).Draw(t, "to"), Organization: h.org, Name: "agent", Status: domain.UserActive}
		return domain.Reassign{By: by, To: to}
	case 5:
		return domain.ReleaseIf{Agent: th.state.Holder, Assignment: th.state.Assignment, Event: domain.AuditAgentDisconnected, Reason: "grace_over"}
	case 6:
		return domain.Reopen{By: by}
	case 7, 8:
		body := rapid.SampledFrom([]string{"ok", "On its way, Jürgen 😀", "x"}).Draw(t, "body")
		return domain.Send{By: by, Draft: domain.Draft{Type: domain.TypeText, Body: body}, Channel: domain.ChannelActive}
	}
	id := fmt.Sprintf("wamid.%s.%d", h.org, h.steps)
	at := h.now.Add(-time.Duration(rapid.IntRange(0, 10_000).Draw(t, "late")) * time.Second) // the phone's clock has no part in it
	var event domain.InboundEvent = domain.CustomerMessage{ProviderID: id, At: at, Type: domain.TypeText, Body: "hello"}
	switch rapid.IntRange(0, 9).Draw(t, "kind") {
	case 0:
		event = domain.BusinessEcho{ProviderID: id, At: at, Type: domain.TypeText, Body: "from the phone"}
	case 1:
		event = domain.CustomerMessage{ProviderID: id, At: at, Type: domain.TypeText, Body: "x", Metadata: domain.MessageMetadata{Standby: true}}
	case 2:
		event = domain.SystemNotice{ProviderID: id, At: at, Body: "notice"}
	case 3:
		event = domain.CustomerReaction{ProviderID: id, Target: "unknown", At: at, Emoji: "❤"}
	}
	return domain.Receive{Origin: th.origin, Event: event}
}

func (h *history) drawShift(t *rapid.T, start time.Time) {
	s := shift{agent: rapid.SampledFrom(h.agents).Draw(t, "who")}
	s.from = start.Add(time.Duration(rapid.IntRange(0, 3*86400).Draw(t, "from")) * time.Second)
	if rapid.IntRange(0, 4).Draw(t, "open") > 0 {
		s.until = s.from.Add(time.Duration(rapid.IntRange(0, 2*86400).Draw(t, "lasts")) * time.Second)
	}
	h.shifts = append(h.shifts, s)
}

// store writes everything into the database.
func (h *history) store() {
	h.t.Helper()
	held := map[domain.UserID]int{}
	for i, th := range h.threads {
		if !th.state.Exists() {
			continue
		}
		c := th.state
		h.exec(`INSERT INTO contacts (id, organization_id, provider, provider_id) VALUES ($1, $2, 'WHATSAPP', $3)`, c.Contact, h.org, number(i))
		h.exec(`INSERT INTO conversations (id, organization_id, channel_id, contact_id, status, assigned_agent_id, assigned_at, change_id, event_seq)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			c.ID, h.org, h.channel, c.Contact, string(c.Status), c.Holder, orNull(c.AssignedAt), c.Head, c.EventSeq)
		if c.Status == domain.Assigned {
			held[c.Holder]++
		}
		for _, m := range th.messages {
			metadata, err := json.Marshal(m.Metadata)
			require.NoError(h.t, err)
			h.exec(`INSERT INTO messages (id, organization_id, channel_id, conversation_id, direction, agent_id, type, body, status, metadata, created_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7, nullif($8, ''), 'SENT', $9, $10)`,
				m.ID, h.org, h.channel, c.ID, string(m.Direction), m.Agent, string(m.Type), m.Body, string(metadata), m.CreatedAt)
		}
		for _, e := range th.events {
			facts, err := json.Marshal(e.Facts)
			require.NoError(h.t, err)
			h.exec(`INSERT INTO conversation_events (id, conversation_id, seq, event_type, actor_id, metadata, created_at)
				VALUES ($1, $2, $3, $4, $5, $6, $7)`, e.ID, c.ID, e.Seq, string(e.Type), e.Actor, string(facts), e.At)
		}
	}
	for agent, n := range held {
		h.exec(`UPDATE users SET assigned_count = $2 WHERE id = $1`, agent, n)
	}
	for i, s := range h.shifts {
		h.exec(`INSERT INTO agent_sessions (agent_id, connection_id, node_id, created_at, ended_at) VALUES ($1, $2, 'n', $3, $4)`,
			s.agent, fmt.Sprintf("%s %d", h.org, i), s.from, orNull(s.until))
	}
}

// naive counts everything once more, event by event, as docs/analytics.md puts
// it, over all of history.
type naive struct {
	figures map[domain.Day]map[domain.UserID]*domain.Figures
	steps   map[domain.UserID][]naiveStep
	end     time.Time // of the last day
}

type naiveStep struct {
	at    time.Time
	delta int64
}

func (n *naive) of(agent domain.UserID, at time.Time) *domain.Figures {
	day := domain.DayOf(at)
	if n.figures[day] == nil {
		n.figures[day] = map[domain.UserID]*domain.Figures{}
	}
	if n.figures[day][agent] == nil {
		n.figures[day][agent] = &domain.Figures{}
	}
	return n.figures[day][agent]
}

// occurrence is an event or a message.
type occurrence struct {
	at      time.Time
	event   *domain.AuditEvent
	message *domain.Message
}

func occurrences(th *thread) []occurrence {
	var all []occurrence
	for i := range th.events {
		all = append(all, occurrence{at: th.events[i].At, event: &th.events[i]})
	}
	for i := range th.messages {
		all = append(all, occurrence{at: th.messages[i].CreatedAt, message: &th.messages[i]})
	}
	slices.SortStableFunc(all, func(a, b occurrence) int { return a.at.Compare(b.at) }) // at the same moment events first
	return all
}

// walk follows one conversation.
type walk struct {
	n        *naive
	holder   domain.UserID
	changed  time.Time // the last change of hands, or the beginning
	taken    map[domain.UserID]time.Time
	begun    time.Time // the episode
	answered bool      // by an agent, in the episode
	asked    time.Time
	had      map[domain.UserID]map[domain.Day]bool
}

func (n *naive) follow(th *thread) {
	w := &walk{n: n, taken: map[domain.UserID]time.Time{}, had: map[domain.UserID]map[domain.Day]bool{}}
	for _, o := range occurrences(th) {
		if o.event != nil {
			w.event(o.event)
		} else {
			w.message(o.message)
		}
	}
	w.lose(n.end)
	for agent, days := range w.had {
		for day := range days {
			n.of(agent, day.Start()).Conversations++
		}
	}
}

func ms(d time.Duration) domain.Mean { return domain.Mean{Sum: d.Milliseconds(), Count: 1} }

func (w *walk) event(e *domain.AuditEvent) {
	facts := e.Facts
	switch e.Type {
	case domain.AuditCreated:
		w.begun = e.At
	case domain.AuditAccepted, domain.AuditReassigned:
		f := w.n.of(facts.Agent, e.At)
		if e.Type == domain.AuditAccepted {
			f.Accepted++
		} else {
			f.ReassignedIn++
		}
		if facts.Previous.IsZero() {
			f.Wait.Add(ms(e.At.Sub(w.changed)))
		} else {
			w.n.of(facts.Previous, e.At).ReassignedOut++
		}
		w.handled(e)
		w.holder, w.taken[facts.Agent] = facts.Agent, e.At
		w.n.steps[facts.Agent] = append(w.n.steps[facts.Agent], naiveStep{e.At, 1})
	case domain.AuditReleased, domain.AuditAgentDisconnected:
		w.n.of(facts.Previous, e.At).Released++
		w.handled(e)
	case domain.AuditCompleted:
		w.n.of(facts.Previous, e.At).Completed++
		w.handled(e)
	case domain.AuditReopened:
		if !facts.Previous.IsZero() {
			w.n.of(facts.Previous, e.At).Reopened++
		}
		w.begun, w.answered, w.asked = e.At, false, time.Time{}
	default:
		return // a message's
	}
	w.changed = e.At
}

// handled ends what the holder had, if there is one.
func (w *walk) handled(e *domain.AuditEvent) {
	if w.holder.IsZero() {
		return
	}
	w.n.of(w.holder, e.At).Handle.Add(ms(e.At.Sub(w.taken[w.holder])))
	w.n.steps[w.holder] = append(w.n.steps[w.holder], naiveStep{e.At, -1})
	w.lose(e.At)
}

// lose notes on which days the holder had the conversation.
func (w *walk) lose(at time.Time) {
	if w.holder.IsZero() {
		return
	}
	if w.had[w.holder] == nil {
		w.had[w.holder] = map[domain.Day]bool{}
	}
	taken := domain.DayOf(w.taken[w.holder])
	w.had[w.holder][taken] = true
	for day := taken.Plus(1); !day.Start().After(at) && day.Start().Before(w.n.end); day = day.Plus(1) {
		w.had[w.holder][day] = true
	}
	w.holder = domain.UserID{}
}

func (w *walk) message(m *domain.Message) {
	at := m.CreatedAt
	switch {
	case !m.Agent.IsZero():
		f := w.n.of(m.Agent, at)
		f.Sent++
		if chars := len([]rune(m.Body)); chars > 0 {
			f.TextLength.Add(domain.Mean{Sum: int64(chars), Count: 1})
		}
		if !w.answered {
			f.FirstResponse.Add(ms(at.Sub(w.begun)))
			f.FirstAssigned.Add(ms(at.Sub(w.taken[m.Agent])))
		}
		if !w.asked.IsZero() {
			took := at.Sub(w.asked)
			f.Add(domain.Figures{Response: ms(took), ResponseMin: took.Milliseconds(), ResponseMax: took.Milliseconds()})
		}
		w.answered, w.asked = true, time.Time{}
	case m.Direction == domain.Outbound:
		w.asked = time.Time{}
	case m.Type != domain.TypeSystem && !m.Metadata.Standby:
		if !w.holder.IsZero() {
			w.n.of(w.holder, at).Received++
		}
		if w.asked.IsZero() {
			w.asked = at
		}
	}
}

// peaks finds the most at a time, day by day.
func (n *naive) peaks(first domain.Day) {
	for agent, steps := range n.steps {
		slices.SortStableFunc(steps, func(a, b naiveStep) int { return a.at.Compare(b.at) })
		var held int64
		i := 0
		for day := first; day.Start().Before(n.end); day = day.Plus(1) {
			most := held
			for i < len(steps) && steps[i].at.Before(day.Plus(1).Start()) {
				at := steps[i].at
				for i < len(steps) && steps[i].at.Equal(at) {
					held += steps[i].delta
					i++
				}
				most = max(most, held)
			}
			if most > 0 {
				n.of(agent, day.Start()).Peak = most
			}
		}
	}
}

// online counts seconds, one by one.
func (n *naive) online(shifts []shift, first domain.Day, now time.Time) {
	for day := first; day.Start().Before(n.end); day = day.Plus(1) {
		seconds := map[domain.UserID]map[int64]bool{}
		for _, s := range shifts {
			until := s.until
			if until.IsZero() || until.After(now) {
				until = now
			}
			from := s.from
			if from.Before(day.Start()) {
				from = day.Start()
			}
			for at := from; at.Before(until) && at.Before(day.Plus(1).Start()); at = at.Add(time.Second) {
				if seconds[s.agent] == nil {
					seconds[s.agent] = map[int64]bool{}
				}
				seconds[s.agent][at.Unix()] = true
			}
		}
		for agent, spent := range seconds {
			if minutes := int64(len(spent) / 60); minutes > 0 {
				n.of(agent, day.Start()).OnlineMinutes = minutes
			}
		}
	}
}

func (h *history) recount(first domain.Day, days int, now time.Time) *naive {
	n := &naive{
		figures: map[domain.Day]map[domain.UserID]*domain.Figures{}, steps: map[domain.UserID][]naiveStep{},
		end: first.Plus(days).Start(),
	}
	for _, th := range h.threads {
		if th.state.Exists() {
			n.follow(th)
		}
	}
	n.peaks(first)
	n.online(h.shifts, first, now)
	return n
}

// byAgent is the stored figures of a day.
func byAgent(t require.TestingT, figures *persistence.Figures, org domain.OrganizationID, day domain.Day) map[domain.UserID]*domain.Figures {
	report, err := figures.Organization(context.Background(), org, domain.Days{First: day, Last: day})
	require.NoError(t, err)
	var found map[domain.UserID]*domain.Figures
	for _, a := range report.ByAgent {
		if found == nil {
			found = map[domain.UserID]*domain.Figures{}
		}
		found[a.Agent] = &a.Figures
	}
	return found
}

const everyTable = `TRUNCATE organizations, users, channels, contacts, contact_aliases, conversations, conversation_events, messages,
	agent_sessions, performance_metrics, aggregated_days CASCADE`

// Random histories of several days: what is aggregated day by day, what is
// computed live, and a naive count of everything are the same, exactly.
func TestFiguresEqualARecountOfTheTrail(t *testing.T) {
	t.Parallel()
	database := persistencetest.New(t)
	reads := openReads(t, database)
	rapid.Check(t, func(r *rapid.T) {
		_, err := database.SQL.Exec(everyTable)
		require.NoError(r, err)
		first := domain.DayOf(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC))
		start := first.Start().Add(time.Duration(rapid.IntRange(0, 24).Draw(r, "hour")) * time.Hour)
		h := newHistory(newTenant(t, database, "one"), start, 3, rapid.IntRange(1, 3).Draw(r, "threads"))
		for range rapid.IntRange(1, 80).Draw(r, "steps") {
			h.draw(r)
		}
		for range rapid.IntRange(0, 3).Draw(r, "sessions") {
			h.drawShift(r, first.Start())
		}
		h.store()
		days := first.DaysUntil(domain.DayOf(h.now)) + 2
		now := first.Plus(days).Start().Add(5 * time.Minute)
		want := h.recount(first, days, now)
		figures := persistence.NewFigures(reads, func() time.Time { return now })
		for day := first; day.Start().Before(want.end); day = day.Plus(1) {
			require.NoError(r, figures.Aggregate(r.Context(), day))
		}
		for day := first; day.Start().Before(want.end); day = day.Plus(1) {
			require.Equal(r, want.figures[day], byAgent(r, figures, h.org, day), "%s, stored", day)
		}
		h.requireHours(r, figures, domain.Days{First: first, Last: first.Plus(days - 1)})
		last := first.Plus(days - 1)
		_, err = database.SQL.Exec(`DELETE FROM performance_metrics WHERE date = $1; `, last.String())
		require.NoError(r, err)
		_, err = database.SQL.Exec(`DELETE FROM aggregated_days WHERE date = $1`, last.String())
		require.NoError(r, err)
		require.Equal(r, want.figures[last], byAgent(r, figures, h.org, last), "%s, live", last)
	})
}

// requireHours checks that the response times by hour are those by day.
func (h *history) requireHours(t require.TestingT, figures *persistence.Figures, days domain.Days) {
	report, err := figures.Organization(context.Background(), h.org, days)
	require.NoError(t, err)
	hours, err := figures.ByHour(context.Background(), h.org, domain.UserID{}, days)
	require.NoError(t, err)
	var sum domain.Mean
	for _, hour := range hours {
		sum.Add(hour)
	}
	require.Equal(t, report.Total.Response, sum)
}
