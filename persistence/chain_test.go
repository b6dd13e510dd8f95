package persistence

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/domain"
)

// scribe writes submissions of one conversation that build on each other.
type scribe struct {
	conversation domain.ConversationID
	lineage      *domain.Lineage
	head         domain.ChangeID
	verdicts     *[]domain.Outcome
}

func newScribe(first byte) *scribe {
	s := &scribe{lineage: &domain.Lineage{}, verdicts: &[]domain.Outcome{}}
	s.conversation = domain.ConversationID(uuid.New())
	s.conversation[0] = first
	return s
}

// reborn is another owner of the conversation.
func (s *scribe) reborn() *scribe {
	r := *s
	r.lineage = &domain.Lineage{}
	return &r
}

func (s *scribe) submit(fill ...func(*domain.Change)) domain.Submission {
	change := domain.Change{ID: domain.ChangeID(uuid.New()), Parent: s.head}
	change.After = domain.Conversation{ID: s.conversation, Head: change.ID}
	for _, f := range fill {
		f(&change)
	}
	submission := s.submission(change)
	s.head = change.ID
	return submission
}

func (s *scribe) check() domain.Submission { return s.submission(domain.Change{}) }

func (s *scribe) submission(change domain.Change) domain.Submission {
	verdicts := s.verdicts
	return domain.Submission{
		Conversation: s.conversation, Lineage: s.lineage, Base: s.head, Change: change,
		Done: func(v domain.Verdict) { *verdicts = append(*verdicts, v.Outcome) },
	}
}

func claiming(alias string, stored bool) func(*domain.Change) {
	return func(c *domain.Change) {
		c.Claims = append(c.Claims, domain.AliasClaim{Alias: domain.Alias{Kind: domain.AliasNumber, Value: alias}, Stored: stored})
	}
}

func inserting(messages ...domain.Message) func(*domain.Change) {
	return func(c *domain.Change) { c.Inserts = append(c.Inserts, messages...) }
}

func updating(messages ...domain.Message) func(*domain.Change) {
	return func(c *domain.Change) { c.Updates = append(c.Updates, messages...) }
}

func loading(deltas ...domain.LoadDelta) func(*domain.Change) {
	return func(c *domain.Change) { c.Load = append(c.Load, deltas...) }
}

func TestGroupMakesOneChainOfEachConversation(t *testing.T) {
	t.Parallel()
	a, b := newScribe(2), newScribe(1)
	first := a.submit()
	check, second, other := a.check(), a.submit(), b.check()
	chains, later := group([]domain.Submission{first, other, check, second})
	require.Empty(t, later)
	require.Len(t, chains, 2)
	require.Equal(t, b.conversation, chains[0].conversation, "in the order of the ids")
	require.False(t, chains[0].changes())
	require.Len(t, chains[1].items, 3)
	require.True(t, chains[1].changes())
	require.True(t, chains[1].base.IsZero())
	require.Equal(t, a.head, chains[1].head)
	require.Equal(t, second.Change.After, *chains[1].after())
}

func TestGroupSharesOneCheck(t *testing.T) {
	t.Parallel()
	a := newScribe(1)
	a.head = domain.ChangeID(uuid.New())
	chains, later := group([]domain.Submission{a.check(), a.check(), a.check()})
	require.Empty(t, later)
	require.Len(t, chains, 1)
	b := newBatch()
	require.NoError(t, b.fill(chains))
	require.Equal(t, uint32(1), b.fence.columns[len(b.fence.columns)-1].count)
}

