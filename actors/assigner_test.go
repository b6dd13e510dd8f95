package actors

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/domain"
)

// floor is an organization as assigners see it: Queue and Commands. Its
// capacity is enforced when a command is carried out, as the writer does.
type floor struct {
	mu        sync.Mutex
	org       domain.OrganizationID
	manual    bool
	waiting   map[domain.ConversationID]domain.Waiting
	seats     map[domain.UserID]domain.Seat
	here      map[domain.UserID]bool
	held      map[domain.ConversationID]domain.UserID
	order     []domain.ConversationID // as they were given
	unread    int                     // how often reading fails
	failures  []error                 // of the next commands
	reads     int
	busy      int
	most      int
	meanwhile func() // called in the next command, before it is carried out
}

const floorPage = 50

func (f *floor) Waiting(_ context.Context, org domain.OrganizationID, after domain.Waiting) ([]domain.Waiting, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reads++
	if f.unread > 0 {
		f.unread--
		return nil, domain.ErrUnavailable
	}
	var page []domain.Waiting
	for _, w := range f.waiting {
		if org == f.org && byAge(w, after) > 0 {
			page = append(page, w)
		}
	}
	slices.SortFunc(page, byAge)
	return page[:min(len(page), floorPage)], nil
}

func byAge(a, b domain.Waiting) int {
	return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(string(a.Conversation[:]), string(b.Conversation[:])))
}

func (f *floor) Seats(_ context.Context, _ domain.OrganizationID, agents []domain.UserID) ([]domain.Seat, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var seats []domain.Seat
	for _, id := range agents {
		seats = append(seats, f.seats[id])
	}
	return seats, nil
}

func (f *floor) WaitingOrganizations(context.Context) ([]domain.OrganizationID, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) == 0 {
		return nil, nil
	}
	return []domain.OrganizationID{f.org}, nil
}

func (f *floor) available(domain.OrganizationID) []domain.UserID {
	f.mu.Lock()
	defer f.mu.Unlock()
	var agents []domain.UserID
	for id, here := range f.here {
		if here {
			agents = append(agents, id)
		}
	}
	return agents
}

func (f *floor) Do(_ context.Context, id domain.ConversationID, cmd domain.Command) error {
	f.mu.Lock()
	f.busy++
	f.most = max(f.most, f.busy)
	meanwhile := f.meanwhile
	f.meanwhile = nil
	f.mu.Unlock()
	<-time.After(time.Millisecond)
	if meanwhile != nil {
		meanwhile()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy--
	if len(f.failures) > 0 {
		err := f.failures[0]
		f.failures = f.failures[1:]
		return err
	}
	a := cmd.(domain.Assign)
	w, ok := f.waiting[id]
	seat := f.seats[a.To.ID]
	switch {
	case !ok || !w.Since.Equal(a.Since):
		return &domain.Refusal{Code: domain.CodeAlreadyAssigned}
	case seat.Agent.MaxConversations > 0 && seat.Assigned >= seat.Agent.MaxConversations:
		return &domain.Refusal{Code: domain.CodeCapacityReached}
	}
	f.take(id, a.To.ID)
	return nil
}

// take makes the conversation the agent's. The caller holds the lock.
func (f *floor) take(id domain.ConversationID, agent domain.UserID) {
	delete(f.waiting, id)
	seat := f.seats[agent]
	seat.Assigned++
	f.seats[agent], f.held[id] = seat, agent
	f.order = append(f.order, id)
}

func onFloor(t *testing.T, test func(t *testing.T, f *floor, as *Assigners)) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { playFloor(t, test) })
}

// playFloor runs an organization in a bubble of fake time.
func playFloor(t *testing.T, test func(t *testing.T, f *floor, as *Assigners)) {
	ctx, cancel := context.WithCancel(t.Context())
	s, w := newSystem(t), NewWheel(100*time.Millisecond, time.Now)
	var running sync.WaitGroup
	running.Go(func() { _ = w.Run(ctx) }) // nil always
	f := &floor{
		org: organization(1), waiting: map[domain.ConversationID]domain.Waiting{}, seats: map[domain.UserID]domain.Seat{},
		here: map[domain.UserID]bool{}, held: map[domain.ConversationID]domain.UserID{},
	}
	as := NewAssigners(s, AssignerConfig{
		Queue: f, Commands: f, Available: f.available, Automatic: func(domain.OrganizationID) bool { return !f.manual },
		Wheel: w, Logger: slog.New(slog.DiscardHandler),
	})
	test(t, f, as)
	require.NoError(t, as.Close(t.Context()))
	cancel()
	running.Wait()
}

func (f *floor) agent(n byte, limit int) domain.UserID {
	id := domain.UserID{n}
	f.seats[id] = domain.Seat{Agent: domain.User{ID: id, MaxConversations: limit}}
	f.here[id] = true
	return id
}

