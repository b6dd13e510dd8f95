package socket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// The codes of negative acknowledgements.
const (
	codeBadRequest  = "bad_request"
	codeNotFound    = "not_found"
	codeRateLimited = "rate_limited"
	codeUnavailable = "unavailable" // try again
)

// answer is an acknowledgement.
type answer struct {
	OK      bool              `json:"ok"`
	At      *domain.Timestamp `json:"at,omitempty"`
	Code    string            `json:"code,omitempty"`
	Message string            `json:"message,omitempty"`
}

// badRequest says which part of an event is wrong and what it takes.
type badRequest string

func (b badRequest) Error() string { return string(b) }

// carryOut does what the client asks for and acknowledges it. The caller holds
// in, and there is a socket.
func (s *session) carryOut(r request) {
	ctx, cancel := callContext()
	defer cancel()
	a, err := s.command(ctx, s.socket, r)
	if err != nil {
		a = s.refusal(r.name, err)
	}
	s.acknowledge(r, a)
}

func (s *session) command(ctx context.Context, k *socket, r request) (answer, error) {
	switch r.name {
	case "heartbeat":
		s.server.config.Application.Heartbeat(ctx, k.connection)
		now := domain.Timestamp(time.Now())
		return answer{OK: true, At: &now}, nil
	case "join:conversation":
		return done(s.join(ctx, k, r.args))
	case "leave:conversation":
		return done(s.leaveConversation(k, r.args))
	case "presence:set":
		return done(s.setPresence(ctx, k, r.args))
	case "typing":
		return done(s.typing(ctx, k, r.args))
	}
	return answer{}, badRequest("unknown event")
}

func done(err error) (answer, error) { return answer{OK: err == nil}, err }

func (s *session) join(ctx context.Context, k *socket, args []json.RawMessage) error {
	id, err := conversationOf(args)
	if err != nil {
		return err
	}
	if err := s.server.config.Application.MayJoin(ctx, k.connection.Principal, id); err != nil {
		return fmt.Errorf("join conversation %s: %w", id, err)
	}
	limit := s.server.config.Limits.Rooms
	err = s.server.hub.join(k, domain.ConversationRoom(id), limit)
	if errors.Is(err, errTooManyRooms) {
		return badRequest(fmt.Sprintf("a socket may be in %d rooms, leave:conversation first", limit))
	}
	return err
}

func (s *session) leaveConversation(k *socket, args []json.RawMessage) error {
	id, err := conversationOf(args)
	if err != nil {
		return err
	}
	s.server.hub.leave(k, domain.ConversationRoom(id))
	return nil
}

func (s *session) setPresence(ctx context.Context, k *socket, args []json.RawMessage) error {
	var payload struct{ Status domain.Presence }
	if err := decodePayload(args, &payload); err != nil {
		return err
	}
	if payload.Status != domain.Online && payload.Status != domain.Away {
		return badRequest("status must be ONLINE or AWAY")
	}
	if err := s.server.config.Application.SetPresence(ctx, k.connection, payload.Status); err != nil {
		return fmt.Errorf("set presence: %w", err)
	}
	return nil
}

func (s *session) typing(ctx context.Context, k *socket, args []json.RawMessage) error {
	id, err := conversationOf(args)
	if err != nil {
		return err
	}
	var payload struct{ On *bool }
	if err := decodePayload(args, &payload); err != nil || payload.On == nil {
		return badRequest("on must be true or false")
	}
	if err := s.server.config.Application.Typing(ctx, k.connection.Principal, id, *payload.On); err != nil {
		return fmt.Errorf("typing in conversation %s: %w", id, err)
	}
	return nil
}

func conversationOf(args []json.RawMessage) (domain.ConversationID, error) {
	var payload struct{ ConversationID any }
	if err := decodePayload(args, &payload); err != nil {
		return domain.ConversationID{}, err
	}
	text, _ := payload.ConversationID.(string) // anything else is no id either
	var id domain.ConversationID
	if err := id.UnmarshalText([]byte(text)); err != nil {
		return id, badRequest("conversationId must be a UUID")
	}
	return id, nil
}

// decodePayload reads the one argument of an event.
func decodePayload(args []json.RawMessage, into any) error {
	if len(args) != 1 || args[0][0] != '{' {
		return badRequest("payload must be one object")
	}
	if err := json.Unmarshal(args[0], into); err != nil {
		return badRequest("payload has a field of the wrong type")
	}
	return nil
}

// refusal is the answer for an error; what the client must not see is logged.
func (s *session) refusal(event string, err error) answer {
	var bad badRequest
	switch {
	case errors.As(err, &bad):
		return answer{Code: codeBadRequest, Message: bad.Error()}
	case errors.Is(err, ErrNotFound):
		return answer{Code: codeNotFound}
	case !errors.Is(err, errGone):
		s.server.config.Logger.Warn("carry out a socket event", slog.String("event", event), slog.Any("error", err))
	}
	return answer{Code: codeUnavailable}
}

// acknowledge answers a command that asked for it.
func (s *session) acknowledge(r request, a answer) {
	if r.acknowledge == nil {
		return
	}
	text, err := json.Marshal(a)
	if err != nil {
		s.server.config.Logger.Error("encode acknowledgement", slog.Any("error", err))
		return
	}
	s.push(r.acknowledge(text))
}
