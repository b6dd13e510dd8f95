package actors

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// store is the database as the actors see it: Writer and Loader in one, with
// what the real ones promise. Submissions queue up and are stored in batches,
// a conversation's as one chain that is stored or refused whole; the fence,
// duplicates, aliases, capacity and refused values are found before anything is
// written, and a lineage that breaks gets one verdict. It works on a goroutine
// of its own, or, while held, when the test says so.
type store struct {
	mu    sync.Mutex
	wake  chan struct{} // capacity 1
	queue []domain.Submission
	held  bool

	states   map[domain.ConversationID]domain.Conversation
	messages map[domain.MessageID]storedMessage
	stored   map[string]int // rows by the platform's id, of which each is to have one
	aliases  map[domain.Alias]domain.ContactID
	contacts map[domain.ContactID]domain.Contact
	room     map[domain.UserID]int // places that agents have left; absent: any number

	history   map[domain.ConversationID][]domain.Conversation // all states that were stored, in order
	inserted  map[domain.MessageID]bool                       // by changes whose commit was told
	told      map[domain.ConversationID][]domain.Change       // changes whose commit was told, in order
	loads     int
	asked     []domain.Targets // of each load of messages
	admission []bool           // what Admit was asked with

	admit       error // what Admit says
	loadError   error
	unavailable bool // whatever is submitted is refused
	targetError func(domain.Targets) error
	weather     weather
}

// weather is how often what goes wrong, in percent, and how long things take.
type weather struct {
	random                                      *rand.Rand // nil: nothing goes wrong
	unavailable, unknown, elsewhere, load, full int
	delay                                       time.Duration // at most, for a batch or a load
}

type storedMessage struct {
	conversation domain.ConversationID
	domain.Message
}

// poison is what the store refuses in the text of a message, and in a target.
const poison = "\x00"

func newStore() *store {
	return &store{
		wake:     make(chan struct{}, 1),
		states:   map[domain.ConversationID]domain.Conversation{},
		messages: map[domain.MessageID]storedMessage{}, stored: map[string]int{},
		aliases: map[domain.Alias]domain.ContactID{}, contacts: map[domain.ContactID]domain.Contact{},
		room:     map[domain.UserID]int{},
		history:  map[domain.ConversationID][]domain.Conversation{},
		inserted: map[domain.MessageID]bool{}, told: map[domain.ConversationID][]domain.Change{},
	}
}

// Admit implements Writer.
func (s *store) Admit(internal bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.admission = append(s.admission, internal)
	if s.chance(s.weather.full) {
		return fmt.Errorf("writer queue: %w", domain.ErrOverloaded)
	}
	return s.admit
}

// Submit implements Writer.
func (s *store) Submit(sub domain.Submission) {
	s.mu.Lock()
	s.queue = append(s.queue, sub)
	s.mu.Unlock()
	s.poke()
}

func (s *store) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run stores what queues up until ctx ends.
func (s *store) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
		}
		for s.step(s.batchSize()) > 0 {
		}
	}
}

func (s *store) batchSize() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held {
		return 0
	}
	if s.weather.random != nil {
		return 1 + s.weather.random.IntN(8)
	}
	return len(s.queue)
}

// step stores at most n of what waits, and returns how many it took.
func (s *store) step(n int) int {
	s.pause()
	s.mu.Lock()
	n = min(n, len(s.queue))
	batch := s.queue[:n:n]
	s.queue = s.queue[n:]
	var verdicts []func()
	for _, chain := range s.chains(batch, &verdicts) {
		s.settle(chain, &verdicts)
	}
	s.mu.Unlock()
	for _, tell := range verdicts {
		tell()
	}
	return n
}

// chains groups a batch as the writer does: what belongs to a broken lineage
// vanishes, and what doesn't build on its predecessor breaks it.
func (s *store) chains(batch []domain.Submission, verdicts *[]func()) [][]domain.Submission {
	var chains [][]domain.Submission
	at, heads := map[*domain.Lineage]int{}, map[*domain.Lineage]domain.ChangeID{}
	for _, sub := range batch {
		if sub.Lineage.Broken() {
			continue
		}
		i, ok := at[sub.Lineage]
		if !ok {
			i = len(chains)
			at[sub.Lineage], chains = i, append(chains, nil)
		} else if sub.Base != heads[sub.Lineage] {
			breakWith(sub, domain.Verdict{Outcome: domain.Conflict}, verdicts)
			continue
		}
		chains[i], heads[sub.Lineage] = append(chains[i], sub), headOf(sub)
	}
	return slices.DeleteFunc(chains, func(c []domain.Submission) bool { return c[0].Lineage.Broken() })
}

