package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/transport/graph"
	"github.com/chatopshub/chatopshub/transport/rest"
	"github.com/chatopshub/chatopshub/transport/webhook"
)

// administration plugs in what administrators use, and runs what follows from
// what they do.
func (p *program) administration(config *rest.Config, hooks *webhook.Handler) {
	users := persistence.NewUsers(p.store.reads)
	letters := letterOffice{p.store.deadLetters, hooks}
	config.Accounts, config.Relief = users, relief{p.actors.releases}
	config.Channels, config.Platforms = persistence.NewChannels(p.store.reads, p.store.sealer), identifier{p.platform.client}
	config.Contacts, config.DeadLetters = persistence.NewContacts(p.store.reads), letters
	p.keep("replays", func(ctx context.Context) error { p.replayRequested(ctx, letters); return nil })
}

// relief takes conversations from users who may not work any more. What it
// leaves, because it was interrupted, the reconciler of agents finds.
type relief struct{ releases *actors.Releases }

// Relieve implements rest.Relief.
func (r relief) Relieve(ctx context.Context, org domain.OrganizationID, user domain.UserID) error {
	return r.releases.Release(ctx, domain.AgentRelease{
		Organization: org, Agent: user, Event: domain.AuditReleased, Reason: domain.ReasonSuspended,
	})
}

// identifier asks the Graph API who a channel is.
type identifier struct{ client *graph.Client }

// Identify implements rest.Platforms.
func (i identifier) Identify(ctx context.Context, c domain.ChannelProof) (string, error) {
	found, err := i.client.Identify(ctx, graph.Account{
		Provider: c.Channel.Provider, ID: c.Channel.ExternalID, Token: graph.Secret(c.Token), AppSecret: graph.Secret(c.AppSecret),
	})
	if err != nil {
		return "", err
	}
	if found.Number != "" {
		return fmt.Sprintf("%s (%s)", found.Name, found.Number), nil
	}
	return found.Name, nil
}

// letterOffice is the dead letters and who takes them.
type letterOffice struct {
	*persistence.DeadLetters
	hooks *webhook.Handler
}

// Replay implements rest.DeadLetters.
func (o letterOffice) Replay(ctx context.Context, org domain.OrganizationID, id domain.DeadLetterID) error {
	return o.DeadLetters.Replay(ctx, org, id, o.hooks.Replay)
}

// replaysEvery is how often it is looked for replays that the command line has
// asked for.
const replaysEvery = time.Second

// replayRequested works off what the command line has asked for, until ctx ends.
func (p *program) replayRequested(ctx context.Context, letters letterOffice) {
	logger := p.logger.With("part", "dead letters")
	tick := time.NewTicker(replaysEvery)
	defer tick.Stop()
	for {
		if err := letters.replayAll(ctx); err != nil && ctx.Err() == nil {
			logger.WarnContext(ctx, "dead letters are replayed later", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// replayAll replays one letter after the other that somebody asked for. What
// can't be taken is noted on the letter.
func (o letterOffice) replayAll(ctx context.Context) error {
	for {
		id, err := o.Requested(ctx)
		if err != nil || id.IsZero() {
			return err
		}
		var refused *domain.ReplayError
		if err := o.Replay(ctx, domain.OrganizationID{}, id); err != nil && !errors.As(err, &refused) {
			return err
		}
	}
}
