package actors

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// Goal: the actor goes on deciding while nothing is stored yet, and nobody hears
// of anything before it is.
func TestAnswersAndNoticesWaitForTheCommit(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k, alice, bob := o.known("1"), o.agent("alice"), o.agent("bob")
		o.hold()
		var texts []string
		var asked []*inquirer
		for i := range 50 {
			texts = append(texts, fmt.Sprint("m", i))
			asked = append(asked, o.ask(k.id, k.says(texts[i])))
		}
		accepted, refused := o.ask(k.id, domain.Accept{By: alice}), o.ask(k.id, domain.Accept{By: bob})
		again := o.ask(k.id, domain.Accept{By: alice}, domain.Release{By: alice})
		require.Equal(t, 54, o.queued(), "decided one after the other, without waiting")
		o.unanswered(append(asked, accepted, refused, again)...)
		require.Empty(t, o.notices.all())

		o.step(20)
		require.Equal(t, texts[:20], o.notices.bodies())
		for _, a := range asked[:20] {
			require.Equal(t, []error{nil}, o.results(a))
		}
		o.unanswered(append(asked[20:], accepted, refused, again)...)

		o.step(33) // all but the last release
		require.Equal(t, texts, o.notices.bodies())
		require.NoError(t, o.results(accepted)[0])
		no := o.refusal(domain.CodeAlreadyAssigned, o.results(refused)[0])
		require.Equal(t, alice.User, no.Holder)
		o.unanswered(again)
		o.step(1)
		require.Equal(t, []error{nil, nil}, o.results(again))
		require.Len(t, o.notices.named(domain.EventAssignmentChanged), 2)
	})
}

func TestConflictIsDecidedAgain(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k, alice, bob := o.known("1"), o.agent("alice"), o.agent("bob")
		o.hold()
		message, accept := o.ask(k.id, k.says("hello")), o.ask(k.id, domain.Accept{By: alice})
		require.Equal(t, 2, o.queued())
		o.change(func(s *store) { s.acceptElsewhere(k.id, bob) })
		o.step(2)
		o.unanswered(message, accept)
		require.Empty(t, o.notices.all(), "of what was undone nobody hears")
		require.Equal(t, 2, o.queued(), "both decided again")
		o.resume()
		require.NoError(t, o.results(message)[0])
		require.Equal(t, bob.User, o.refusal(domain.CodeAlreadyAssigned, o.results(accept)[0]).Holder)
		require.Equal(t, []string{"hello"}, o.notices.bodies())
	})
}

func (s *store) acceptElsewhere(id domain.ConversationID, by domain.Caller) {
	s.decideElsewhere(s.states[id], domain.Accept{By: by})
}

func (s *store) createElsewhere(k customer, cmd domain.Command) {
	s.decideElsewhere(domain.Conversation{ID: k.id}, cmd)
}

// decideElsewhere is what another node does.
func (s *store) decideElsewhere(state domain.Conversation, cmd domain.Command) {
	_, change, err := domain.Decide(state, cmd, &domain.MessageSet{}, domain.Moment{Now: time.Now(), Entropy: entropy()})
	if err != nil {
		panic(err)
	}
	s.apply(&change)
}

// Goal: two nodes that meet a new customer at once make one conversation.
func TestConversationCreatedElsewhereMeanwhile(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.customer("1")
		o.hold()
		a := o.ask(k.id, k.says("hello"))
		o.change(func(s *store) { s.createElsewhere(k, k.says("elsewhere")) })
		o.resume()
		require.NoError(t, o.results(a)[0])
		require.Equal(t, 2, see(o, func(s *store) int { return s.states[k.id].Unread }))
		require.Empty(t, o.notices.named(domain.EventConversationCreated), "the other one announces it")
	})
}

// Goal: a conversation that always loses gives up, and answers.
func TestConflictsWithoutEndAreBounded(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		loads := see(o, func(s *store) int { return s.loads })
		o.hold()
		a, b := o.ask(k.id, k.says("hello")), o.ask(k.id, domain.Accept{By: o.agent("alice")})
		for range maxRetries + 1 {
			o.change(func(s *store) { s.changeElsewhere(k.id) })
			o.step(2)
		}
		require.ErrorIs(t, o.results(a)[0], domain.ErrOverloaded)
		require.ErrorIs(t, o.results(b)[0], domain.ErrOverloaded)
		require.Equal(t, maxRetries, see(o, func(s *store) int { return s.loads })-loads)
		o.resume()
		require.Zero(t, o.conversations.Len())
		require.NoError(t, o.do(k.id, k.says("hello")), "and goes on when it can")
	})
}

