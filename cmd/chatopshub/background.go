package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/jobs"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/transport/graph"
)

// backgroundTimeout is how long a platform may take to answer what nobody waits
// for, and backgroundConnections how many such calls are under way at most.
const (
	backgroundTimeout     = 5 * time.Second
	backgroundConnections = 64
)

// background makes the calls to the platforms that are no messages. It has a
// client of its own: a message never waits for one of its connections.
type background struct {
	platform
	appID      string                     // the environment's Meta app; empty: not known
	appSecrets map[domain.Provider]Secret // of that app
}

// MarkRead implements jobs.ErrandPlatform.
func (b *background) MarkRead(ctx context.Context, ch domain.Channel, to domain.Alias, providerID string) error {
	account, err := b.account(ch.ID)
	if err != nil {
		return err
	}
	return b.client.MarkRead(ctx, account, to, providerID)
}

// Typing implements jobs.ErrandPlatform.
func (b *background) Typing(ctx context.Context, ch domain.Channel, to domain.Alias, providerID string, on bool) error {
	account, err := b.account(ch.ID)
	if err != nil {
		return err
	}
	return b.client.Typing(ctx, account, to, providerID, on)
}

// NameOf implements jobs.ErrandPlatform.
func (b *background) NameOf(ctx context.Context, ch domain.Channel, customer domain.Alias) (string, error) {
	account, err := b.account(ch.ID)
	if err != nil {
		return "", err
	}
	person, err := b.client.LookUpPerson(ctx, account, customer.Value)
	return person.Name, err
}

// Identify implements jobs.CheckPlatform.
func (b *background) Identify(ctx context.Context, c domain.ChannelCheck) (time.Time, error) {
	if b.played(c.Channel.ID) {
		return time.Time{}, fmt.Errorf("channel %s: %s", c.Channel.ID, playedChannel)
	}
	account, err := b.account(c.Channel.ID)
	if err != nil {
		return time.Time{}, err
	}
	if _, err := b.client.Identify(ctx, account); err != nil {
		return time.Time{}, err
	}
	account.AppSecret = graph.Secret(b.appSecrets[c.Channel.Provider])
	if b.appID == "" || account.AppSecret == "" || c.OwnApp {
		return time.Time{}, nil // its app isn't known, so nobody can be asked in its name
	}
	token, err := b.client.InspectToken(ctx, account, b.appID)
	if err != nil || token.App != b.appID {
		return time.Time{}, nil // it reads its account, which is what counts; its app may be another
	}
	return token.ExpiresAt, nil
}

// Subscribe implements jobs.CheckPlatform. Which of the apps is ours is known
// only of the environment's app; elsewhere any that gets all we want may be.
func (b *background) Subscribe(ctx context.Context, c domain.ChannelCheck) (bool, error) {
	object, wanted := c.Channel.ExternalID, graph.PageFields()
	if c.Channel.Provider == domain.WhatsApp {
		object, wanted = c.BusinessAccount, nil
	}
	if object == "" {
		return false, nil // the number's business account isn't known
	}
	account, err := b.account(c.Channel.ID)
	if err != nil {
		return false, err
	}
	apps, err := b.client.Subscriptions(ctx, account, object)
	if err != nil {
		return false, err
	}
	ours := func(s graph.Subscription) bool { return b.appID == "" || c.OwnApp || s.App == b.appID }
	if slices.ContainsFunc(apps, func(s graph.Subscription) bool { return ours(s) && s.Covers(wanted) }) {
		return false, nil
	}
	// Subscribing replaces the fields: what somebody added stays.
	if i := slices.IndexFunc(apps, ours); i >= 0 && wanted != nil {
		wanted = append(wanted, slices.DeleteFunc(apps[i].Fields, func(f string) bool { return slices.Contains(wanted, f) })...)
	}
	if err := b.client.Subscribe(ctx, account, object, wanted); err != nil {
		return false, err
	}
	return true, nil
}

// openErrands has somebody to run what conversations want done beside messages.
func (p *program) openErrands(context.Context) error {
	meta := p.cfg.Meta
	client, err := graph.New(graph.Config{
		BaseURL: meta.GraphURL, Version: meta.GraphVersion, Timeout: backgroundTimeout, MaxConnections: backgroundConnections,
		RootCAs: p.around.platformCAs,
	})
	if err != nil {
		return err
	}
	p.onClose("background connections", func(context.Context) error { client.Close(); return nil })
	p.background = &background{
		platform: platform{client: client, registry: p.store.registry, atMeta: p.platform.atMeta}, appID: meta.AppID,
		appSecrets: map[domain.Provider]Secret{domain.WhatsApp: meta.WhatsApp.AppSecret, domain.Messenger: meta.Messenger.AppSecret},
	}
	p.errands, err = jobs.NewErrands(jobs.ErrandsConfig{
		Platform: p.background, Threads: p.store.conversations, Channels: p.store.registry, Conversations: lateInbox{p.actors},
		Logger: p.logger.With("part", "errands"), Registerer: p.metrics, Now: time.Now,
	})
	if err != nil {
		return err
	}
	// After the conversations, which ask for errands, and before what errands read.
	p.onClose("errands", p.errands.Close)
	return nil
}

// lateInbox breaks the circle of conversations and errands: conversations ask
// for errands, and an errand brings what it learned to its conversation. None is
// asked for before there is an inbox.
type lateInbox struct{ of *actorSystem }

// Do implements jobs.Conversations.
func (l lateInbox) Do(ctx context.Context, id domain.ConversationID, cmd domain.Command) error {
	return l.of.inbox.Do(ctx, id, cmd)
}

// typing passes on what the holder of a conversation does at the keyboard.
func (d *agentDesk) typing(view domain.ConversationView, agent domain.UserID, on bool) {
	if view.Status == domain.Assigned && view.Holder != nil && *view.Holder == agent {
		d.errands.Typing(domain.Thread{Organization: view.Organization, Channel: view.Channel, Conversation: view.ID}, agent, on)
	}
}

// openCheckups begins to ask the platforms whether the channels work: last of
// all, when their webhooks can be taken.
func (p *program) openCheckups(context.Context) error {
	checkups, err := jobs.NewCheckups(jobs.CheckupsConfig{
		Health: persistence.NewChannelHealth(p.store.reads), Platform: p.background, Census: p.store.registry,
		Logger: p.logger.With("part", "checkups"), Registerer: p.metrics, Now: time.Now,
	})
	if err != nil {
		return err
	}
	p.keep("checkups", checkups.Run)
	return nil
}

var _ actors.Errands = (*jobs.Errands)(nil)
