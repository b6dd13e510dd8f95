package persistence

import (
	"slices"
	"sync"
	"time"

	"github.com/chatopshub/chatopshub/domain"
)

// configuration is the channels and users of all organizations, and the sessions
// that ended before their time. Any number of
// goroutines read it; only the Registry's own writes, one subject at a time, so
// a change among 100,000 users costs no copy of the others.
type configuration struct {
	users    sync.Map // domain.UserID → domain.User
	channels sync.Map // domain.ChannelID → *configuredChannel
	accounts sync.Map // account → []*configuredChannel: who may receive, the first does; never changed in place
	revoked  sync.Map // domain.SessionID → time.Time: until when it must be known
	auto     sync.Map // domain.OrganizationID → int: how many of its channels assign by policy; not 0
}

// account is a number or page at its platform.
type account struct {
	provider domain.Provider
	external string
}

// configuredChannel is a channel with what decides whether it receives.
type configuredChannel struct {
	domain.Channel
	secret      []byte    // of its webhooks; nil: the environment's
	mute        bool      // its secret can't be read, so nobody can prove to speak for it
	provedAt    time.Time // zero: never
	sealedToken string    // for calls to the platform; empty: none
}

func (c *configuredChannel) account() account { return account{c.Provider, c.ExternalID} }

// works reports whether the channel has reserved its number or page.
func (c *configuredChannel) works() bool {
	return c.Status == domain.ChannelActive || c.Status == domain.ChannelError
}

// mayReceive reports whether the webhooks of the account can be the channel's
// at all: it works, or has once proved that the account is its own.
func (c *configuredChannel) mayReceive() bool { return !c.mute && (c.works() || !c.provedAt.IsZero()) }

func (c *configuration) setUser(u domain.User) { c.users.Store(u.ID, u) }

func (c *configuration) dropUser(id domain.UserID) { c.users.Delete(id) }

func (c *configuration) user(id domain.UserID) (domain.User, bool) {
	u, ok := c.users.Load(id)
	if !ok {
		return domain.User{}, false
	}
	return u.(domain.User), true
}

// someUsers are those of the named users that are known.
func (c *configuration) someUsers(ids [][16]byte) []domain.User {
	var users []domain.User
	for _, id := range ids {
		if u, ok := c.user(id); ok {
			users = append(users, u)
		}
	}
	return users
}

func (c *configuration) allUsers() []domain.User {
	var users []domain.User
	c.users.Range(func(_, u any) bool {
		users = append(users, u.(domain.User))
		return true
	})
	return users
}

// setChannel puts ch in the place of what was known of it.
func (c *configuration) setChannel(ch *configuredChannel) {
	before := c.channel(ch.ID)
	c.channels.Store(ch.ID, ch)
	c.countAuto(before, -1)
	c.countAuto(ch, +1)
	if before != nil && before.account() != ch.account() {
		c.unlist(before)
	}
	if ch.mayReceive() {
		c.list(ch)
	} else {
		c.unlist(ch)
	}
}

func (c *configuration) dropChannel(id domain.ChannelID) {
	if before := c.channel(id); before != nil {
		c.channels.Delete(id)
		c.countAuto(before, -1)
		c.unlist(before)
	}
}

// countAuto counts the channels that assign by policy; ch may be nil.
func (c *configuration) countAuto(ch *configuredChannel, n int) {
	if ch == nil || ch.Policy != domain.AssignAutomatically {
		return
	}
	if before, ok := c.auto.Load(ch.Organization); ok {
		n += before.(int)
	}
	if n == 0 {
		c.auto.Delete(ch.Organization)
		return
	}
	c.auto.Store(ch.Organization, n)
}

func (c *configuration) channel(id domain.ChannelID) *configuredChannel {
	ch, ok := c.channels.Load(id)
	if !ok {
		return nil
	}
	return ch.(*configuredChannel)
}

// receiver is the channel that the account's webhooks belong to: the one that
// works, else the one that proved the account last; nil: none.
func (c *configuration) receiver(a account) *configuredChannel {
	if listed := c.listed(a); len(listed) > 0 {
		return listed[0]
	}
	return nil
}

func (c *configuration) listed(a account) []*configuredChannel {
	listed, ok := c.accounts.Load(a)
	if !ok {
		return nil
	}
	return listed.([]*configuredChannel)
}

// list makes ch one of those that may receive for its account.
func (c *configuration) list(ch *configuredChannel) {
	listed := append(others(c.listed(ch.account()), ch.ID), ch)
	slices.SortStableFunc(listed, func(a, b *configuredChannel) int {
		if a.works() != b.works() {
			if a.works() {
				return -1
			}
			return 1
		}
		return b.provedAt.Compare(a.provedAt)
	})
	c.accounts.Store(ch.account(), listed)
}

func (c *configuration) unlist(ch *configuredChannel) {
	rest := others(c.listed(ch.account()), ch.ID)
	if len(rest) == 0 {
		c.accounts.Delete(ch.account())
		return
	}
	c.accounts.Store(ch.account(), rest)
}

// others is a copy of listed without the channel.
func others(listed []*configuredChannel, id domain.ChannelID) []*configuredChannel {
	return slices.DeleteFunc(slices.Clone(listed), func(ch *configuredChannel) bool { return ch.ID == id })
}