// arrive makes conversations wait, a second apart, the first the oldest.
func (f *floor) arrive(numbers ...int) {
	for _, n := range numbers {
		id := domain.ConversationID{14: byte(n / 256), 15: byte(n)}
		f.waiting[id] = domain.Waiting{Conversation: id, Since: time.Now().Add(time.Duration(n-10_000) * time.Second)}
	}
}

// left is how many wait.
func (f *floor) left() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiting)
}

// settled lets everything happen that happens without a pause.
func (f *floor) settled() {
	<-time.After(assignPause / 2)
	synctest.Wait()
}

func TestAssignerGivesTheOldestAndStopsAtTheLimit(t *testing.T) {
	onFloor(t, func(t *testing.T, f *floor, as *Assigners) {
		ada := f.agent(1, 3)
		for n := range 5 {
			f.arrive(n)
		}
		as.Look(f.org)
		f.settled()
		require.Len(t, f.held, 3)
		require.Equal(t, 2, f.left())
		for _, id := range f.order {
			require.Less(t, id[15], byte(3), "the oldest")
		}
		require.Equal(t, 3, f.seats[ada].Assigned)
		require.Zero(t, as.directory.Len(), "it leaves when there is nothing to do")
	})
}

func TestAssignerWorksThroughAnyNumberInPages(t *testing.T) {
	onFloor(t, func(t *testing.T, f *floor, as *Assigners) {
		f.agent(1, 0)
		f.agent(2, 0)
		for n := range 450 {
			f.arrive(n)
		}
		as.Look(f.org)
		f.settled()
		require.Zero(t, f.left())
		require.Equal(t, 225, f.seats[domain.UserID{1}].Assigned)
		require.Equal(t, assignParallel, f.most)
	})
}

func TestAssignerLeavesOthersAlone(t *testing.T) {
	onFloor(t, func(t *testing.T, f *floor, as *Assigners) {
		f.agent(1, 0)
		f.arrive(1)
		as.Look(organization(2))
		f.manual = true
		as.Look(f.org)
		f.settled()
		require.Equal(t, 1, f.left())
		f.manual = false
		f.here[domain.UserID{1}] = false
		reads := f.reads
		as.Look(f.org)
		f.settled()
		require.Equal(t, reads, f.reads, "nobody is there: nothing is read")
	})
}

func TestAssignerLooksAgainWhenSomebodyWasFaster(t *testing.T) {
	onFloor(t, func(t *testing.T, f *floor, as *Assigners) {
		ada := f.agent(1, 1)
		f.arrive(1, 2)
		f.meanwhile = func() { // ada accepts the other one by herself
			f.mu.Lock()
			defer f.mu.Unlock()
			f.take(domain.ConversationID{15: 2}, ada)
			f.seats[domain.UserID{2}] = domain.Seat{Agent: domain.User{ID: domain.UserID{2}}}
			f.here[domain.UserID{2}] = true
		}
		as.Look(f.org)
		f.settled()
		require.Equal(t, domain.UserID{2}, f.held[domain.ConversationID{15: 1}], "at once, to who is there now")
		require.Equal(t, 1, f.seats[ada].Assigned)
	})
}

func TestAssignerHearsWhatHappensDuringARound(t *testing.T) {
	onFloor(t, func(t *testing.T, f *floor, as *Assigners) {
		f.agent(1, 1)
		f.arrive(1, 2)
		f.meanwhile = func() {
			f.mu.Lock()
			f.agent(2, 1)
			f.mu.Unlock()
			as.Look(f.org)
		}
		as.Look(f.org)
		f.settled()
		require.Zero(t, f.left())
	})
}

func TestAssignerTriesAgainWhatPasses(t *testing.T) {
	onFloor(t, func(t *testing.T, f *floor, as *Assigners) {
		f.agent(1, 0)
		f.arrive(1, 2)
		f.unread = 1
		f.failures = []error{domain.ErrOverloaded, domain.ErrFailed}
		as.Look(f.org)
		f.settled()
		require.Equal(t, 2, f.left())
		<-time.After(3 * assignPause)
		f.settled()
		require.Zero(t, f.left())
	})
}

func TestAssignerWaitsForThePauseToEnd(t *testing.T) {
	onFloor(t, func(t *testing.T, f *floor, as *Assigners) {
		ada := f.agent(1, 0)
		id := domain.ConversationID{15: 1}
		f.waiting[id] = domain.Waiting{Conversation: id, Since: time.Now(), GivenBackBy: ada}
		as.Look(f.org)
		<-time.After(domain.ReturnPause - time.Second)
		synctest.Wait()
		require.Equal(t, 1, f.left())
		require.Equal(t, 1, as.directory.Len())
		<-time.After(2 * time.Second)
		synctest.Wait()
		require.Zero(t, f.left())
		require.Zero(t, as.directory.Len())
	})
}

