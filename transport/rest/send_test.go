package rest

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

func TestSendMessage(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.inbox.sent = newID(f.inbox.sent)
	quoted := newID(domain.MessageID{})
	path := f.path("/api/conversations/{id}/messages")
	template := domain.Template{Name: "hello", Language: "en_US", Body: []domain.TemplateParameter{{Text: "Dana"}}}
	buttons := domain.Interactive{Buttons: []domain.Choice{{ID: "y", Title: "Yes"}}}
	for body, want := range map[string]domain.Draft{
		`{"body":"hello"}`: {Type: domain.TypeText, Body: "hello"},
		`{"body":"hello","replyToMessageId":"` + quoted.String() + `"}`: {Type: domain.TypeText, Body: "hello", ReplyTo: quoted},
		`{"body":"look","mediaUrl":"https://a.example/1.png","mediaType":"image/png"}`: {
			Body: "look", MediaURL: "https://a.example/1.png", MediaType: "image/png",
		},
		`{"template":{"name":"hello","language":"en_US","body":[{"text":"Dana"}]}}`: {
			Type: domain.TypeTemplate, Metadata: domain.MessageMetadata{Content: &domain.Content{Template: &template}},
		},
		`{"body":"Shall we?","interactive":{"buttons":[{"id":"y","title":"Yes"}]}}`: {
			Type: domain.TypeInteractive, Body: "Shall we?", Metadata: domain.MessageMetadata{Content: &domain.Content{Interactive: &buttons}},
		},
		`{"reaction":{"messageId":"` + quoted.String() + `","emoji":"👍"}}`: {
			Type: domain.TypeReaction, Body: "👍", ReplyTo: quoted,
			Metadata: domain.MessageMetadata{Content: &domain.Content{React: &domain.React{Emoji: "👍"}}},
		},
	} {
		a := f.as(f.agent, http.MethodPost, path, body)
		require.Equal(t, http.StatusCreated, a.status, "%s: %s", body, a.raw)
		require.Equal(t, f.inbox.sent.String(), a.body["id"])
		require.Equal(t, domain.Send{By: asCaller(f.agent), Draft: want}, f.inbox.last, body)
	}
}

func TestSendMessageSaysOneThing(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	id := newID(domain.MessageID{}).String()
	for body, field := range map[string]string{
		`{}`:                                   "body.body",
		`{"body":""}`:                          "body.body",
		`{"body":"a\u0000b"}`:                  "body.body",
		`{"body":7}`:                           "body.body",
		`{"mediaType":"image/png"}`:            "body.body",
		`{"body":"x","mediaType":"image/png"}`: "body.mediaType",
		`{"mediaUrl":"https://a.example/1"}`:   "body.mediaType",
		`{"body":"x","template":{"name":"a","language":"en"}}`:                                    "body.body",
		`{"body":"x","reaction":{"messageId":"` + id + `","emoji":"x"}}`:                          "body.body",
		`{"reaction":{"messageId":"` + id + `","emoji":"x"},"replyToMessageId":"` + id + `"}`:     "body.replyToMessageId",
		`{"reaction":{"messageId":"nobody","emoji":"x"}}`:                                         "body.reaction.messageId",
		`{"body":"x","replyToMessageId":"nobody"}`:                                                "body.replyToMessageId",
		`{"body":"x","bodyy":"x"}`:                                                                "body.bodyy",
		`{"body":"` + strings.Repeat("x", 4097) + `"}`:                                            "body.body",
		`{"body":"x","interactive":{"buttons":[]},"template":{"name":"a","language":"en"}}`:       "",
		`{"mediaUrl":"https://a.example/1","mediaType":"image/png","interactive":{"buttons":[]}}`: "",
		`{"mediaUrl":"` + strings.Repeat("x", 2049) + `","mediaType":"image/png"}`:                "body.mediaUrl",
	} {
		a := f.as(f.agent, http.MethodPost, f.path("/api/conversations/{id}/messages"), body)
		f.problem(a, 422, "validation_failed")
		if field != "" {
			require.Equal(t, field, fieldOf(a), "%s: %s", body, a.raw)
		}
		require.Nil(t, f.inbox.last, "%s was sent", body)
	}
}

// What the platform wouldn't take is found where the platform is known, and told
// as a field of the request.
func TestSendMessageTellsWhatThePlatformTakes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, func(f *fixture) {
		f.inbox.do = func(context.Context, domain.Command) error {
			return &domain.LimitError{Field: "interactive.buttons[1].title", Reason: "takes at most 20 characters, got 21"}
		}
	})
	a := f.as(f.agent, http.MethodPost, f.path("/api/conversations/{id}/messages"), `{"body":"x"}`)
	f.problem(a, 422, "validation_failed")
	require.Equal(t, "body.interactive.buttons[1].title", fieldOf(a))
	require.Contains(t, string(a.raw), "at most 20")
}

func TestSendMessageUnderAKey(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	ask := func(key, body string) answer {
		r := f.request(http.MethodPost, f.path("/api/conversations/{id}/messages"), strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer "+f.token(f.agent))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Idempotency-Key", key)
		return f.send(r)
	}
	hash := func(body string) string {
		require.Equal(t, http.StatusCreated, ask("k1", body).status)
		sent := f.inbox.last.(domain.Send)
		require.Equal(t, "k1", sent.Key)
		require.Len(t, sent.Hash, 32)
		return string(sent.Hash)
	}
	require.Equal(t, hash(`{"body":"x"}`), hash(` { "body" : "\u0078" } `), "the same, spelled otherwise")
	require.NotEqual(t, hash(`{"body":"x"}`), hash(`{"body":"y"}`))
	f.problem(ask(strings.Repeat("k", 129), `{"body":"x"}`), 422, "validation_failed")
}