// headOf is the head of the conversation after sub.
func headOf(sub domain.Submission) domain.ChangeID {
	if sub.Change.IsZero() {
		return sub.Base
	}
	return sub.Change.ID
}

func breakWith(sub domain.Submission, v domain.Verdict, verdicts *[]func()) {
	sub.Lineage.Break()
	*verdicts = append(*verdicts, func() { sub.Done(v) })
}

// settle stores a chain or refuses it.
func (s *store) settle(chain []domain.Submission, verdicts *[]func()) {
	switch {
	case s.unavailable, s.chance(s.weather.unavailable):
		breakWith(chain[0], domain.Verdict{Outcome: domain.Unavailable}, verdicts)
		return
	case s.chance(s.weather.unknown):
		if s.verdict(chain).Outcome == domain.Committed && s.chance(50) {
			s.write(chain)
		}
		breakWith(chain[0], domain.Verdict{Outcome: domain.Unknown}, verdicts)
		return
	case s.chance(s.weather.elsewhere):
		s.changeElsewhere(chain[0].Conversation)
	}
	if v := s.verdict(chain); v.Outcome == domain.Refused && len(chain) > 1 {
		for i := range chain { // one by one, up to the one that is refused
			if s.settle(chain[i:i+1:i+1], verdicts); chain[i].Lineage.Broken() {
				return
			}
		}
	} else if v.Outcome != domain.Committed {
		breakWith(chain[0], v, verdicts)
	} else {
		s.write(chain)
		for _, sub := range chain {
			s.note(sub)
			*verdicts = append(*verdicts, func() { sub.Done(v) })
		}
	}
}

// verdict is what the fence says of a chain.
func (s *store) verdict(chain []domain.Submission) domain.Verdict {
	for i := range chain {
		for _, m := range slices.Concat(chain[i].Change.Inserts, chain[i].Change.Updates) {
			if strings.Contains(m.Body, poison) {
				return domain.Verdict{Outcome: domain.Refused, Blame: headOf(chain[i]), Err: &domain.ValueError{Reason: "22021"}}
			}
		}
	}
	if v := s.identityVerdict(chain); v.Outcome != domain.Committed {
		return v
	}
	need := map[domain.UserID]int{}
	for i := range chain {
		for _, l := range chain[i].Change.Load {
			need[l.Agent] += l.Delta
			if room, limited := s.room[l.Agent]; limited && l.Delta > 0 && need[l.Agent] > room {
				return domain.Verdict{Outcome: domain.OverCapacity, Agent: l.Agent}
			}
		}
	}
	if s.states[chain[0].Conversation].Head != chain[0].Base {
		return domain.Verdict{Outcome: domain.Conflict}
	}
	return domain.Verdict{Outcome: domain.Committed}
}

func (s *store) identityVerdict(chain []domain.Submission) domain.Verdict {
	var duplicates []string
	for i := range chain {
		for _, m := range chain[i].Change.Inserts {
			if m.ProviderMessageID != "" && s.stored[m.ProviderMessageID] > 0 {
				duplicates = append(duplicates, m.ProviderMessageID)
			}
		}
	}
	if len(duplicates) > 0 {
		return domain.Verdict{Outcome: domain.Duplicate, Duplicates: duplicates}
	}
	for i := range chain {
		for _, claim := range chain[i].Change.Claims {
			owner, known := s.aliases[claim.Alias]
			if known && owner != chain[i].Change.After.Contact && owner != claim.MoveFrom {
				return domain.Verdict{
					Outcome: domain.ForeignAlias, Foreign: domain.MisroutedError{Alias: claim.Alias, Owner: owner},
				}
			}
		}
	}
	return domain.Verdict{Outcome: domain.Committed}
}

