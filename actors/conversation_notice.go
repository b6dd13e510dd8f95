package actors

import (
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// resync tells the organization to look again when changes may have committed
// whose notices nobody will send: a gap is never silent.
func (c *conversation) resync(lost int) {
	if lost == 0 {
		return
	}
	c.all.cfg.Publisher.Publish(c.state.Organization, []domain.Notice{{
		Name: domain.EventResync, Rooms: []domain.Room{domain.OrgRoom(c.state.Organization)},
		Payload: domain.Resync{Since: domain.Timestamp(c.all.system.now()), JitterMs: int(resyncJitter.Milliseconds())},
	}})
}

// heldNotice is a conversation.updated that tells of mere activity: at most one
// of them is sent in a second.
type heldNotice struct {
	sent  int64 // Unix nanoseconds of the last one
	held  *domain.Notice
	timer *Timer
}

// activityInterval is how often mere activity of one conversation is told.
const activityInterval = time.Second

// publish sends the notices of a change that has committed.
func (c *conversation) publish(notices []domain.Notice, step domain.Trace) {
	if len(notices) == 0 {
		return
	}
	now := c.all.system.now()
	out := make([]domain.Notice, 0, len(notices))
	for _, n := range notices {
		n.Trace = step
		if n.Name == domain.EventConversationUpdated {
			if n.Activity && now.UnixNano()-c.notice.sent < int64(activityInterval) {
				c.hold(n, now)
				continue
			}
			c.drop() // this one tells more
			c.notice.sent = now.UnixNano()
		}
		out = append(out, n)
	}
	c.all.cfg.Publisher.Publish(c.state.Organization, out)
}

func (c *conversation) hold(n domain.Notice, now time.Time) {
	c.notice.held = &n
	if c.notice.timer != nil {
		return
	}
	system, pid := c.all.system, c.entry.pid
	wait := activityInterval - now.Sub(time.Unix(0, c.notice.sent))
	c.notice.timer = c.all.cfg.Wheel.After(wait, func() { system.Tell(pid, noticeDue{}) })
}

func (c *conversation) drop() {
	if c.notice.timer != nil {
		c.notice.timer.Stop()
	}
	c.notice.held, c.notice.timer = nil, nil
}

func (c *conversation) flushNotice() {
	held := c.notice.held
	c.drop()
	if held != nil {
		c.notice.sent = c.all.system.now().UnixNano()
		c.all.cfg.Publisher.Publish(c.state.Organization, []domain.Notice{*held})
	}
}
