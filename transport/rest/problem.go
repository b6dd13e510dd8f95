package rest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/transport/auth"
)

// Problem is the answer to everything that can't be done: problem details by
// RFC 9457 with a stable machine code and, for refusals of the inbox, the
// facts that they rest on.
type Problem struct {
	Title              string                    `json:"title" doc:"What the status says, in words"`
	Status             int                       `json:"status" doc:"The HTTP status"`
	Detail             string                    `json:"detail,omitempty" doc:"What was wrong, for people"`
	Code               string                    `json:"code" doc:"What was wrong, for programs: stable"`
	Errors             []FieldError              `json:"errors,omitempty" doc:"Each field that was wrong"`
	RequestID          string                    `json:"requestId,omitempty" doc:"Names the request in the log"`
	Holder             *domain.PersonRef         `json:"holder,omitempty" doc:"Who has the conversation"`
	AssignedAt         domain.Timestamp          `json:"assignedAt,omitzero" doc:"Since when"`
	WindowExpiresAt    domain.Timestamp          `json:"windowExpiresAt,omitzero" doc:"Until when could be answered freely"`
	ConversationStatus domain.ConversationStatus `json:"conversationStatus,omitempty" doc:"The conversation's status"`

	header http.Header
}

// FieldError says what is wrong with one field of the request.
type FieldError struct {
	Field   string `json:"field" doc:"The name of the field or parameter"`
	In      string `json:"in" doc:"Where it is: body, query or path"`
	Message string `json:"message" doc:"What it takes"`
}

// The bounds of errors: a body of 1 MiB can have some 100,000 unknown fields,
// and the name of one can be as long as the body.
const (
	maxFieldErrors = 20
	maxFieldName   = 100
)

func (p *Problem) Error() string { return p.Code + ": " + p.Detail }

// GetStatus, GetHeaders and ContentType make the typed layer write a Problem
// as it is.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders returns the headers that go with the problem.
func (p *Problem) GetHeaders() http.Header { return p.header }

// ContentType returns the media type of RFC 9457.
func (*Problem) ContentType(string) string { return "application/problem+json" }

func problem(status int, code, detail string) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

func (p *Problem) with(header, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(header, value)
	return p
}

// busy is a 503: the call certainly was not executed.
func busy(code, detail string, retryAfter int) *Problem {
	return problem(http.StatusServiceUnavailable, code, detail).with("Retry-After", strconv.Itoa(retryAfter))
}

// invalid is a 422 about one field.
func invalid(in, field, message string) *Problem {
	p := problem(http.StatusUnprocessableEntity, codeOf(http.StatusUnprocessableEntity), "The request has fields that can't be taken.")
	p.Errors = []FieldError{{Field: field, In: in, Message: message}}
	return p
}

// unauthorized is a 401 with the challenge of RFC 6750; reason is empty where
// no token came at all.
func unauthorized(code, detail, reason string) *Problem {
	challenge := `Bearer realm="chatopshub"`
	if reason != "" {
		challenge += fmt.Sprintf(`, error="invalid_token", error_description=%q`, reason)
	}
	return problem(http.StatusUnauthorized, code, detail).with("WWW-Authenticate", challenge)
}

// problemOf is the one place where errors become answers.
func problemOf(err error) *Problem {
	var (
		known   *Problem
		refusal *domain.Refusal
		value   *domain.ValueError
		limit   *domain.LimitError
	)
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &refusal):
		return refused(refusal)
	case conflictOf(err) != nil:
		return conflictOf(err)
	case errors.As(err, &limit):
		return invalid("body", limit.Field, limit.Reason)
	case errors.As(err, &value):
		return problem(http.StatusUnprocessableEntity, "value_refused", "The storage can't keep a value of the request. Repeating it can't help.")
	case errors.Is(err, domain.ErrNotFound):
		return problem(http.StatusNotFound, "not_found", "There is no such thing in your organization.")
	case errors.Is(err, domain.ErrOutcomeUnknown):
		return problem(http.StatusGatewayTimeout, "outcome_unknown", "No answer came in time. The call may have been executed.")
	case errors.Is(err, domain.ErrOverloaded), errors.Is(err, auth.ErrBusy):
		return busy("overloaded", "Too much is going on. The call was not executed; try again.", 1)
	case errors.Is(err, domain.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return busy("unavailable", "The storage doesn't answer. The call was not executed; try again.", 2)
	case errors.Is(err, domain.ErrFileTooLarge):
		return problem(http.StatusRequestEntityTooLarge, "file_too_large", "No platform takes a file of this type and size.")
	case errors.Is(err, domain.ErrFileType):
		return problem(http.StatusUnsupportedMediaType, "file_type_refused", "Files with such content aren't taken, whatever their name.")
	case errors.Is(err, auth.ErrLinkExpired):
		return problem(http.StatusForbidden, "link_expired", "The address of the file has expired; fetch the message again for a new one.")
	case errors.Is(err, auth.ErrLinkInvalid):
		return problem(http.StatusForbidden, "link_invalid", "The address of the file isn't one of ours.")
	case errors.Is(err, domain.ErrSessionOver):
		return unauthorized("refresh_token_invalid", "The refresh token is good for nothing, or not any more. Log in again.", "invalid")
	case errors.Is(err, auth.ErrTokenExpired):
		return unauthorized("token_expired", "The access token has expired.", "expired")
	case errors.Is(err, auth.ErrTokenRevoked):
		return unauthorized("token_revoked", "The access token has been revoked.", "revoked")
	case errors.Is(err, auth.ErrTokenInvalid):
		return unauthorized("token_invalid", "The access token isn't one of ours.", "invalid")
	}
	return problem(http.StatusInternalServerError, codeOf(http.StatusInternalServerError), "Something went wrong on our side.")
}

