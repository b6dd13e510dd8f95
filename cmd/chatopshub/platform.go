package main

import (
	"context"
	"time"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/transport/graph"
)

// platform makes the calls of channels to their platforms, with each channel's
// own credentials.
type platform struct {
	client      *graph.Client
	registry    *persistence.Registry
	attachments *persistence.Attachments
	blobs       *persistence.Blobs
	atMeta      bool // the client calls Meta itself, no stand-in
}

// Send implements actors.Platform.
func (p *platform) Send(ctx context.Context, ch domain.Channel, m domain.Outgoing) (domain.Sent, error) {
	account, err := p.account(ch.ID)
	if err != nil {
		return domain.Sent{}, err
	}
	if f := m.Content.File; f != nil && !f.Attachment.IsZero() {
		if m.Content.File, err = p.bring(ctx, account, ch, m.Content); err != nil {
			return domain.Sent{}, err
		}
	}
	return p.client.Send(ctx, account, m)
}

func (p *platform) account(id domain.ChannelID) (graph.Account, error) {
	c, err := p.registry.Credentials(id)
	if err != nil {
		return graph.Account{}, err
	}
	if p.isPlayed(c) { // no stranger is to see even this token
		return graph.Account{}, &domain.CallError{Class: domain.FailureChannel, Code: domain.CallUnsendable, Text: playedChannel}
	}
	return accountOf(c), nil
}

// accountOf is a channel as its platform knows it.
func accountOf(c domain.Credentials) graph.Account {
	return graph.Account{Provider: c.Channel.Provider, ID: c.Channel.ExternalID, Token: graph.Secret(c.Token)}
}

// playedChannel is why a channel of the simulator can't call Meta.
const playedChannel = "the channel is the simulator's, and this server calls Meta: " +
	"run `chatopshub simulate --serve`, or point META_GRAPH_URL at a running simulator"

// played reports whether the channel is one of the simulator's that has nobody
// to call.
func (p *platform) played(id domain.ChannelID) bool {
	c, err := p.registry.Credentials(id)
	return err == nil && p.isPlayed(c)
}

func (p *platform) isPlayed(c domain.Credentials) bool {
	return p.atMeta && (c.Token == persistence.SeedNumberToken || c.Token == persistence.SeedPageToken)
}

// channelHealth keeps what the platforms refuse.
type channelHealth struct{ store *persistence.ChannelHealth }

// Broken implements actors.ChannelHealth.
func (h channelHealth) Broken(ctx context.Context, ch domain.Channel, reason string) error {
	_, err := h.store.Fail(ctx, ch.Organization, ch.ID, reason)
	return err
}

// callTimeout is how long a platform may take to answer a send: longer, and the
// outcome is uncertain. They answer in less than a second.
const callTimeout = 20 * time.Second

// claimLife is how long a node leaves a message alone that another has claimed:
// a third of it for the way to the call, and the rest for the call.
const claimLife = callTimeout * 3 / 2

// uploadTimeout is how long the upload of a file may take that is sent: 100 MB.
const uploadTimeout = 2 * time.Minute

func (p *program) openPlatform(context.Context) error {
	client, err := graph.New(graph.Config{
		BaseURL: p.cfg.Meta.GraphURL, Version: p.cfg.Meta.GraphVersion, Timeout: callTimeout, TransferTimeout: uploadTimeout, RootCAs: p.around.platformCAs,
	})
	if err != nil {
		return err
	}
	p.onClose("platform connections", func(context.Context) error { client.Close(); return nil })
	p.platform = &platform{
		client: client, registry: p.store.registry, attachments: p.store.attachments, blobs: p.blobs,
		atMeta: p.cfg.Meta.GraphURL == graph.DefaultBaseURL,
	}
	a := p.actors
	a.channels = actors.NewChannels(a.system, actors.ChannelsConfig{
		Platform: p.platform, Registry: p.store.registry, Health: channelHealth{persistence.NewChannelHealth(p.store.reads)},
		Logger: p.logger.With("part", "channels"), Directory: actors.DirectoryConfig{IdleTTL: channelIdleTTL},
	})
	// After the conversations: what they have under way is recorded by them.
	p.onClose("channels", a.channels.Close)
	return nil
}

// channelIdleTTL is longer than any limit of the platforms looks back.
const channelIdleTTL = 10 * time.Minute
