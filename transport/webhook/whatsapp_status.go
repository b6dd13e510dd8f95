package webhook

import (
	"cmp"

	"github.com/chatopshub/chatopshub/domain"
)

// waStatus is a receipt for an outbound message (Cloud API, "status messages
// webhook"). The prices and windows that it may tell are no matter of an inbox.
type waStatus struct {
	ID              text      `json:"id"`
	Status          text      `json:"status"`
	Timestamp       stamp     `json:"timestamp"`
	RecipientID     text      `json:"recipient_id"`
	RecipientUserID text      `json:"recipient_user_id"`
	RecipientType   text      `json:"recipient_type"`
	Participant     text      `json:"recipient_participant_id"`
	Data            text      `json:"biz_opaque_callback_data"`
	Errors          []waError `json:"errors"`
}

type waError struct {
	Code    text `json:"code"`
	Title   text `json:"title"`
	Message text `json:"message"`
	Data    struct {
		Details text `json:"details"`
	} `json:"error_data"`
}

// waStatuses are the receipts that say something. A voice message that was
// played was seen.
var waStatuses = map[text]domain.MessageStatus{
	"sent": domain.StatusSent, "delivered": domain.StatusDelivered,
	"read": domain.StatusRead, "played": domain.StatusRead, "failed": domain.StatusFailed,
}

// status reads an element of "statuses".
func (v *waValue) status(it *piece) {
	var s waStatus
	if !decodeObject(it.Raw, &s) {
		it.dead(reasonMalformed)
		return
	}
	it.happened(s.Timestamp)
	status, known := waStatuses[s.Status]
	switch {
	case s.RecipientType == "group" || s.Participant != "":
		it.ignore(ignoredGroupStatus)
		return
	case !known:
		it.ignore(ignoredStatus)
		return
	}
	conversation, ours := oursOf(string(s.Data))
	if !usableID(string(s.ID)) && ours.IsZero() {
		it.dead(reasonNoID)
		return
	}
	it.Customer = v.customer(s.RecipientID, s.RecipientUserID, "")
	it.Conversation = conversation
	e := domain.StatusReport{ProviderID: string(s.ID), Ours: ours, At: s.Timestamp.Time, Status: status}
	if len(e.ProviderID) > maxID {
		e.ProviderID = ""
	}
	if status == domain.StatusFailed && len(s.Errors) > 0 {
		e.ErrorCode = line(string(s.Errors[0].Code), maxEmoji)
		e.ErrorMessage = line(string(cmp.Or(s.Errors[0].Data.Details, s.Errors[0].Message, s.Errors[0].Title)), maxLine)
	}
	it.Event = e
}
