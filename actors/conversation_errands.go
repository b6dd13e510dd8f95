package actors

import "github.com/chatopshub/chatopshub/domain"

// Errands does at the platform what nobody waits for. Its methods return at
// once.
type Errands interface {
	// MarkRead shows the customer that the agent has read everything.
	MarkRead(t domain.Thread, agent domain.UserID)
	// LearnName has the customer's name looked up.
	LearnName(t domain.Thread)
}

// errand asks for what follows from a command that is done. What was decided
// since isn't durable yet, and may show here: the errand looks for itself when
// its turn comes.
func (c *conversation) errand(d *decided) {
	errands := c.all.cfg.Errands
	if errands == nil || d.answer != nil {
		return
	}
	t := domain.Thread{Organization: c.state.Organization, Channel: c.state.Channel, Conversation: c.state.ID}
	switch cmd := d.command.(type) {
	case domain.Read:
		if c.state.Status == domain.Assigned && c.state.HeldBy(cmd.By.User) {
			errands.MarkRead(t, cmd.By.User)
		}
	case domain.Receive:
		if _, wrote := cmd.Event.(domain.CustomerMessage); wrote && c.state.WantsName() {
			errands.LearnName(t)
		}
	}
}