// Goal: a verdict that blames none of the changes can't be repeated for ever.
func TestRefusalOfNobodyIsBounded(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		o.hold()
		a := o.ask(k.id, k.says("hello"))
		for range maxRetries + 1 {
			o.wait()
			var verdicts []func()
			o.change(func(s *store) {
				breakWith(s.queue[0], domain.Verdict{Outcome: domain.Refused, Blame: domain.ChangeID(entropy())}, &verdicts)
				s.queue = s.queue[1:]
			})
			verdicts[0]()
		}
		require.ErrorIs(t, o.results(a)[0], domain.ErrOverloaded)
		require.Zero(t, o.queued())
	})
}

func TestDuplicateIsDoneAndTheOthersAreDecidedAgain(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		o.hold()
		a := o.ask(k.id, k.says("before"), k.says("first"), k.says("after"))
		o.resume()
		require.Equal(t, []error{nil, nil, nil}, o.results(a))
		require.Equal(t, []string{"before", "after"}, o.notices.bodies(), "no event for a duplicate")
		require.Equal(t, 3, see(o, func(s *store) int { return s.states[k.id].Unread }))
		require.Equal(t, 1, see(o, func(s *store) int { return s.stored[k.named("first")] }))
	})
}

// Goal: who claims an alias that is somebody else's is sent there; nobody else is.
func TestForeignAliasIsBlamedOnThoseWhoClaimIt(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k, owner := o.known("1"), domain.ContactID(entropy())
		other := k
		foreign := domain.Alias{Kind: domain.AliasNumber, Value: "2"}
		other.origin.Person.Claims = append(slices.Clone(k.origin.Person.Claims), domain.AliasClaim{Alias: foreign})
		o.change(func(s *store) { s.aliases[foreign] = owner })
		a := o.ask(k.id, k.says("mine"), other.says("not mine"), domain.Accept{By: o.agent("alice")}, other.says("nor this"))
		results := o.results(a)
		require.NoError(t, results[0])
		require.NoError(t, results[2])
		for _, i := range []int{1, 3} {
			var misrouted *domain.MisroutedError
			require.ErrorAs(t, results[i], &misrouted)
			require.Equal(t, domain.MisroutedError{Alias: foreign, Owner: owner}, *misrouted)
		}
		require.Equal(t, []string{"mine"}, o.notices.bodies())
		require.Equal(t, owner, see(o, func(s *store) domain.ContactID { return s.aliases[foreign] }))
	})
}

// Goal: an agent without room is told so with facts that are durable, also when
// other commands of the same moment succeed.
func TestOverCapacityIsRefusedWithDurableFacts(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k, full, bob := o.known("1"), o.agent("full"), o.agent("bob")
		o.change(func(s *store) { s.room[full.User] = 0 })
		o.refusal(domain.CodeCapacityReached, o.do(k.id, domain.Accept{By: full}))

		o.hold()
		toBob := o.ask(k.id, domain.Reassign{By: o.admin(), To: userOf(bob)})
		toFull := o.ask(k.id, domain.Reassign{By: o.admin(), To: userOf(full)})
		o.step(2) // refused; decided again: bob's is pending, full's is to be answered
		o.unanswered(toBob, toFull)
		require.Equal(t, 2, o.queued(), "the refusal tells of bob: it waits for the same commit")
		o.resume()
		require.NoError(t, o.results(toBob)[0])
		no := o.refusal(domain.CodeCapacityReached, o.results(toFull)[0])
		require.Equal(t, bob.User, no.Holder)
		require.Equal(t, domain.Assigned, no.Status)
		require.Equal(t, bob.User, see(o, func(s *store) domain.UserID { return s.states[k.id].Holder }))
	})
}

// Goal: a refusal for want of room whose facts don't hold is decided again: by
// then there may be room.
func TestOverCapacityWhoseFactsAreStaleIsDecidedAgain(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k, agent := o.known("1"), o.agent("full")
		o.change(func(s *store) { s.room[agent.User] = 0 })
		o.hold()
		a := o.ask(k.id, domain.Accept{By: agent})
		o.step(1)
		o.change(func(s *store) {
			s.changeElsewhere(k.id)
			s.room[agent.User] = 1
		})
		o.resume()
		require.NoError(t, o.results(a)[0])
	})
}

