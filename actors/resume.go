package actors

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// DueSends finds the conversations whose messages wait longer than they should.
type DueSends interface {
	// Due is up to limit conversations, by id from after on, with an unsent
	// message that was due before that time.
	Due(ctx context.Context, before time.Time, after domain.ConversationID, limit int) ([]domain.ConversationID, error)
}

const (
	resumeEvery = 5 * time.Second
	// resumeAge is how long a message may be due: its conversation works on it.
	resumeAge  = 10 * time.Second
	resumePage = 1_000
	// resumePages bounds the conversations that one round wakes; the next round
	// goes on behind them.
	resumePages = 5
)

// Resumer wakes conversations that have something to send and aren't in memory:
// after a crash, or when they had to wait so long that they left. Of several
// nodes each wakes what it owns, what it can't reach the owner of included.
type Resumer struct {
	conversations *Conversations
	due           DueSends
	now           func() time.Time
	logger        *slog.Logger
	after         domain.ConversationID // where the next round goes on
	changed       chan struct{}         // has room for one: this node owns others now
}

// NewResumer makes a resumer; it works while Run runs.
func NewResumer(cs *Conversations, due DueSends) *Resumer {
	r := &Resumer{conversations: cs, due: due, now: cs.system.now, logger: cs.cfg.Logger, changed: make(chan struct{}, 1)}
	if cs.placing != nil {
		cs.system.router.onDisturbance(r.ownsOthers)
	}
	return r
}

// ownsOthers has the next round begin at once: nobody works on what a node had
// that died.
func (r *Resumer) ownsOthers() {
	select {
	case r.changed <- struct{}{}:
	default:
	}
}

// Run wakes what is due, at once and then every few seconds, until ctx ends.
func (r *Resumer) Run(ctx context.Context) error {
	ticker := time.NewTicker(resumeEvery)
	defer ticker.Stop()
	for age := time.Duration(0); ; {
		if err := r.round(ctx, r.now().Add(-age)); err != nil && ctx.Err() == nil {
			r.logger.WarnContext(ctx, "unsent messages can't be looked for", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			age = resumeAge
		case <-r.changed:
			age, r.after = 0, domain.ConversationID{}
		}
	}
}

func (r *Resumer) round(ctx context.Context, before time.Time) error {
	for range resumePages {
		ids, err := r.due.Due(ctx, before, r.after, resumePage)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if r.conversations.owns(id) {
				if err := r.conversations.Wake(id); errors.Is(err, domain.ErrOverloaded) {
					return err // the next round begins here again
				}
			}
			r.after = id
		}
		if len(ids) < resumePage {
			r.after = domain.ConversationID{}
			return nil
		}
	}
	return nil
}
