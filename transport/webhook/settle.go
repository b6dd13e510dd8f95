package webhook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// post is the pieces of one POST on their way.
type post struct {
	e          *endpoint
	trust      trust
	header     http.Header
	signedBy   string // fingerprint of the secret
	deliveries []domain.Delivery
	pieces     []*piece // of the deliveries, at the same places
	letters    []domain.DeadLetter
}

// settle makes every piece durable: delivered, or kept as a dead letter, or of
// a kind that is only counted. An error says that something was temporary;
// then nothing is counted and no letter kept, because all of it comes again.
func (e *endpoint) settle(ctx context.Context, header http.Header, secret []byte, pieces []piece) error {
	p := post{e: e, header: header, trust: e.trusts(secret), signedBy: fingerprint(secret)}
	inOrder(pieces)
	for i := range pieces {
		p.route(&pieces[i])
	}
	outcomes, err := p.deliver(ctx)
	if err != nil {
		return err
	}
	if len(p.letters) > 0 {
		if err := e.deadLetters.Keep(ctx, p.letters); err != nil {
			return fmt.Errorf("keep %d dead letters: %w", len(p.letters), err)
		}
	}
	for i, outcome := range outcomes {
		e.metrics.element(e.provider, kindOf(p.pieces[i].Event), outcome)
	}
	p.report(pieces)
	return nil
}

// inOrder sorts pieces by (platform's time, place in the POST). What has no
// time stays behind what it came after.
func inOrder(pieces []piece) {
	if len(pieces) < 2 {
		return
	}
	var last time.Time
	for i := range pieces {
		if pieces[i].at.IsZero() {
			pieces[i].at = last
		}
		last = pieces[i].at
	}
	slices.SortStableFunc(pieces, func(a, b piece) int { return a.at.Compare(b.at) })
}

// route decides what becomes of a piece.
func (p *post) route(it *piece) {
	if it.Ignored != "" {
		return
	}
	v := p.trust.judge(it.Account)
	switch {
	case it.broken != "":
		p.letter(v.channel, it, it.broken, it.detail)
	case v.reason != "":
		p.letter(v.channel, it, v.reason, "")
	default:
		p.deliveries = append(p.deliveries, domain.Delivery{Channel: v.channel, Element: it.Element})
		p.pieces = append(p.pieces, it)
	}
}

// The outcomes of elements that were handed over.
const (
	outcomeDelivered = "delivered"
	outcomeNoTarget  = "no_target"
	outcomeDead      = "dead_letter"
	outcomeIgnored   = "ignored"
)

// deliver hands the elements over and tells what became of each.
func (p *post) deliver(ctx context.Context) ([]string, error) {
	if len(p.deliveries) == 0 {
		return nil, nil
	}
	results := p.e.inbox.Deliver(ctx, p.deliveries)
	if len(results) != len(p.deliveries) {
		return nil, fmt.Errorf("the inbox answered for %d of %d elements", len(results), len(p.deliveries))
	}
	outcomes := make([]string, len(results))
	for i, err := range results {
		it, refused := p.pieces[i], (*domain.ValueError)(nil)
		switch {
		case err == nil:
			outcomes[i] = outcomeDelivered
		case errors.As(err, &refused):
			outcomes[i] = outcomeDead
			p.letter(p.deliveries[i].Channel, it, reasonRefused, line(refused.Reason, maxLine))
		case errors.Is(err, domain.ErrFailed):
			outcomes[i] = outcomeDead
			p.letter(p.deliveries[i].Channel, it, reasonPanic, "")
		case errors.Is(err, domain.ErrNoTarget) && changesMessage(it.Event):
			outcomes[i] = outcomeDead
			p.letter(p.deliveries[i].Channel, it, reasonUnknownTarget, "")
		case errors.Is(err, domain.ErrNoTarget):
			outcomes[i] = outcomeNoTarget
		default:
			return nil, fmt.Errorf("deliver element %d of %d: %w", i+1, len(results), err)
		}
	}
	return outcomes, nil
}

// changesMessage reports whether an event that finds no target loses something
// that the customer said.
func changesMessage(event domain.InboundEvent) bool {
	switch event.(type) {
	case domain.MessageEdited, domain.MessageRevoked:
		return true
	}
	return false
}

// keptHeaders are what a dead letter keeps of its request; never the signature.
var keptHeaders = []string{"Content-Type", "User-Agent", "X-Request-Id"}

// letter makes a dead letter of a piece; channel is zero where the signature
// doesn't speak for one.
func (p *post) letter(channel domain.Channel, it *piece, reason, detail string) {
	letter := domain.DeadLetter{
		Organization: channel.Organization, Provider: p.e.provider, Account: it.Account, Reason: reason, Detail: detail,
		Headers: make(map[string]string, len(keptHeaders)), Payload: it.payload(), ReceivedAt: p.e.now(), SignedBy: p.signedBy,
	}
	for _, name := range keptHeaders {
		if value := line(cleanText(p.header.Get(name)), maxName); value != "" {
			letter.Headers[name] = value
		}
	}
	letter.ID = domain.DeadLetterIDFor(letter)
	p.letters = append(p.letters, letter)
}

// alarming is what is no matter of an inbox, but of whoever runs it.
var alarming = []string{ignoredErrors, ignoredPolicy, ignoredAccountUpdate, ignoredAccountAlerts}

// report counts and logs what was not delivered; never what it says.
func (p *post) report(pieces []piece) {
	for i := range pieces {
		it := &pieces[i]
		if it.Ignored != "" {
			p.e.metrics.element(p.e.provider, it.Ignored, outcomeIgnored)
		}
		if slices.Contains(alarming, it.Ignored) {
			p.e.log.Warn("the platform reports trouble", "provider", p.e.provider, "kind", it.Ignored, "account", it.Account)
		}
		if it.trace != nil {
			p.e.log.Error("panic while reading an element", "provider", p.e.provider, "panic", it.detail, "stack", string(it.trace))
		}
	}
	reasons := map[string]int{}
	for i := range p.letters {
		reasons[p.letters[i].Reason]++
	}
	for reason, n := range reasons {
		p.e.metrics.letters(p.e.provider, reason, n)
		p.e.log.Warn("webhook elements kept as dead letters", "provider", p.e.provider, "reason", reason, "count", n)
	}
}
