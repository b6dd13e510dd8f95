package domain

import "time"

// This file decides what becomes of an outbound message between the agent who
// wrote it and the platform: the machine "Sending" of docs/rules.md. Messages
// of one conversation go out one at a time, in the order in which they were
// written; the outbox is what waits, the oldest first.

// MaxUnsent bounds the outbox of a conversation; above it Send is refused with
// ErrOverloaded.
const MaxUnsent = 256

// Unsent is an outbound message that has no verdict of the platform yet.
type Unsent struct {
	Message MessageID
	Type    MessageType
	State   SendState
	Claim   time.Time // when the newest attempt was claimed; names it
	Due     time.Time // queued: not before; uncertain: given up then
}

// The commands of the outbox. No agent asks for them.
type (
	// ClaimSend claims the oldest unsent message for an attempt; a call may be
	// made once that is durable. A message that may no longer go out fails.
	ClaimSend struct{ Message MessageID }
	// FinishSend is what came of an attempt: Sent, or else Failure. Without a
	// call, for an attempt of which nobody knows any more, the failure is
	// Interrupted.
	FinishSend struct {
		Message MessageID
		Claim   time.Time // the attempt's
		Target  MessageID // what a reaction is on; zero for other messages
		Sent    *Sent
		Failure *CallError
		Patience
	}
	// ExpireSend gives up waiting for news of an uncertain message.
	ExpireSend struct{ Message MessageID }
)

func (ClaimSend) command()  {}
func (FinishSend) command() {}
func (ExpireSend) command() {}

// Patience is how long the outbox waits for what.
type Patience struct {
	Uncertain time.Duration // for the news that settles an uncertain message
}

// The failures that we declare, beside those of calls.
const (
	CodeSendUncertain = "send_uncertain" // no news came of a message that may have gone out
	// CodeRecipientUnknown: the platform's name for the customer is another
	// customer's by now.
	CodeRecipientUnknown = "recipient_unknown"
	codeInterrupted      = "interrupted"
)

// Interrupted is the failure of an attempt whose call was lost with the process
// that made it: the message may have gone out.
func Interrupted() *CallError {
	return &CallError{Class: FailureUncertain, Code: codeInterrupted, Text: "the attempt was interrupted"}
}

const (
	maxAttempts     = 3
	maxOnceAttempts = 2           // of what one more try may help
	firstRetry      = time.Second // doubles with each attempt, and has jitter
	qualityRetry    = time.Minute // the number is restricted: don't hammer
	pairRetry       = 8 * time.Second
)

func (d *decision) claimSend(cmd ClaimSend) {
	m, ok := d.headOfOutbox(cmd.Message)
	if !ok || m.SendState != SendQueued || d.now().Before(m.NextAttemptAt) {
		return
	}
	if !d.mayReply(m.Type) {
		d.fail(m, string(CodeReplyWindowClosed), "the platform's reply window closed before the message went out")
		return
	}
	if d.c.Recipient == "" {
		d.fail(m, CodeRecipientUnknown, "the customer's number is somebody else's by now, and no other is known")
		return
	}
	if !d.c.Merged {
		// Numbers change hands: an answer must not go to who has this one now.
		d.change.Claims = append(d.change.Claims, AliasClaim{Alias: recipient(&d.c), Stored: true})
	}
	m.SendState, m.AttemptStartedAt, m.NextAttemptAt = SendSending, d.now(), time.Time{}
	m.Attempts++
	d.change.Message = m.ID
	d.quietly(m)
}

// headOfOutbox is the oldest unsent message, if it is that one.
func (d *decision) headOfOutbox(id MessageID) (Message, bool) {
	if len(d.c.Outbox) == 0 || d.c.Outbox[0].Message != id {
		return Message{}, false
	}
	return d.known.message(id)
}

func (d *decision) finishSend(cmd FinishSend) {
	m, found := d.known.message(cmd.Message)
	if !found {
		return
	}
	if cmd.Sent != nil {
		d.sent(m, cmd)
		return
	}
	under := m.SendState == SendSending || m.SendState == SendUncertain && cmd.Failure.Class != FailureUncertain
	if !under || !m.AttemptStartedAt.Equal(cmd.Claim) {
		return // told before, or settled by the platform meanwhile
	}
	d.unsent(m, *cmd.Failure, cmd.Patience)
}

// sent settles a message that the platform took. Its own report of that may
// have overtaken this answer, or come after it.
func (d *decision) sent(m Message, cmd FinishSend) {
	report := StatusReport{ProviderID: cmd.Sent.ProviderID, Status: StatusSent}
	if d.c.Provider == WhatsApp {
		// Messenger's watermarks are compared with the platform's own time,
		// which the echo brings.
		report.At = d.now()
	}
	d.settle(m, report)
	d.learnAliases(cmd.Sent.Aliases)
	if target, ok := d.known.message(cmd.Target); ok && m.Metadata.Content != nil && m.Metadata.Content.React != nil {
		if react(&target, byBusiness, Reaction{Emoji: m.Metadata.Content.React.Emoji, At: m.CreatedAt}) {
			d.update(target)
		}
	}
}

