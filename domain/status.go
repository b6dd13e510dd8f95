package domain

import (
	"slices"
	"time"
)

// This file decides what reports of the platform do to outbound messages: the
// row "status, delivery, read" of docs/rules.md.

func (d *decision) statusReport(e StatusReport) {
	m, found := d.known.message(e.Ours)
	if !found {
		m, found = d.known.provider(e.ProviderID)
	}
	if found {
		d.settle(m, e)
		return
	}
	d.keepEarly(EarlyEvent{
		ProviderID: e.ProviderID, At: e.At, Status: e.Status, ErrorCode: e.ErrorCode, ErrorMessage: e.ErrorMessage,
	})
}

// settle applies a report to an outbound message.
func (d *decision) settle(m Message, e StatusReport) {
	if m.Direction != Outbound {
		return
	}
	other, taken := d.known.provider(e.ProviderID)
	taken = taken && other.ID != m.ID // an echo that didn't name us came before, and is a row of its own
	learned := m.ProviderMessageID == "" && e.ProviderID != "" && !taken
	if learned {
		m.ProviderMessageID = e.ProviderID
	}
	step, noted := report(&m, e)
	if !step && !noted && !learned {
		return
	}
	if step {
		d.auditStatus(m)
	}
	if learned {
		d.catchUp(&m)
	}
	d.update(m)
}

// report applies a status to m and tells whether it is a step. The error of a
// FAILED that lost against DELIVERED is noted all the same: it is what the
// platform said.
func report(m *Message, e StatusReport) (step, noted bool) {
	from, doubted := m.Status, m.ErrorCode == CodeSendUncertain
	if doubted {
		from = StatusPending // that it failed was our guess: the platform knows
	}
	m.Status, step = Advance(from, e.Status)
	if e.Status == StatusFailed && (step || m.ErrorCode == "") {
		m.ErrorCode, m.ErrorMessage = e.ErrorCode, e.ErrorMessage
		noted = m.ErrorCode != ""
	} else if doubted && step {
		m.ErrorCode, m.ErrorMessage = "", ""
	}
	if step {
		m.SendState, m.NextAttemptAt = "", time.Time{}
	}
	if m.ProviderAt.IsZero() && !e.At.IsZero() {
		m.ProviderAt, noted = e.At, true
	}
	return step, noted
}

var auditOfStatus = map[MessageStatus]AuditType{
	StatusSent: AuditMessageSent, StatusDelivered: AuditMessageDelivered,
	StatusRead: AuditMessageRead, StatusFailed: AuditMessageFailed,
}

func (d *decision) auditStatus(m Message) {
	d.audit(auditOfStatus[m.Status], UserID{}, AuditFacts{Message: m.ID, Reason: m.ErrorCode})
}

// watermark moves all outbound messages up to the watermark: delivered means
// those before it, read those at it too (Messenger Platform, message_reads).
func (d *decision) watermark(e Watermark) {
	for _, id := range e.Named {
		if m, ok := d.known.provider(id); ok {
			d.settle(m, StatusReport{At: e.UpTo, Status: e.Status})
		} else {
			d.keepEarly(EarlyEvent{ProviderID: id, At: e.UpTo, Status: e.Status})
		}
	}
	for _, m := range d.known.unread() {
		sent := m.ProviderAt
		if sent.IsZero() {
			sent = m.CreatedAt
		}
		covered := sent.Before(e.UpTo) || e.Status == StatusRead && sent.Equal(e.UpTo)
		settled := m.Status == StatusSent || m.Status == StatusDelivered
		if covered && settled && !slices.Contains(e.Named, m.ProviderMessageID) {
			d.settle(m, StatusReport{At: e.UpTo, Status: e.Status})
		}
	}
}
