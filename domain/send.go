package domain

// send decides the outbound message of an agent: it becomes a PENDING row that
// is queued for the platform.
func (d *decision) send(cmd Send) error {
	switch {
	case d.c.Status == Completed:
		return d.refuse(CodeCompleted)
	case d.c.Status == Pending:
		return d.refuse(CodeNotAssigned)
	case !d.c.HeldBy(cmd.By.User):
		return d.refuse(CodeNotHolder)
	case !d.mayReply(cmd.Draft):
		return d.refuse(CodeReplyWindowClosed)
	}
	if d.c.FirstResponseAt.IsZero() {
		d.c.FirstResponseAt = d.now()
	}
	draft := cmd.Draft
	m := Message{
		Direction: Outbound, Agent: cmd.By.User, Type: draft.Type, Body: draft.Body,
		MediaURL: draft.MediaURL, Attachment: draft.Attachment, MediaType: draft.MediaType, ReplyTo: draft.ReplyTo, Metadata: draft.Metadata,
		Status: StatusPending, SendState: SendQueued,
	}
	m.ID, m.CreatedAt, m.UpdatedAt = d.newMessageID(), d.now(), d.now()
	d.c.LastMessageAt, d.changed = d.now(), true
	d.change.Inserts = append(d.change.Inserts, m)
	return nil
}

// mayReply reports whether the platform takes the draft now: freely within 24
// hours of the customer's newest message; after that WhatsApp takes templates
// only, Messenger what a person writes within seven days (HUMAN_AGENT).
func (d *decision) mayReply(draft Draft) bool {
	if d.c.WindowOpen(d.now()) {
		return true
	}
	if d.c.Provider == Messenger {
		return !d.c.LastInboundAt.IsZero() && d.now().Sub(d.c.LastInboundAt) < 7*WindowLength
	}
	return draft.Type == TypeTemplate
}
