package persistence

import (
	"bytes"
	"slices"

	"github.com/chatopshub/chatopshub/domain"
)

// chain is the submissions of one conversation in one batch: a run of changes
// that build on each other, with the checks in between. It is stored or
// refused as one.
type chain struct {
	conversation domain.ConversationID
	lineage      *domain.Lineage
	base         domain.ChangeID // the head that the first one builds on
	head         domain.ChangeID // the head after the last one; base when nothing changes
	items        []domain.Submission

	uncertain  bool // a transaction whose outcome is unknown carried it
	recognized bool // and has stored it
}

// append adds a submission; false when it doesn't build on the chain's head.
func (c *chain) append(s domain.Submission) bool {
	if len(c.items) == 0 {
		c.conversation, c.lineage, c.base, c.head = s.Conversation, s.Lineage, s.Base, s.Base
	}
	if s.Base != c.head {
		return false
	}
	if !s.Change.IsZero() {
		c.head = s.Change.ID
	}
	c.items = append(c.items, s)
	return true
}

// changes reports whether there is anything to store.
func (c *chain) changes() bool { return c.head != c.base }

// after is the state that the chain leaves.
func (c *chain) after() *domain.Conversation {
	for i := len(c.items) - 1; i >= 0; i-- {
		if !c.items[i].Change.IsZero() {
			return &c.items[i].Change.After
		}
	}
	return nil
}

// split takes the chain apart into one for each submission.
func (c *chain) split() []*chain {
	parts := make([]*chain, len(c.items))
	for i, s := range c.items {
		parts[i] = &chain{uncertain: c.uncertain}
		parts[i].append(s)
	}
	return parts
}

// messages is what the chain inserts and what it updates, each message once
// and as the last change leaves it.
func (c *chain) messages() (inserts, updates []domain.Message) {
	for i := range c.items {
		inserts = append(inserts, c.items[i].Change.Inserts...)
		for _, m := range c.items[i].Change.Updates {
			if !replace(inserts, m) && !replace(updates, m) {
				updates = append(updates, m)
			}
		}
	}
	answerWithin(inserts)
	return inserts, updates
}

// freed is the messages whose idempotency keys others of the chain may take.
func (c *chain) freed() []domain.MessageID {
	var freed []domain.MessageID
	for i := range c.items {
		freed = append(freed, c.items[i].Change.Freed...)
	}
	return freed
}

func replace(messages []domain.Message, m domain.Message) bool {
	for i := range messages {
		if messages[i].ID == m.ID {
			messages[i] = m
			return true
		}
	}
	return false
}

// answerWithin finds the messages that are answered within the same batch: the
// statement that inserts both can't see them.
func answerWithin(inserts []domain.Message) {
	for i := range inserts {
		if inserts[i].ReplyToProvider == "" {
			continue
		}
		for j := range inserts[:i] {
			if inserts[j].ProviderMessageID == inserts[i].ReplyToProvider {
				inserts[i].ReplyTo = inserts[j].ID
			}
		}
	}
}

// contact is the contact as the last change that names it leaves it.
func (c *chain) contact() *domain.Contact {
	for i := len(c.items) - 1; i >= 0; i-- {
		if k := c.items[i].Change.Contact; k != nil {
			return k
		}
	}
	return nil
}

// claims is the aliases that the chain relies on, each once.
func (c *chain) claims() []domain.AliasClaim {
	var claims []domain.AliasClaim
	for i := range c.items {
		for _, k := range c.items[i].Change.Claims {
			if !slices.Contains(claims, k) {
				claims = append(claims, k)
			}
		}
	}
	return claims
}

// merged is the contacts that turned out to be the conversation's.
func (c *chain) merged() []domain.ContactID {
	var merged []domain.ContactID
	for i := range c.items {
		for _, id := range c.items[i].Change.Merged {
			if !slices.Contains(merged, id) {
				merged = append(merged, id)
			}
		}
	}
	return merged
}