// conflictOf is the 409 of what administrators can't do as things are; nil: it
// is something else.
func conflictOf(err error) *Problem {
	var replay *domain.ReplayError
	if errors.As(err, &replay) {
		return problem(http.StatusConflict, "replay_refused", "The dead letter still can't be taken: "+replay.Reason+".")
	}
	for _, known := range []struct {
		err          error
		code, detail string
	}{
		{domain.ErrEmailTaken, "email_taken", "Another user of the organization has the e-mail."},
		{domain.ErrLastAdmin, "last_admin", "The organization would be left without an ACTIVE ADMIN."},
		{domain.ErrChannelTaken, "channel_taken", "Another channel works with that number or page."},
		{domain.ErrChannelUnproved, "channel_not_proved", "The channel has to prove that it can read its number or page: test it first."},
		{domain.ErrChannelFailing, "channel_in_error", "The channel's credentials don't work: set others, then test it."},
		{domain.ErrChannelChanged, "channel_changed", "The channel was changed while it was tested: test it again."},
	} {
		if errors.Is(err, known.err) {
			return problem(http.StatusConflict, known.code, known.detail)
		}
	}
	return nil
}

// refused is the inbox's "no" with the facts that it rests on.
func refused(r *domain.Refusal) *Problem {
	p := problem(http.StatusConflict, string(r.Code), "")
	switch r.Code {
	case domain.CodeAlreadyAssigned:
		p.Detail = "Somebody has the conversation."
	case domain.CodeNotAssigned:
		p.Detail = "Nobody has the conversation."
	case domain.CodeCompleted:
		p.Detail = "The conversation is completed."
	case domain.CodeCapacityReached:
		p.Detail = "The agent has as many conversations as allowed."
	case domain.CodeReplyWindowClosed:
		p.Detail = "The platform takes no free answer any more: the customer's newest message is too old."
	case domain.CodeChannelInactive:
		p.Detail = "The channel is switched off."
	case domain.CodeKeyReused:
		p = problem(http.StatusUnprocessableEntity, string(r.Code), "The Idempotency-Key was used for another message.")
	case domain.CodeUnknownMessage:
		p = invalid("body", "replyToMessageId", "takes a message of this conversation that the platform knows")
		p.Code = string(r.Code)
	case domain.CodeNotHolder:
		p = problem(http.StatusForbidden, string(r.Code), "Only the agent who has the conversation may do this.")
	case domain.CodeInvalidAssignee:
		p = invalid("body", "agentId", "takes the id of an active user of your organization")
		p.Code = string(r.Code)
	}
	p.ConversationStatus = r.Status
	p.AssignedAt, p.WindowExpiresAt = domain.Timestamp(r.AssignedAt), domain.Timestamp(r.WindowExpiresAt)
	if !r.Holder.IsZero() {
		p.Holder = &domain.PersonRef{ID: r.Holder, Name: r.HolderName}
	}
	return p
}

// codeOf is the code of what is refused before an operation runs.
func codeOf(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "malformed"
	case http.StatusRequestTimeout:
		return "request_timeout"
	case http.StatusRequestEntityTooLarge:
		return "too_large"
	case http.StatusUnsupportedMediaType:
		return "unsupported_media_type"
	case http.StatusUnprocessableEntity:
		return "validation_failed"
	}
	return "internal"
}

// fromValidation turns what the typed layer found into a Problem. Its errors
// quote what was sent, a password perhaps: that stays here.
func fromValidation(_ huma.Context, _ string, body any) (any, error) {
	model, ok := body.(*huma.ErrorModel)
	if !ok {
		return body, nil
	}
	p := problem(model.Status, codeOf(model.Status), "")
	switch model.Status {
	case http.StatusUnprocessableEntity:
		p.Detail = "The request has fields that can't be taken."
		p.Errors = fieldErrors(model.Errors)
	case http.StatusBadRequest:
		p.Detail = "The body is missing or isn't the JSON that is expected here."
	default:
		p.Detail = model.Title
	}
	return p, nil
}

func fieldErrors(details []*huma.ErrorDetail) []FieldError {
	out := make([]FieldError, 0, min(len(details), maxFieldErrors))
	for _, d := range details[:min(len(details), maxFieldErrors)] {
		in, field, _ := strings.Cut(d.Location, ".")
		var missing string
		if n, _ := fmt.Sscanf(d.Message, validation.MsgExpectedRequiredProperty, &missing); n == 1 {
			field = strings.TrimPrefix(field+"."+missing, ".")
		}
		out = append(out, FieldError{Field: field[:min(len(field), maxFieldName)], In: in, Message: d.Message})
	}
	return out
}

// writeProblem answers outside of the typed layer.
func writeProblem(w http.ResponseWriter, p *Problem) {
	body, err := json.Marshal(p)
	if err != nil { // every field is a string, a number or an id
		panic(fmt.Sprintf("rest: marshal problem %s: %v", p.Code, err))
	}
	header := w.Header()
	for name, values := range p.header {
		header[name] = values
	}
	header.Set("Content-Type", p.ContentType(""))
	w.WriteHeader(p.Status)
	w.Write(body) //nolint:errcheck // the client is gone: nobody to tell
}

func problemHandler(p *Problem) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { writeProblem(w, p) })
}