func TestGroupLeavesForTheNextBatchWhatCollides(t *testing.T) {
	t.Parallel()
	message := inserting(domain.Message{ProviderMessageID: "same"})
	for name, c := range map[string]struct {
		first, second func(*domain.Change)
		together      bool
	}{
		"one alias":                     {claiming("1", false), claiming("1", false), false},
		"one alias, checked by one":     {claiming("1", false), claiming("1", true), true},
		"one alias, checked by both":    {claiming("1", true), claiming("1", true), true},
		"two aliases":                   {claiming("1", false), claiming("2", false), true},
		"one platform id":               {message, message, false},
		"messages without platform ids": {inserting(domain.Message{}), inserting(domain.Message{}), true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b, bystander := newScribe(1), newScribe(2), newScribe(3)
			submissions := []domain.Submission{a.submit(c.first), b.submit(), b.submit(c.second), b.submit(), bystander.submit()}
			chains, later := group(submissions)
			require.Len(t, chains, 3)
			require.Equal(t, bystander.conversation, chains[2].conversation)
			if c.together {
				require.Empty(t, later)
				return
			}
			require.Len(t, chains[1].items, 1, "what comes before the collision needn't wait")
			require.Len(t, later, 2, "what follows has to follow")
			chains, later = group(later)
			require.Empty(t, later)
			require.Len(t, chains[0].items, 2)
		})
	}
}

func TestGroupTakesAPlatformIDOnce(t *testing.T) {
	t.Parallel()
	a := newScribe(1)
	same := inserting(domain.Message{ProviderMessageID: "same"})
	chains, later := group([]domain.Submission{a.submit(same), a.submit(same), a.check()})
	require.Len(t, chains, 1)
	require.Len(t, chains[0].items, 1)
	require.Len(t, later, 2)
}

func TestGroupLetsAnotherLineageWait(t *testing.T) {
	t.Parallel()
	a := newScribe(1)
	before := a.submit()
	other := a.reborn()
	chains, later := group([]domain.Submission{before, other.submit(), other.submit()})
	require.Len(t, chains, 1)
	require.Len(t, chains[0].items, 1)
	require.Len(t, later, 2)
	a.lineage.Break()
	chains, later = group(append([]domain.Submission{a.submit()}, later...))
	require.Len(t, chains, 1)
	require.Len(t, chains[0].items, 2)
	require.Empty(t, later)
	require.Empty(t, *a.verdicts, "what was submitted under a broken lineage vanishes")
}

func TestGroupBreaksWhatDoesNotBuildOnItsPredecessor(t *testing.T) {
	t.Parallel()
	a := newScribe(1)
	first := a.submit()
	a.head = domain.ChangeID(uuid.New())
	chains, later := group([]domain.Submission{first, a.submit(), a.submit()})
	require.Empty(t, chains)
	require.Empty(t, later)
	require.Equal(t, []domain.Outcome{domain.Conflict}, *a.verdicts)
	require.True(t, a.lineage.Broken())
}

func TestChainSplits(t *testing.T) {
	t.Parallel()
	a := newScribe(1)
	first, check, second := a.submit(), a.check(), a.submit()
	chains, _ := group([]domain.Submission{first, check, second})
	markUncertain(chains)
	parts := chains[0].split()
	require.Len(t, parts, 3)
	require.Equal(t, chains[0].base, parts[0].base)
	require.Equal(t, first.Change.ID, parts[1].base)
	require.False(t, parts[1].changes())
	require.Equal(t, first.Change.ID, parts[2].base)
	require.Equal(t, chains[0].head, parts[2].head)
	for _, p := range parts {
		require.Same(t, a.lineage, p.lineage)
		require.True(t, p.uncertain, "a transaction that carried the chain carried its parts")
	}
}

func TestChainWritesEachMessageOnce(t *testing.T) {
	t.Parallel()
	id := func() domain.MessageID { return domain.MessageID(uuid.New()) }
	fresh, old, answer := id(), id(), id()
	a := newScribe(1)
	chains, _ := group([]domain.Submission{
		a.submit(inserting(domain.Message{ID: fresh, ProviderMessageID: "wamid", Body: "first"}), updating(domain.Message{ID: old, Status: domain.StatusSent})),
		a.submit(updating(domain.Message{ID: old, Status: domain.StatusRead}, domain.Message{ID: fresh, ProviderMessageID: "wamid", Body: "edited"})),
		a.submit(inserting(domain.Message{ID: answer, ReplyToProvider: "wamid"}, domain.Message{ID: id(), ReplyToProvider: "stored long ago"})),
	})
	inserts, updates := chains[0].messages()
	require.Len(t, inserts, 3)
	require.Equal(t, "edited", inserts[0].Body)
	require.Equal(t, fresh, inserts[1].ReplyTo, "answered within the batch")
	require.True(t, inserts[2].ReplyTo.IsZero())
	require.Equal(t, []domain.Message{{ID: old, Status: domain.StatusRead}}, updates)
	require.Equal(t, "first", chains[0].items[0].Change.Inserts[0].Body, "the change is the actor's")
}