// learnAliases claims what the platform calls the customer, where that isn't
// what we call them: in some countries answers come from another spelling of
// the number than the one written to.
func (d *decision) learnAliases(aliases []Alias) {
	for _, a := range aliases {
		if a.Value != "" && a.Value != d.c.ContactAlias && a.Value != d.c.Recipient {
			d.change.Claims, d.changed = append(d.change.Claims, AliasClaim{Alias: a}), true
		}
	}
}

// unsent decides what follows from a failed attempt: the classes of docs/rules.md.
func (d *decision) unsent(m Message, failure CallError, patience Patience) {
	if failure.Class == FailureUncertain {
		m.SendState, m.NextAttemptAt = SendUncertain, d.now().Add(patience.Uncertain)
		d.update(m)
		return
	}
	most := maxAttempts
	switch failure.Class {
	case FailurePermanent:
		most = 0
	case FailurePermanentOrOnce, FailureThrottleQuality:
		most = maxOnceAttempts
	case FailureThrottleApp, FailureThrottleChannel, FailureThrottleRecipient, FailureChannel:
		m.Attempts-- // not this message's fault: the channel waits, or this customer
	}
	if m.Attempts >= most {
		d.fail(m, failure.Code, failure.Text)
		return
	}
	m.SendState, m.NextAttemptAt = SendQueued, d.now().Add(d.delay(m, failure))
	d.quietly(m)
}

// delay is how long a message waits for its next attempt. What the channel
// waits for is the channel's to know.
func (d *decision) delay(m Message, failure CallError) time.Duration {
	var wait time.Duration
	switch failure.Class {
	case FailureThrottleApp, FailureThrottleChannel, FailureChannel:
		return 0
	case FailureThrottleRecipient:
		wait = max(pairRetry, failure.RetryAfter)
	case FailureThrottleQuality:
		wait = max(qualityRetry, failure.RetryAfter)
	default:
		wait = max(firstRetry<<max(m.Attempts-1, 0), failure.RetryAfter)
	}
	// Up to a half more, so that what failed together doesn't come back together.
	jitter := time.Duration(uint64(wait/2) * uint64(d.at.Entropy[15]) / 256)
	return (wait + jitter).Round(time.Microsecond) // what the database keeps
}

func (d *decision) expireSend(cmd ExpireSend) {
	m, ok := d.headOfOutbox(cmd.Message)
	if !ok || m.SendState != SendUncertain || d.now().Before(m.NextAttemptAt) {
		return
	}
	d.fail(m, CodeSendUncertain, "no news came of the message: it may have reached the customer or not")
}

func (d *decision) fail(m Message, code, reason string) {
	m.Status, m.SendState, m.NextAttemptAt = StatusFailed, "", time.Time{}
	m.ErrorCode, m.ErrorMessage = code, reason
	d.auditStatus(m)
	d.update(m)
}

// quietly stores a step of the outbox that agents aren't told of: they wait for
// the verdict.
func (d *decision) quietly(m Message) {
	d.update(m)
	d.untold = append(d.untold, m.ID)
}

// keepOutbox brings the outbox up to date with m.
func (d *decision) keepOutbox(m Message) {
	for i := range d.c.Outbox {
		if d.c.Outbox[i].Message != m.ID {
			continue
		}
		// The slice is shared with the state before.
		rest := append([]Unsent(nil), d.c.Outbox[:i]...)
		if m.SendState != "" {
			rest = append(rest, unsentOf(m))
		}
		d.c.Outbox = append(rest, d.c.Outbox[i+1:]...)
		if len(d.c.Outbox) == 0 {
			d.c.Outbox = nil
		}
		return
	}
}

func unsentOf(m Message) Unsent {
	return Unsent{Message: m.ID, Type: m.Type, State: m.SendState, Claim: m.AttemptStartedAt, Due: m.NextAttemptAt}
}

// ReferenceOf is what we send along with a message, and find in the status or
// the echo that is about it.
func ReferenceOf(c ConversationID, m MessageID) string { return c.String() + "." + m.String() }

// OutgoingOf is m of c as it goes out at now.
func OutgoingOf(c *Conversation, m *Message, now time.Time) Outgoing {
	out := Outgoing{
		To: recipient(c), Content: contentOf(m), ReplyTo: m.Metadata.Quotes,
		Reference:  ReferenceOf(c.ID, m.ID),
		HumanAgent: c.Provider == Messenger && !c.WindowOpen(now),
	}
	return out
}

// contentOf is what a message says: text alone is all in its columns.
func contentOf(m *Message) Content {
	var content Content
	if m.Metadata.Content != nil {
		content = *m.Metadata.Content
	}
	content.Type, content.Text = m.Type, m.Body
	if content.Type == TypeReaction {
		content.Text = "" // the row's body shows the emoji
	}
	if content.File == nil && m.MediaURL != "" {
		content.File = &File{Link: m.MediaURL, MimeType: m.MediaType}
	}
	return content
}

// contactAlias is how the platform knows the customer.
func recipient(c *Conversation) Alias { return AliasOf(c.Provider, c.Recipient) }

// AliasOf is the alias that a contact's provider id is.
func AliasOf(provider Provider, id string) Alias {
	a := Alias{Kind: AliasPSID, Value: id}
	if provider == WhatsApp {
		a.Kind = AliasUserID
		if isNumber(id) {
			a.Kind = AliasNumber
		}
	}
	return a
}

// isNumber tells a phone number, digits alone, from a business-scoped user id,
// which begins with a country code.
func isNumber(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}