// write takes the changes of a chain that passed.
func (s *store) write(chain []domain.Submission) {
	for i := range chain {
		if c := &chain[i].Change; !c.IsZero() {
			s.apply(c)
		}
	}
}

func (s *store) apply(c *domain.Change) {
	s.states[c.After.ID] = c.After
	s.history[c.After.ID] = append(s.history[c.After.ID], c.After)
	if c.Contact != nil {
		s.contacts[c.Contact.ID] = *c.Contact
	}
	for _, claim := range c.Claims {
		s.aliases[claim.Alias] = c.After.Contact
	}
	for _, m := range c.Inserts {
		s.messages[m.ID] = storedMessage{c.After.ID, m}
		if m.ProviderMessageID != "" {
			s.stored[m.ProviderMessageID]++
		}
	}
	for _, m := range c.Updates {
		s.messages[m.ID] = storedMessage{c.After.ID, m}
	}
	for _, l := range c.Load {
		if room, limited := s.room[l.Agent]; limited {
			s.room[l.Agent] = room - l.Delta
		}
	}
}

// note remembers what the actor is about to be told of.
func (s *store) note(sub domain.Submission) {
	if sub.Change.IsZero() {
		return
	}
	s.told[sub.Conversation] = append(s.told[sub.Conversation], sub.Change)
	for _, m := range sub.Change.Inserts {
		s.inserted[m.ID] = true
	}
}

// changeElsewhere is another node that owns the conversation, too.
func (s *store) changeElsewhere(id domain.ConversationID) {
	c, ok := s.states[id]
	if !ok {
		return
	}
	c.Head, c.Version, c.UpdatedAt = domain.ChangeID(entropy()), c.Version+1, c.UpdatedAt.Add(time.Microsecond)
	s.apply(&domain.Change{ID: c.Head, After: c})
}

// Load implements Loader.
func (s *store) Load(id domain.ConversationID, done func(domain.Conversation, error)) {
	go func() {
		s.pause()
		state, err := s.load(id)
		done(state, err)
	}()
}

func (s *store) load(id domain.ConversationID) (domain.Conversation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	if s.chance(s.weather.load) {
		return domain.Conversation{}, fmt.Errorf("load: %w", domain.ErrUnavailable)
	}
	state := s.states[id]
	state.ID = id
	return state, s.loadError
}

// LoadMessages implements Loader.
func (s *store) LoadMessages(c domain.ConversationID, _ domain.ChannelID, t domain.Targets, done func([]domain.Message, error)) {
	go func() {
		s.pause()
		found, err := s.find(c, t)
		done(found, err)
	}()
}

func (s *store) find(c domain.ConversationID, t domain.Targets) ([]domain.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, t)
	if s.chance(s.weather.load) {
		return nil, fmt.Errorf("load messages: %w", domain.ErrUnavailable)
	}
	if s.targetError != nil {
		if err := s.targetError(t); err != nil {
			return nil, err
		}
	}
	named := make(map[string]bool, len(t.ProviderIDs))
	for _, id := range t.ProviderIDs {
		named[id] = true
	}
	var found []domain.Message
	for _, m := range slices.Collect(maps.Values(s.messages)) {
		unread := !t.UnreadUpTo.IsZero() && m.Direction == domain.Outbound && m.Status != domain.StatusRead && !m.CreatedAt.After(t.UnreadUpTo)
		asked := m.IdempotencyKey != "" && slices.Contains(t.Requests, domain.RequestKey{Agent: m.Agent, Key: m.IdempotencyKey})
		if m.conversation == c && (named[m.ProviderMessageID] || slices.Contains(t.IDs, m.ID) || asked || unread) {
			found = append(found, m.Message)
		}
	}
	return found, nil
}

// chance is true in percent of the cases; the caller holds the lock.
func (s *store) chance(percent int) bool {
	return percent > 0 && s.weather.random != nil && s.weather.random.IntN(100) < percent
}

// pause takes the time that a database takes; it costs none in a synctest.
func (s *store) pause() {
	s.mu.Lock()
	var d time.Duration
	if s.weather.random != nil && s.weather.delay > 0 {
		d = time.Duration(s.weather.random.Int64N(int64(s.weather.delay)))
	}
	s.mu.Unlock()
	if d > 0 {
		<-time.After(d)
	}
}