func TestAssignerFindsWhatWasOverlooked(t *testing.T) {
	onFloor(t, func(t *testing.T, f *floor, as *Assigners) {
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { require.NoError(t, as.Run(ctx)) })
		f.settled()
		f.mu.Lock()
		f.agent(1, 0)
		f.arrive(1)
		f.mu.Unlock()
		<-time.After(AssignEvery)
		f.settled()
		require.Zero(t, f.left())
		cancel()
		running.Wait()
	})
}

func TestWhatMakesAssignersLook(t *testing.T) {
	t.Parallel()
	someone := domain.UserID{1}
	for name, c := range map[string]struct {
		payload any
		want    bool
	}{
		"created":                  {domain.ConversationCreated{Status: domain.Pending}, true},
		"created elsewhere":        {domain.ConversationCreated{Status: domain.Completed}, false},
		"accepted":                 {domain.AssignmentChanged{Status: domain.Assigned, Holder: &someone}, false},
		"reassigned from somebody": {domain.AssignmentChanged{Status: domain.Assigned, Holder: &someone, Previous: &someone}, true},
		"released":                 {domain.AssignmentChanged{Status: domain.Pending, Previous: &someone}, true},
		"completed":                {domain.AssignmentChanged{Status: domain.Completed, Previous: &someone}, true},
		"reopened":                 {domain.AssignmentChanged{Status: domain.Pending}, true},
		"a message":                {domain.MessageCreated{}, false},
		"presence":                 {domain.AgentPresence{}, false},
	} {
		require.Equal(t, c.want, opensAssignment(domain.Notice{Payload: c.payload}), name)
	}
}

// happening is one thing that happens to an organization.
type happening struct {
	what         int
	agent        byte
	conversation byte
	limit        int
	back         bool          // a conversation that ends is given back
	pause        time.Duration // before the next thing; a command takes 1 ms
	leisure      bool          // and everything settles
}

func drawHappening(t *rapid.T) happening {
	return happening{
		what: rapid.IntRange(0, 4).Draw(t, "what"), agent: rapid.ByteRange(0, 2).Draw(t, "agent"),
		conversation: rapid.Byte().Draw(t, "conversation"), limit: rapid.IntRange(1, 4).Draw(t, "limit"),
		pause: time.Duration(rapid.IntRange(0, 3).Draw(t, "pause")) * time.Millisecond / 2,
		back:  rapid.Bool().Draw(t, "back"), leisure: rapid.IntRange(0, 3).Draw(t, "leisure") == 0,
	}
}

// Whatever happens, in whatever order and while rounds are under way, nobody
// ends up over the limit, and nothing waits while somebody who may have it has
// room.
func TestAssignerLeavesNothingWaitingWhileThereIsRoom(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		happenings := rapid.SliceOfN(rapid.Custom(drawHappening), 1, 200).Draw(rt, "happenings")
		var problems []string
		synctest.Test(t, func(t *testing.T) {
			playFloor(t, func(_ *testing.T, f *floor, as *Assigners) { problems = f.play(as, happenings) })
		})
		require.Empty(rt, problems)
	})
}

func (f *floor) play(as *Assigners, happenings []happening) []string {
	for n := range byte(3) {
		f.agent(n, 2)
	}
	for _, h := range happenings {
		f.happens(h)
		as.Look(f.org)
		<-time.After(h.pause)
		if h.leisure {
			f.settled()
			if problems := f.problems(); problems != nil {
				return problems
			}
		}
	}
	f.settled()
	if problems := f.problems(); problems != nil {
		return problems
	}
	<-time.After(domain.ReturnPause + time.Second)
	synctest.Wait()
	return f.problems()
}

func (f *floor) happens(h happening) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := domain.UserID{h.agent}
	seat := f.seats[id]
	switch h.what {
	case 0, 1:
		c := domain.ConversationID{13: 1, 15: h.conversation}
		if f.held[c].IsZero() {
			f.waiting[c] = domain.Waiting{Conversation: c, Since: time.Now()}
		}
	case 2:
		f.here[id] = !f.here[id]
	case 3:
		seat.Agent.MaxConversations = max(seat.Assigned, h.limit)
		f.seats[id] = seat
	case 4:
		for c, holder := range f.held {
			if holder == id {
				delete(f.held, c)
				seat.Assigned--
				f.seats[id] = seat
				if h.back {
					f.waiting[c] = domain.Waiting{Conversation: c, Since: time.Now(), GivenBackBy: id}
				}
				return
			}
		}
	}
}

func (f *floor) problems() (problems []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, seat := range f.seats {
		if seat.Assigned > seat.Agent.MaxConversations {
			problems = append(problems, fmt.Sprintf("%v has %d of %d", id, seat.Assigned, seat.Agent.MaxConversations))
		}
		for _, w := range f.waiting {
			barred := w.GivenBackBy == id && time.Now().Before(w.Since.Add(domain.ReturnPause))
			if f.here[id] && !barred && seat.Assigned < seat.Agent.MaxConversations {
				problems = append(problems, fmt.Sprintf("%v waits while %v has room", w.Conversation, id))
			}
		}
	}
	return problems
}
