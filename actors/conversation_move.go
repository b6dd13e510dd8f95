package actors

import (
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// This file has what sending takes from a conversation that moves. It can't take
// a call to the platform along: it stays until what came of that is stored, and
// the next owner, which loads the state meanwhile, leaves a claim alone for as
// long as it may be under way. The fence settles all else that two owners do.

// moved tells a conversation's owner that the one before has left, so that it
// goes on at once with what that one stored or didn't send.
type moved struct {
	Head domain.ChangeID `cbor:"1,keyasint"` // of the state that it left
}

// handOn tells the owner, as the last thing, if there is something to go on with.
func (c *conversation) handOn() {
	if c.all.placing == nil || !c.leave || !c.stayed && len(c.state.Outbox) == 0 {
		return
	}
	var head domain.ChangeID
	if c.loaded {
		head = c.state.Head
	}
	if err := c.all.insist(c.state.ID, moved{head}); err != nil {
		c.all.cfg.Logger.Debug("owner isn't told of what was left to send", "conversation", c.state.ID, "error", err) // the resumer will
	}
}

// overtaken has the state loaded again, if another owner has stored a newer one.
// What is submitted finds that out by itself.
func (c *conversation) overtaken(head domain.ChangeID) {
	w := c.begin()
	isLoading := w.waits != nothing // and may have read before that was stored
	if len(w.pending) == 0 && (c.loaded && c.state.Head != head || isLoading) {
		c.startOver()
	}
}

// dueOf is when the next step may be taken with the first message of the outbox.
func (c *conversation) dueOf(head domain.Unsent) time.Time {
	switch life := c.all.cfg.claimLife(head.Type); {
	case head.State != domain.SendSending:
		return head.Due
	case life > 0:
		return head.Claim.Add(life) // another node may be at it
	}
	return time.Time{}
}

// claimLife is how long the claim of such a message may be under way; 0: ask
// nobody.
func (cfg *ConversationConfig) claimLife(t domain.MessageType) time.Duration {
	switch t {
	case domain.TypeText, domain.TypeReaction, domain.TypeLocation, domain.TypeContacts:
		return cfg.ClaimLife
	}
	return cfg.ClaimLife + cfg.UploadTime
}
