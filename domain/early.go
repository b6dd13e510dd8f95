package domain

import "slices"

// This file keeps what overtook the message that it is about, until the message
// comes.

// keepEarly remembers what came before the message it is about.
func (d *decision) keepEarly(e EarlyEvent) {
	if e.ProviderID == "" {
		return // nothing that comes could ever be it
	}
	same := func(was EarlyEvent) bool {
		return was.ProviderID == e.ProviderID && was.Status == e.Status && was.Revoked == e.Revoked &&
			was.At.Equal(e.At) && was.Edit.names(e.Edit)
	}
	if slices.ContainsFunc(d.c.Early, same) {
		return
	}
	early := append(slices.Clone(d.c.Early), e)
	d.c.Early, d.changed = early[max(0, len(early)-MaxEarly):], true
}

// catchUp applies to m what came before it.
func (d *decision) catchUp(m *Message) {
	if m.ProviderMessageID == "" || len(d.c.Early) == 0 {
		return
	}
	var rest []EarlyEvent
	for _, e := range d.c.Early {
		switch {
		case e.ProviderID != m.ProviderMessageID:
			rest = append(rest, e)
		case e.Revoked:
			m.DeletedAt = d.orNow(e.At)
		case e.Body != nil:
			edit(m, *e.Body, e.Edit)
		case m.Direction == Outbound:
			early := StatusReport{At: e.At, Status: e.Status, ErrorCode: e.ErrorCode, ErrorMessage: e.ErrorMessage}
			if step, _ := report(m, early); step {
				d.auditStatus(*m)
			}
		}
	}
	d.c.Early = rest
}
