package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatopshub/chatopshub/domain"
)

// CheckPlatform asks a channel's platform whether the channel works. Its errors
// are *domain.CallError.
type CheckPlatform interface {
	// Identify proves that the channel's token reads its number or page, and
	// tells until when the token lives; zero: for ever, or not known.
	Identify(ctx context.Context, c domain.ChannelCheck) (expires time.Time, err error)
	// Subscribe makes sure that the platform posts the channel's webhooks to us;
	// true: it would not have.
	Subscribe(ctx context.Context, c domain.ChannelCheck) (repaired bool, err error)
}

// ChannelHealth says which channels are due for a check, and keeps what it finds.
type ChannelHealth interface {
	// Claim is up to limit channels that are due; no other node gets them.
	Claim(ctx context.Context, limit int) ([]domain.ChannelCheck, error)
	// Fail turns an ACTIVE channel to ERROR, Recover one in ERROR to ACTIVE; both
	// tell whether they did.
	Fail(ctx context.Context, org domain.OrganizationID, id domain.ChannelID, reason string) (bool, error)
	Recover(ctx context.Context, org domain.OrganizationID, id domain.ChannelID) (bool, error)
	// Note replaces the last error of a channel in that status; empty: none.
	Note(ctx context.Context, org domain.OrganizationID, id domain.ChannelID, status domain.ChannelStatus, text string) error
}

// Census counts the channels of all organizations.
type Census interface {
	ChannelsByStatus() map[domain.ChannelStatus]int
}

// CheckupsConfig is what checkups work with.
type CheckupsConfig struct {
	Health     ChannelHealth
	Platform   CheckPlatform
	Census     Census
	Logger     *slog.Logger
	Registerer prometheus.Registerer
	Now        func() time.Time
}

const (
	// checkEvery is how often channels that are due are looked for. When one is
	// due is the storage's rule.
	checkEvery = 15 * time.Second
	// checksAtOnce bounds the checks of this node: a channel whose platform hangs
	// has one of them, for checkTimeout at most.
	checksAtOnce = 16
	checkTimeout = 20 * time.Second
	// expiryWarning is how long before its end a token is warned of.
	expiryWarning = 7 * 24 * time.Hour
)

// Checkups keeps the status of channels true, and their webhooks coming: pages
// lose their subscription after an hour of webhooks that nobody took.
type Checkups struct {
	cfg     CheckupsConfig
	slots   chan struct{}
	repairs prometheus.Counter
	checks  *prometheus.CounterVec
}

// NewCheckups makes the checkups; they are made while Run runs.
func NewCheckups(cfg CheckupsConfig) (*Checkups, error) {
	c := &Checkups{
		cfg: cfg, slots: make(chan struct{}, checksAtOnce),
		repairs: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "chatopshub_subscription_repairs_total", Help: "Channels whose webhooks the platform had stopped or lacked, and was told to post again.",
		}),
		checks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "chatopshub_channel_checks_total", Help: "Checks of channels, by what they found.",
		}, []string{"outcome"}),
	}
	return c, errors.Join(
		cfg.Registerer.Register(c.repairs), cfg.Registerer.Register(c.checks), cfg.Registerer.Register(census{cfg.Census}),
	)
}

