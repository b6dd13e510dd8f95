package domain

import "time"

// This file decides the commands of agents: the table "Commands on a
// conversation" of docs/rules.md, a function for each row.

func (d *decision) accept(cmd Accept) error {
	switch d.c.Status {
	case Pending:
		d.assign(cmd.By.User, cmd.By.Name, AuditAccepted, cmd.By.User, "")
		return nil
	case Assigned:
		if d.c.HeldBy(cmd.By.User) {
			return nil
		}
		return d.refuse(CodeAlreadyAssigned)
	}
	return d.refuse(CodeCompleted)
}

func (d *decision) release(cmd Release) error {
	if err := d.mayEnd(cmd.By); err != nil {
		return err
	}
	d.unassign(AuditReleased, cmd.By.User, "")
	return nil
}

func (d *decision) complete(cmd Complete) error {
	if d.c.Status == Completed && d.holderOrAdmin(cmd.By) {
		return nil
	}
	if err := d.mayEnd(cmd.By); err != nil {
		return err
	}
	d.giveBack()
	d.c.Status = Completed
	d.audit(AuditCompleted, cmd.By.User, AuditFacts{Previous: d.c.Holder})
	return nil
}

// mayEnd refuses who may neither release nor complete.
func (d *decision) mayEnd(by Caller) error {
	switch {
	case d.c.Status == Completed:
		return d.refuse(CodeCompleted)
	case !d.holderOrAdmin(by):
		return d.refuse(CodeNotHolder)
	case d.c.Status == Pending:
		return d.refuse(CodeNotAssigned)
	}
	return nil
}

func (d *decision) reassign(cmd Reassign) error {
	switch {
	case d.c.Status == Completed:
		return d.refuse(CodeCompleted)
	case !d.holderOrAdmin(cmd.By):
		return d.refuse(CodeNotHolder)
	case d.c.HeldBy(cmd.To.ID):
		return nil
	case !mayHold(cmd.To, d.c.Organization):
		return d.refuse(CodeInvalidAssignee)
	}
	d.assign(cmd.To.ID, cmd.To.Name, AuditReassigned, cmd.By.User, "")
	return nil
}

// mayHold reports whether u may be given conversations of the organization.
func mayHold(u User, organization OrganizationID) bool {
	return !u.ID.IsZero() && u.Status == UserActive && u.Organization == organization
}

func (d *decision) reopen(cmd Reopen) error {
	switch d.c.Status {
	case Pending:
		return nil
	case Assigned:
		return d.refuse(CodeAlreadyAssigned)
	}
	d.reopenFor(cmd.By.User)
	return nil
}

func (d *decision) read(cmd Read) error {
	allowed := d.c.HeldBy(cmd.By.User) && d.c.Status == Assigned
	if d.c.Status != Assigned {
		allowed = cmd.By.Role == RoleAdmin
	}
	if !allowed {
		return d.refuse(CodeNotHolder)
	}
	if d.c.Unread > 0 {
		d.c.Unread = 0
		d.changed = true
	}
	return nil
}

func (d *decision) releaseIf(cmd ReleaseIf) {
	if d.c.Status == Assigned && d.c.Holder == cmd.Agent && d.c.Assignment == cmd.Assignment {
		d.unassign(cmd.Event, UserID{}, cmd.Reason)
	}
}

// holderOrAdmin reports whether by may end what the holder may end.
func (d *decision) holderOrAdmin(by Caller) bool {
	return by.Role == RoleAdmin || d.c.HeldBy(by.User)
}

// assign gives the conversation to agent; the place in the former holder's
// capacity is given back.
func (d *decision) assign(agent UserID, name string, event AuditType, actor UserID, reason string) {
	previous := d.c.Holder
	if d.c.Status != Assigned {
		previous = UserID{}
	}
	d.giveBack()
	d.change.Load = append(d.change.Load, LoadDelta{Agent: agent, Delta: 1})
	d.c.Status, d.c.Holder, d.c.HolderName, d.c.AssignedAt = Assigned, agent, name, d.now()
	d.audit(event, actor, AuditFacts{Agent: agent, Previous: previous, Reason: reason})
	d.c.Assignment = d.c.EventSeq
}

func (d *decision) unassign(event AuditType, actor UserID, reason string) {
	previous := d.c.Holder
	d.giveBack()
	d.toPending()
	d.audit(event, actor, AuditFacts{Previous: previous, Reason: reason})
}

// reopenFor puts a COMPLETED conversation back to PENDING; actor is zero when
// the customer's message did it. The next answer is a first response again.
func (d *decision) reopenFor(actor UserID) {
	previous := d.c.Holder
	d.toPending()
	d.c.FirstResponseAt = time.Time{}
	d.audit(AuditReopened, actor, AuditFacts{Previous: previous})
}

func (d *decision) toPending() {
	d.c.Status, d.c.Holder, d.c.HolderName = Pending, UserID{}, ""
	d.c.AssignedAt, d.c.Assignment, d.c.PendingSince = time.Time{}, 0, d.now()
}

// giveBack frees the holder's place: only ASSIGNED conversations count.
func (d *decision) giveBack() {
	if d.c.Status == Assigned {
		d.change.Load = append(d.change.Load, LoadDelta{Agent: d.c.Holder, Delta: -1})
	}
}
