package rest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// channelRoutes registers what administrators do with channels, and what agents
// see of them.
func (s *server) channelRoutes(agents access) {
	admins := only(domain.RoleAdmin)
	register(s, operation{
		access: agents, method: http.MethodGet, path: "/api/channels", id: "listChannels", tag: "Channels",
		summary: "List channels", about: "By name. Agents see id, name, provider and status alone. Secrets are masked.",
		refuses: []int{503}, example: exampleList(exampleChannel()),
	}, s.listChannels)
	register(s, operation{
		access: agents, method: http.MethodGet, path: "/api/channels/{id}", id: "getChannel", tag: "Channels",
		summary: "Get a channel", about: "As in the list.", refuses: []int{404, 503}, example: exampleChannel(),
	}, s.getChannel)
	register(s, operation{
		access: admins, method: http.MethodPost, path: "/api/channels", id: "createChannel", tag: "Channels",
		summary: "Create a channel", about: "It is INACTIVE, receives nothing and reserves nothing until a test has proved that its " +
			"token can read its number or page.",
		refuses: []int{503, 504}, status: http.StatusCreated,
		takes: map[string]any{
			"provider": "WHATSAPP", "name": "Support",
			"config": map[string]any{"phoneNumberId": "108765432109876", "accessToken": "EAAexampletoken"},
		},
		example: exampleChannel(),
	}, s.createChannel)
	register(s, operation{
		access: admins, method: http.MethodPatch, path: "/api/channels/{id}", id: "updateChannel", tag: "Channels",
		summary: "Change a channel", about: "config is merged; a masked secret stays what it is. Another number or page makes the channel " +
			"INACTIVE until it is proved. ACTIVE takes a channel that has proved itself, and a number or page that no other one works with.",
		refuses: []int{404, 409, 503, 504}, takes: map[string]any{"name": "Support"}, example: exampleChannel(),
	}, s.updateChannel)
	register(s, operation{
		access: admins, method: http.MethodPost, path: "/api/channels/{id}/test", id: "testChannel", tag: "Channels",
		summary: "Test a channel", about: "Asks the platform with the stored credentials, for 5 seconds at most. Success proves the channel, " +
			"and brings one that was in ERROR back to ACTIVE.",
		refuses: []int{404, 409, 503, 504}, example: testBody{Success: true, Message: "The platform knows it as Support (+1 555 010 0123)."},
	}, s.testChannel)
}

type listChannelsInput struct{ PageQuery }

func (s *server) listChannels(ctx context.Context, in *listChannelsInput) (*listOutput[domain.ChannelView], error) {
	page, err := in.page()
	if err != nil {
		return nil, err
	}
	caller := callerOf(ctx)
	rows, meta, err := s.Channels.List(ctx, caller.Organization, page)
	if err != nil {
		return nil, fmt.Errorf("list channels: %w", err)
	}
	for i := range rows {
		rows[i] = visible(rows[i], caller)
	}
	return newList(rows, meta), nil
}

// visible is what the caller may see of a channel.
func visible(v domain.ChannelView, caller domain.User) domain.ChannelView {
	if caller.Role == domain.RoleAdmin {
		return v
	}
	return v.ForAgents()
}

// ChannelPath names a channel; exported as PageQuery is.
type ChannelPath struct {
	ID domain.ChannelID `path:"id" format:"uuid" doc:"The channel"`
}

type channelInput struct{ ChannelPath }

type channelOutput struct{ Body domain.ChannelView }

func (s *server) getChannel(ctx context.Context, in *channelInput) (*channelOutput, error) {
	caller := callerOf(ctx)
	view, err := s.Channels.Get(ctx, caller.Organization, in.ID)
	if err != nil {
		return nil, fmt.Errorf("get channel %s: %w", in.ID, err)
	}
	return &channelOutput{Body: visible(view, caller)}, nil
}

type createChannelInput struct{ Body newChannelBody }

func (s *server) createChannel(ctx context.Context, in *createChannelInput) (*channelOutput, error) {
	draft, err := in.Body.draft()
	if err != nil {
		return nil, err
	}
	id, err := s.Channels.Create(ctx, asCaller(callerOf(ctx)), draft)
	if err != nil {
		return nil, fmt.Errorf("create a channel: %w", uncertain(err))
	}
	return s.channelAsItIs(ctx, id)
}

type updateChannelInput struct {
	ChannelPath
	Body channelPatchBody
}

func (s *server) updateChannel(ctx context.Context, in *updateChannelInput) (*channelOutput, error) {
	caller := callerOf(ctx)
	before, err := s.Channels.Get(ctx, caller.Organization, in.ID)
	if err != nil {
		return nil, fmt.Errorf("get channel %s: %w", in.ID, err)
	}
	patch, err := in.Body.patch(before.Provider)
	if err != nil {
		return nil, err
	}
	if err := s.Channels.Update(ctx, asCaller(caller), in.ID, patch); err != nil {
		return nil, fmt.Errorf("update channel %s: %w", in.ID, uncertain(err))
	}
	return s.channelAsItIs(ctx, in.ID)
}

func (s *server) channelAsItIs(ctx context.Context, id domain.ChannelID) (*channelOutput, error) {
	view, err := readBack(ctx, func() (domain.ChannelView, error) { return s.Channels.Get(ctx, callerOf(ctx).Organization, id) })
	if err != nil {
		return nil, fmt.Errorf("get channel %s after a change: %w: %w", id, domain.ErrOutcomeUnknown, err)
	}
	return &channelOutput{Body: view}, nil
}

// testTime bounds the platform's answer to a test.
const testTime = 5 * time.Second

type testOutput struct{ Body testBody }

type testBody struct {
	Success bool   `json:"success"`
	Message string `json:"message" doc:"How the platform calls the number or page, or what is wrong"`
}

// testChannel asks the platform who the account is. That it can't tell is an
// answer, not a failure of the call.
func (s *server) testChannel(ctx context.Context, in *channelInput) (*testOutput, error) {
	caller := callerOf(ctx)
	var failure *domain.CallError
	account, err := s.Channels.ToProve(ctx, caller.Organization, in.ID)
	name := ""
	if err == nil {
		name, err = s.identify(ctx, account)
	}
	if err != nil && !errors.As(err, &failure) {
		return nil, fmt.Errorf("test channel %s: %w", in.ID, err)
	}
	if err := s.Channels.Prove(ctx, asCaller(caller), account, failure); err != nil {
		return nil, fmt.Errorf("note the test of channel %s: %w", in.ID, uncertain(err))
	}
	if failure != nil {
		return &testOutput{Body: testBody{Message: strings.TrimSpace("The platform refuses: " + failure.Text)}}, nil
	}
	return &testOutput{Body: testBody{Success: true, Message: "The platform knows it as " + name + "."}}, nil
}

func (s *server) identify(ctx context.Context, account domain.ChannelProof) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, testTime)
	defer cancel()
	return s.Platforms.Identify(ctx, account)
}