func TestChainGathersWhatItClaims(t *testing.T) {
	t.Parallel()
	contact := func(name string) func(*domain.Change) {
		return func(c *domain.Change) { c.Contact = &domain.Contact{Name: name} }
	}
	merged := domain.ContactID(uuid.New())
	merging := func(c *domain.Change) { c.Merged = append(c.Merged, merged) }
	audit := func(seq int64) func(*domain.Change) {
		return func(c *domain.Change) {
			c.Audit = append(c.Audit, domain.AuditEvent{ID: domain.EventID(uuid.New()), Seq: seq})
		}
	}
	message := domain.MessageID(uuid.New())
	a := newScribe(1)
	chains, _ := group([]domain.Submission{
		a.submit(claiming("1", false), contact("old"), merging, audit(1)),
		a.submit(claiming("1", false), claiming("2", true), contact("new"), merging, audit(2), inserting(domain.Message{ID: message})),
		a.submit(), a.check(),
	})
	c := chains[0]
	require.Len(t, c.claims(), 2)
	require.Equal(t, "new", c.contact().Name)
	require.Equal(t, []domain.ContactID{merged}, c.merged())
	event, last := c.marks()
	require.Equal(t, int64(2), event.Seq)
	require.Equal(t, message, last)
	require.Nil(t, (&chain{items: []domain.Submission{a.check()}}).contact())
}

func TestChainNeedsThePeakOfItsLoad(t *testing.T) {
	t.Parallel()
	ada, grace := domain.UserID{1}, domain.UserID{2}
	plus := func(u domain.UserID) domain.LoadDelta { return domain.LoadDelta{Agent: u, Delta: 1} }
	minus := func(u domain.UserID) domain.LoadDelta { return domain.LoadDelta{Agent: u, Delta: -1} }
	for name, c := range map[string]struct {
		deltas []domain.LoadDelta
		want   []agentLoad
	}{
		"accepted":                   {[]domain.LoadDelta{plus(ada)}, []agentLoad{{ada, 1, 1}}},
		"released":                   {[]domain.LoadDelta{minus(ada)}, []agentLoad{{ada, -1, 0}}},
		"accepted and released":      {[]domain.LoadDelta{plus(ada), minus(ada)}, []agentLoad{{ada, 0, 1}}},
		"released and taken again":   {[]domain.LoadDelta{minus(ada), plus(ada)}, []agentLoad{{ada, 0, 0}}},
		"handed over":                {[]domain.LoadDelta{minus(ada), plus(grace)}, []agentLoad{{ada, -1, 0}, {grace, 1, 1}}},
		"taken, handed over, ended":  {[]domain.LoadDelta{plus(ada), minus(ada), plus(grace), minus(grace)}, []agentLoad{{ada, 0, 1}, {grace, 0, 1}}},
		"taken twice, given up once": {[]domain.LoadDelta{plus(ada), minus(ada), plus(ada)}, []agentLoad{{ada, 1, 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newScribe(1)
			var submissions []domain.Submission
			for _, d := range c.deltas {
				submissions = append(submissions, a.submit(loading(d)))
			}
			chains, _ := group(submissions)
			require.Equal(t, c.want, chains[0].load())
		})
	}
}

// Whatever is submitted, each submission ends in a chain, in what is left for
// later, or is dropped with its lineage; chains are linked, sorted, and don't
// share what must be had alone; and batch by batch the queue empties.
func TestGroupProperties(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		queue := drawQueue(t)
		for len(queue) > 0 {
			chains, later := group(queue)
			requireSorted(t, chains)
			for _, c := range chains {
				requireLinked(t, c)
			}
			requireAlone(t, chains)
			requirePlaces(t, queue, chains, later)
			require.Less(t, len(later), len(queue), "batches get on")
			queue = later
		}
	})
}

