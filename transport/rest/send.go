package rest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

type sendInput struct {
	ConversationPath
	Key  string `header:"Idempotency-Key" maxLength:"128" doc:"Your own name for the message: asked for again by the same agent within 24 hours, the same message is answered and nothing is sent twice"`
	Body sendBody
}

// sendBody is an outbound message: exactly one of text, file, template,
// interactive and reaction. Body is the text, or goes with a file or with
// buttons.
type sendBody struct {
	Body        string               `json:"body,omitempty" maxLength:"4096" doc:"The text; the caption of a file; what is above the buttons"`
	MediaURL    string               `json:"mediaUrl,omitempty" maxLength:"2048" doc:"A file by its public https address, which the platform fetches"`
	MediaType   string               `json:"mediaType,omitempty" maxLength:"255" doc:"The file's media type, such as image/png: it goes with mediaUrl"`
	Attachment  *domain.AttachmentID `json:"attachmentId,omitempty" doc:"A file that was uploaded"`
	Template    *domain.Template     `json:"template,omitempty" doc:"An approved template (WhatsApp), which may be sent at any time"`
	Interactive *domain.Interactive  `json:"interactive,omitempty" doc:"Buttons or a list that the customer can tap"`
	Reaction    *reactionBody        `json:"reaction,omitempty" doc:"An emoji on a message"`
	ReplyTo     *domain.MessageID    `json:"replyToMessageId,omitempty" doc:"The message of this conversation that is quoted"`
}

type reactionBody struct {
	Message domain.MessageID `json:"messageId" doc:"The message of this conversation"`
	Emoji   string           `json:"emoji" maxLength:"64" doc:"Empty: takes the reaction back"`
}

type messageOutput struct{ Body domain.MessageView }

func (s *server) sendRoutes(agents access) {
	register(s, operation{
		access: agents, method: http.MethodPost, path: "/api/conversations/{id}/messages", id: "sendMessage", tag: "Messages",
		summary: "Send a message", status: http.StatusCreated,
		about: "For the agent who has the conversation. The message is stored, PENDING, when this answers; " +
			"what becomes of it is told by message.updated. Messages of a conversation go out one at a time, in order.",
		refuses: []int{404, 409, 503, 504}, takes: map[string]any{"body": "It left this morning."}, example: exampleSent(),
	}, s.sendMessage)
}

func (s *server) sendMessage(ctx context.Context, in *sendInput) (*messageOutput, error) {
	draft, err := in.Body.draft()
	if err == nil && in.Body.Attachment != nil {
		err = s.attach(ctx, &draft, *in.Body.Attachment)
	}
	if err != nil {
		return nil, err
	}
	cmd := domain.Send{By: asCaller(callerOf(ctx)), Draft: draft, Key: in.Key}
	if in.Key != "" {
		if cmd.Hash, err = in.Body.hash(); err != nil {
			return nil, err
		}
	}
	id, err := s.Inbox.Send(ctx, in.ID, cmd)
	if err != nil {
		return nil, fmt.Errorf("send in conversation %s: %w", in.ID, uncertain(err))
	}
	row, err := readBack(ctx, func() (domain.MessageView, error) {
		return s.Conversations.Message(ctx, callerOf(ctx).Organization, in.ID, id)
	})
	if err != nil {
		// It is done, so no answer may say that it isn't.
		return nil, fmt.Errorf("get message %s after sending it: %w: %w", id, domain.ErrOutcomeUnknown, err)
	}
	return &messageOutput{Body: row}, nil
}

// attach puts an uploaded file into a draft.
func (s *server) attach(ctx context.Context, draft *domain.Draft, id domain.AttachmentID) error {
	file, err := s.Attachments.Get(ctx, callerOf(ctx).Organization, id)
	if errors.Is(err, domain.ErrNotFound) {
		return invalid("body", "attachmentId", "takes the id of a file that your organization has uploaded")
	}
	if err != nil {
		return fmt.Errorf("attach file %s: %w", id, err)
	}
	draft.Attachment, draft.MediaType = id, file.MimeType
	draft.Metadata.Content = &domain.Content{File: &domain.File{Attachment: id, Name: file.Name, MimeType: file.MimeType, Size: file.Size}}
	return nil
}

// draft is the message that is asked for. What the platform takes is checked
// where it is known.
func (b *sendBody) draft() (domain.Draft, error) {
	if err := b.one(); err != nil {
		return domain.Draft{}, err
	}
	d := domain.Draft{Body: b.Body, MediaURL: b.MediaURL, MediaType: b.MediaType}
	if b.ReplyTo != nil {
		d.ReplyTo = *b.ReplyTo
	}
	switch {
	case b.MediaURL != "", b.Attachment != nil: // its type is what the platform shows such files as
	case b.Template != nil:
		d.Type, d.Metadata.Content = domain.TypeTemplate, &domain.Content{Template: b.Template}
	case b.Interactive != nil:
		d.Type, d.Metadata.Content = domain.TypeInteractive, &domain.Content{Interactive: b.Interactive}
	case b.Reaction != nil:
		d.Type, d.Body, d.ReplyTo = domain.TypeReaction, b.Reaction.Emoji, b.Reaction.Message
		d.Metadata.Content = &domain.Content{React: &domain.React{Emoji: b.Reaction.Emoji}}
	default:
		d.Type = domain.TypeText
	}
	return d, nil
}

// one refuses what says more than one thing, or nothing.
func (b *sendBody) one() error {
	var said []string
	for field, there := range map[string]bool{
		"mediaUrl": b.MediaURL != "", "attachmentId": b.Attachment != nil, "template": b.Template != nil, "interactive": b.Interactive != nil, "reaction": b.Reaction != nil,
	} {
		if there {
			said = append(said, field)
		}
	}
	switch {
	case len(said) > 1:
		return invalid("body", said[0], "takes exactly one of mediaUrl, attachmentId, template, interactive and reaction")
	case len(said) == 0 && b.Body == "":
		return invalid("body", "body", "takes a text, unless there is a mediaUrl, attachmentId, template, interactive or reaction")
	case b.MediaURL == "" && b.MediaType != "":
		return invalid("body", "mediaType", "goes with mediaUrl")
	case b.MediaURL != "" && b.MediaType == "":
		return invalid("body", "mediaType", "takes the file's media type, such as image/png")
	case b.Body != "" && (b.Template != nil || b.Reaction != nil):
		return invalid("body", "body", "must be empty beside a template or a reaction")
	case b.ReplyTo != nil && b.Reaction != nil:
		return invalid("body", "replyToMessageId", "must be empty beside a reaction, which names its message itself")
	case strings.ContainsRune(b.Body, 0):
		return invalid("body", "body", "takes text without NUL")
	}
	return nil
}

// hash tells requests under one key apart: by what they ask, not by how it is
// spelled.
func (b *sendBody) hash() ([]byte, error) {
	canonical, err := json.Marshal(b)
	if err != nil {
		return nil, fmt.Errorf("hash request: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return sum[:], nil
}

// readBackAgain is how long to wait for a storage that went away between a
// command and the reading of its result.
const readBackAgain = 100 * time.Millisecond

// readBack reads what a command made that is done. While the storage is away
// it tries again until ctx ends: the command can't be undone, so the best
// answer is a late one.
func readBack[T any](ctx context.Context, read func() (T, error)) (T, error) {
	for {
		row, err := read()
		if !errors.Is(err, domain.ErrUnavailable) {
			return row, err
		}
		select {
		case <-ctx.Done():
			return row, err
		case <-time.After(readBackAgain):
		}
	}
}