// marks is what a stored chain can be recognized by beside its head.
func (c *chain) marks() (event domain.AuditEvent, message domain.MessageID) {
	for i := range c.items {
		if audit := c.items[i].Change.Audit; len(audit) > 0 {
			event = audit[len(audit)-1]
		}
		for j := range c.items[i].Change.Inserts {
			message = c.items[i].Change.Inserts[j].ID
		}
	}
	return event, message
}

// agentLoad is what a chain does to the load of one agent.
type agentLoad struct {
	agent domain.UserID
	delta int // in the end
	peak  int // at its highest on the way: the room it needs
}

func (c *chain) load() []agentLoad {
	var loads []agentLoad
	for i := range c.items {
		for _, l := range c.items[i].Change.Load {
			at := slices.IndexFunc(loads, func(a agentLoad) bool { return a.agent == l.Agent })
			if at < 0 {
				at = len(loads)
				loads = append(loads, agentLoad{agent: l.Agent})
			}
			loads[at].delta += l.Delta
			loads[at].peak = max(loads[at].peak, loads[at].delta)
		}
	}
	return loads
}

// group sorts submissions into chains by conversation, in the order of their
// ids: all lanes and nodes lock rows in one order. What can't be in this batch
// (another lineage of the same conversation, the same alias or platform id
// claimed by two conversations, a platform id a second time) is left for the
// next one: the fence finds it then. Submissions of
// broken lineages vanish; one that doesn't build on its predecessor breaks its
// lineage as a conflict.
func group(submissions []domain.Submission) (chains []*chain, later []domain.Submission) {
	byConversation := make(map[domain.ConversationID]*chain, len(submissions))
	held, waits := newHoldings(), map[domain.ConversationID]bool{}
	for _, s := range submissions {
		if s.Lineage.Broken() {
			continue
		}
		c := byConversation[s.Conversation]
		if waits[s.Conversation] || (c != nil && c.lineage != s.Lineage) || !held.take(&s) {
			waits[s.Conversation] = true // what follows has to follow
			later = append(later, s)
			continue
		}
		if c == nil {
			c = &chain{}
			byConversation[s.Conversation] = c
			chains = append(chains, c)
		}
		if !c.append(s) {
			s.Lineage.Break()
			s.Done(domain.Verdict{Outcome: domain.Conflict})
		}
	}
	chains = slices.DeleteFunc(chains, func(c *chain) bool { return len(c.items) == 0 || c.lineage.Broken() })
	slices.SortFunc(chains, func(a, b *chain) int { return bytes.Compare(a.conversation[:], b.conversation[:]) })
	return chains, later
}

// holdings is what the conversations of a batch claim for themselves.
type holdings struct {
	aliases  map[claimKey]domain.ConversationID
	messages map[messageKey]bool
}

type claimKey struct {
	organization domain.OrganizationID
	provider     domain.Provider
	alias        string
}

type messageKey struct {
	channel domain.ChannelID
	id      string
}

func newHoldings() *holdings {
	return &holdings{aliases: map[claimKey]domain.ConversationID{}, messages: map[messageKey]bool{}}
}

// take holds what s claims; false when the batch has that message already, or
// when another conversation of it claims that alias. Claims that are only
// checked collide with nothing.
func (h *holdings) take(s *domain.Submission) bool {
	c := &s.Change.After
	for _, k := range s.Change.Claims {
		key := claimKey{c.Organization, c.Provider, k.Value}
		if owner, ok := h.aliases[key]; ok && owner != s.Conversation && !k.Stored {
			return false
		}
		if !k.Stored {
			h.aliases[key] = s.Conversation
		}
	}
	for i := range s.Change.Inserts {
		id := s.Change.Inserts[i].ProviderMessageID
		if id == "" {
			continue
		}
		key := messageKey{c.Channel, id}
		if h.messages[key] {
			return false
		}
		h.messages[key] = true
	}
	return true
}