func drawQueue(t *rapid.T) []domain.Submission {
	var queue []domain.Submission
	scribes := []*scribe{newScribe(3), newScribe(1), newScribe(2)}
	for range rapid.IntRange(1, 30).Draw(t, "submissions") {
		at := rapid.IntRange(0, len(scribes)-1).Draw(t, "conversation")
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			scribes[at] = scribes[at].reborn()
		case 1:
			scribes[at].head = domain.ChangeID(uuid.New()) // forgets what it did
		case 2, 3:
			queue = append(queue, scribes[at].check())
		case 4:
			queue = append(queue, scribes[at].submit(claiming(rapid.SampledFrom([]string{"1", "2"}).Draw(t, "alias"), false)))
		case 5:
			queue = append(queue, scribes[at].submit(inserting(domain.Message{ProviderMessageID: rapid.SampledFrom([]string{"x", "y"}).Draw(t, "id")})))
		default:
			queue = append(queue, scribes[at].submit())
		}
	}
	for i := range queue {
		queue[i].Change.After.Version = int64(i + 1)
	}
	return queue
}

func requireSorted(t *rapid.T, chains []*chain) {
	require.True(t, slices.IsSortedFunc(chains, func(a, b *chain) int { return bytes.Compare(a.conversation[:], b.conversation[:]) }))
	for i := range chains[min(1, len(chains)):] {
		require.NotEqual(t, chains[i].conversation, chains[i+1].conversation)
	}
}

func requireLinked(t *rapid.T, c *chain) {
	require.NotEmpty(t, c.items)
	require.False(t, c.lineage.Broken())
	head := c.base
	for _, s := range c.items {
		require.Same(t, c.lineage, s.Lineage)
		require.Equal(t, head, s.Base)
		if !s.Change.IsZero() {
			head = s.Change.ID
		}
	}
	require.Equal(t, c.head, head)
}

// requireAlone checks that no two chains have one message or alias.
func requireAlone(t *rapid.T, chains []*chain) {
	messages, aliases := map[string]bool{}, map[string]domain.ConversationID{}
	for _, c := range chains {
		for _, s := range c.items {
			for _, m := range s.Change.Inserts {
				require.False(t, messages[m.ProviderMessageID], "a platform id twice")
				messages[m.ProviderMessageID] = true
			}
			for _, k := range s.Change.Claims {
				owner, taken := aliases[k.Value]
				require.True(t, !taken || owner == s.Conversation, "an alias of two conversations")
				aliases[k.Value] = s.Conversation
			}
		}
	}
}

// requirePlaces checks that each submission is in one place, and that nothing
// overtakes what waits of its conversation.
func requirePlaces(t *rapid.T, queue []domain.Submission, chains []*chain, later []domain.Submission) {
	places, newest := map[int64]int{}, map[domain.ConversationID]int64{}
	for _, c := range chains {
		for _, s := range c.items {
			places[tag(s)]++
			newest[s.Conversation] = tag(s)
		}
	}
	before := int64(-1)
	for _, s := range later {
		places[tag(s)]++
		require.Greater(t, tag(s), before, "what waits keeps its order")
		require.Greater(t, tag(s), newest[s.Conversation], "what waits is overtaken")
		before = tag(s)
	}
	for _, s := range queue {
		if !s.Lineage.Broken() {
			require.Equal(t, 1, places[tag(s)])
		}
	}
}

// tag is the place of a submission in the queue, from 1.
func tag(s domain.Submission) int64 { return s.Change.After.Version }