// Run checks what is due, at once and then ever again, until ctx ends.
func (c *Checkups) Run(ctx context.Context) error {
	var checking sync.WaitGroup
	defer checking.Wait()
	ticker := time.NewTicker(checkEvery)
	defer ticker.Stop()
	for {
		if err := c.round(ctx, &checking); err != nil && ctx.Err() == nil {
			c.cfg.Logger.WarnContext(ctx, "channels can't be checked", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// round begins the checks that are due, as many at a time as there are slots.
func (c *Checkups) round(ctx context.Context, checking *sync.WaitGroup) error {
	for {
		free, err := c.take(ctx)
		if err != nil {
			return err
		}
		due, err := c.cfg.Health.Claim(ctx, free)
		for range free - len(due) {
			<-c.slots
		}
		for _, check := range due {
			checking.Go(func() {
				defer func() { <-c.slots }()
				c.check(ctx, check)
			})
		}
		if err != nil || len(due) < free {
			return err
		}
	}
}

// take waits for a slot and takes all that are free.
func (c *Checkups) take(ctx context.Context) (int, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	for taken := 1; ; taken++ {
		select {
		case c.slots <- struct{}{}:
		default:
			return taken, nil
		}
	}
}

// The outcomes of checks.
const (
	checkWell         = "well"
	checkBroken       = "broken"       // its credentials don't work
	checkUnsubscribed = "unsubscribed" // it sends, but its webhooks can't be seen to
	checkUnknown      = "unknown"      // the platform didn't answer
)

func (c *Checkups) check(ctx context.Context, check domain.ChannelCheck) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	outcome, err := c.examine(ctx, check)
	c.checks.WithLabelValues(outcome).Inc()
	if err != nil && ctx.Err() == nil {
		c.cfg.Logger.WarnContext(ctx, "what a check found couldn't be kept", "channel", check.Channel.ID, "error", err)
	}
}

// examine asks the platform and keeps what it says; the error is the keeper's.
func (c *Checkups) examine(ctx context.Context, check domain.ChannelCheck) (string, error) {
	ch := check.Channel
	expires, err := c.cfg.Platform.Identify(ctx, check)
	if failure, ok := errors.AsType[*domain.CallError](err); ok && failure.Class == domain.FailureChannel {
		return checkBroken, c.broken(ctx, ch, failure)
	}
	if err != nil {
		c.cfg.Logger.DebugContext(ctx, "a channel couldn't be checked", "channel", ch.ID, "error", err)
		return checkUnknown, nil // that says nothing of the channel: it stays as it is
	}
	outcome, note := checkWell, ""
	if !expires.IsZero() && expires.Sub(c.cfg.Now()) < expiryWarning {
		note = "the access token expires at " + expires.Format(time.RFC3339)
	}
	repaired, err := c.cfg.Platform.Subscribe(ctx, check)
	if failure, ok := errors.AsType[*domain.CallError](err); ok && !failure.Class.Throttled() && failure.Class != domain.FailureTransient {
		outcome, note = checkUnsubscribed, fmt.Sprintf("its webhooks may not come: the subscription can't be looked after: %s: %s", failure.Code, failure.Text)
	} else if err != nil {
		outcome = checkUnknown
	}
	if repaired {
		c.repairs.Inc()
		c.cfg.Logger.WarnContext(ctx, "webhooks of a channel weren't subscribed to, and are now", "channel", ch.ID, "organization", ch.Organization)
	}
	return outcome, c.works(ctx, ch, note)
}

// broken keeps why a channel can't be used.
func (c *Checkups) broken(ctx context.Context, ch domain.Channel, failure *domain.CallError) error {
	reason := failure.Code + ": " + failure.Text
	turned, err := c.cfg.Health.Fail(ctx, ch.Organization, ch.ID, reason)
	if turned {
		c.cfg.Logger.WarnContext(ctx, "a channel can't be used any more; its sends wait", "channel", ch.ID,
			"organization", ch.Organization, "code", failure.Code, "reason", failure.Text, "trace", failure.TraceID)
	}
	if err != nil || turned {
		return err
	}
	return c.cfg.Health.Note(ctx, ch.Organization, ch.ID, domain.ChannelError, reason)
}

// works keeps that a channel can be used, and what there is to say of it.
func (c *Checkups) works(ctx context.Context, ch domain.Channel, note string) error {
	if ch.Status == domain.ChannelError {
		turned, err := c.cfg.Health.Recover(ctx, ch.Organization, ch.ID)
		if err != nil {
			return err
		}
		if turned {
			c.cfg.Logger.InfoContext(ctx, "a channel works again", "channel", ch.ID, "organization", ch.Organization)
		}
	}
	return c.cfg.Health.Note(ctx, ch.Organization, ch.ID, domain.ChannelActive, note)
}

// census shows the channels by status.
type census struct{ of Census }

var channelsByStatus = prometheus.NewDesc("chatopshub_channels", "Channels of all organizations; every node shows all.", []string{"status"}, nil)

// Describe implements prometheus.Collector.
func (c census) Describe(out chan<- *prometheus.Desc) { out <- channelsByStatus }

// Collect implements prometheus.Collector.
func (c census) Collect(out chan<- prometheus.Metric) {
	for status, n := range c.of.ChannelsByStatus() {
		out <- prometheus.MustNewConstMetric(channelsByStatus, prometheus.GaugeValue, float64(n), string(status))
	}
}
