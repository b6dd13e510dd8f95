package webhook

import (
	"context"
	"fmt"

	"github.com/chatopshub/chatopshub/domain"
)

// Replay takes what a dead letter holds as if it had just been posted, and
// returns when it is durable. A channel is believed in by the rules of the day:
// it is one of the letter's organization, or, for a letter of none, it is bound
// to the secret that signed the POST. So what was refused because somebody else
// had signed it stays refused, whoever asks. Taken twice, a message is still
// there once.
//
// A *domain.ReplayError says that the letter still can't be taken; anything
// else is temporary.
func (h *Handler) Replay(ctx context.Context, letter domain.DeadLetter) error {
	e := h.whatsApp
	if letter.Provider == domain.Messenger {
		e = h.messenger
	}
	pieces := e.parse(letter.Payload)
	if len(pieces) == 0 {
		return &domain.ReplayError{Reason: reasonMalformed}
	}
	p := post{e: e, trust: e.trustsLetter(letter), signedBy: letter.SignedBy}
	inOrder(pieces)
	for i := range pieces {
		p.route(&pieces[i])
	}
	if len(p.letters) > 0 { // nothing of it is taken, so that nothing of it is taken twice
		return &domain.ReplayError{Reason: p.letters[0].Reason}
	}
	outcomes, err := p.deliver(ctx)
	if err != nil {
		return fmt.Errorf("replay dead letter %s: %w", letter.ID, err)
	}
	if len(p.letters) > 0 {
		return &domain.ReplayError{Reason: p.letters[0].Reason}
	}
	for i, outcome := range outcomes {
		e.metrics.element(e.provider, kindOf(p.pieces[i].Event), outcome)
	}
	return nil
}