func TestRefusedValueIsBlamedAlone(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		o.hold()
		a := o.ask(k.id, k.says("before"), k.says(poison), k.says("after"), k.says("again "+poison))
		o.resume()
		results := o.results(a)
		var refused *domain.ValueError
		require.ErrorAs(t, results[1], &refused)
		require.ErrorAs(t, results[3], &refused)
		require.Equal(t, []error{nil, nil}, []error{results[0], results[2]})
		require.Equal(t, []string{"before", "after"}, o.notices.bodies())
	})
}

func TestStorageAwayIsAnsweredToAllThatIsPending(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		outcome domain.Outcome
		want    error
		resyncs int
	}{
		{domain.Unavailable, domain.ErrUnavailable, 0},
		{domain.Unknown, domain.ErrOutcomeUnknown, 1},
	} {
		atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
			k := o.known("1")
			o.hold()
			a, b := o.ask(k.id, k.says("one"), k.says("two")), o.ask(k.id, domain.Accept{By: o.agent("alice")})
			require.Equal(t, 3, o.queued())
			var verdicts []func()
			o.change(func(s *store) { breakWith(s.queue[0], domain.Verdict{Outcome: c.outcome}, &verdicts) })
			verdicts[0]()
			for _, err := range append(o.results(a), o.results(b)...) {
				require.ErrorIs(t, err, c.want)
			}
			require.Empty(t, o.notices.bodies())
			require.Len(t, o.notices.named(domain.EventResync), c.resyncs, "what may have been missed is said")
			o.resume() // the rest of the lineage vanishes
			require.NoError(t, o.do(k.id, k.says("three")))
			require.Equal(t, []string{"three"}, o.notices.bodies())
		})
	}
}

func TestLoadErrorsAreAnswered(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.customer("1")
		o.change(func(s *store) { s.loadError = domain.ErrUnavailable })
		for _, err := range o.results(o.ask(k.id, k.says("one"), k.says("two"))) {
			require.ErrorIs(t, err, domain.ErrUnavailable)
		}
		o.wait()
		require.Zero(t, o.conversations.Len())
		o.change(func(s *store) { s.loadError = nil })
		require.NoError(t, o.do(k.id, k.says("one")))
	})
}

// Goal: what a verdict has settled is answered so even when the load after it
// fails, but for a refusal: its facts are what couldn't be loaded.
func TestLoadErrorAfterAVerdict(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k, full := o.known("1"), o.agent("full")
		o.change(func(s *store) { s.room[full.User], s.loadError = 0, domain.ErrUnavailable })
		o.hold()
		accept := o.ask(k.id, domain.Accept{By: full}, k.says("one"))
		o.step(2)
		for _, err := range o.results(accept) {
			require.ErrorIs(t, err, domain.ErrUnavailable)
		}
		o.change(func(s *store) { s.loadError = nil })
		o.wait()
		messages := o.ask(k.id, k.says("first"), k.says("two"))
		o.wait()
		o.change(func(s *store) { s.loadError = domain.ErrUnavailable })
		o.step(2)
		results := o.results(messages)
		require.NoError(t, results[0], "it is stored")
		require.ErrorIs(t, results[1], domain.ErrUnavailable)
	})
}

func TestAdmissionIsAskedForEachCommand(t *testing.T) {
	t.Parallel()
	atDesk(t, DirectoryConfig{}, func(t *testing.T, o *desk) {
		k := o.known("1")
		require.NoError(t, o.do(k.id, k.echo("out")))
		o.change(func(s *store) { s.admit, s.admission = domain.ErrOverloaded, nil })
		results := o.results(o.ask(k.id,
			k.says("hello"), domain.Accept{By: o.agent("alice")}, k.status("out", domain.StatusRead),
			domain.ReleaseIf{Event: domain.AuditAgentDisconnected}))
		for _, err := range results {
			require.ErrorIs(t, err, domain.ErrOverloaded)
		}
		require.Equal(t, []bool{false, false, true, true}, see(o, func(s *store) []bool { return s.admission }),
			"statuses and releases come from inside")
		o.change(func(s *store) { s.admit = nil })
		require.NoError(t, o.do(k.id, k.says("hello")))
	})
}
