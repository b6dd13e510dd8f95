package actors

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anthdm/hollywood/actor"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/chatopshub/chatopshub/domain"
)

// instant is a database that answers at once and keeps nothing, so that all
// memory there is belongs to the actors.
type instant struct {
	channel domain.Channel
	empty   bool // nothing is stored: conversations are created
}

func (instant) Admit(bool) error                               { return nil }
func (instant) Submit(s domain.Submission)                     { s.Done(domain.Verdict{}) }
func (instant) Publish(domain.OrganizationID, []domain.Notice) {}

func (i instant) Load(id domain.ConversationID, done func(domain.Conversation, error)) {
	if i.empty {
		done(domain.Conversation{ID: id}, nil)
		return
	}
	done(i.row(id), nil)
}

// row is a conversation as it comes from the database: each string by itself.
func (i instant) row(id domain.ConversationID) domain.Conversation {
	now := time.Now().UTC()
	return domain.Conversation{
		ID: id, Organization: i.channel.Organization, Channel: i.channel.ID, Contact: domain.ContactID(id),
		Provider: domain.Provider(strings.Clone("WHATSAPP")), Status: domain.ConversationStatus(strings.Clone("ASSIGNED")),
		Holder: domain.UserID{1}, AssignedAt: now, Assignment: 2, PendingSince: now, LastMessageAt: now, LastInboundAt: now,
		FirstResponseAt: now, WindowExpiresAt: now.Add(domain.WindowLength), Unread: 2, Head: domain.ChangeID(id), Version: 7,
		EventSeq: 5, LastMessage: domain.MessageID(id), CreatedAt: now, UpdatedAt: now,
		ChannelName: strings.Clone("Customer service Berlin"), ContactName: strings.Clone("Maximiliane Mustermann"),
		ContactAlias: strings.Clone("4915123456789"), HolderName: strings.Clone("Dana Scully"),
	}
}

func (instant) LoadMessages(_ domain.ConversationID, _ domain.ChannelID, _ domain.Targets, done func([]domain.Message, error)) {
	done(nil, nil)
}

// tally counts replies.
type tally struct {
	pid     *actor.PID
	replies *atomic.Int64
}

func (t tally) Send(*actor.PID, any, *actor.PID) { t.replies.Add(1) }
func (t tally) PID() *actor.PID                  { return t.pid }
func (tally) Start()                             {}
func (tally) Shutdown()                          {}
func (tally) Invoke([]actor.Envelope)            {}

// crowd is many conversations.
type crowd struct {
	b             *testing.B
	conversations *Conversations
	tally         tally
	channel       domain.Channel
	sent          int64
}

func newCrowd(b *testing.B, empty bool, now func() time.Time) *crowd {
	b.Helper()
	system, err := NewSystem(SystemConfig{
		Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: now,
	})
	if err != nil {
		b.Fatal(err)
	}
	channel := domain.Channel{ID: domain.ChannelID{1}, Organization: domain.OrganizationID{1}, Provider: domain.WhatsApp, Name: "Customer service Berlin"}
	database := instant{channel, empty}
	wheel := NewWheel(100*time.Millisecond, now)
	c := &crowd{b: b, channel: channel, tally: tally{actor.NewPID(system.engine.Address(), system.name("tally")), new(atomic.Int64)}}
	system.engine.SpawnProc(c.tally)
	c.conversations = NewConversations(system, ConversationConfig{
		Writer: database, Loader: database, Publisher: database, Wheel: wheel, Entropy: entropy, Logger: slog.New(slog.DiscardHandler),
	})
	ctx, stop := context.WithCancel(context.Background())
	stopped := make(chan error)
	go func() { stopped <- wheel.Run(ctx) }()
	b.Cleanup(func() {
		if err := c.conversations.Close(context.Background()); err != nil {
			b.Error(err)
		}
		stop()
		if err := <-stopped; err != nil {
			b.Error(err)
		}
	})
	return c
}

func (c *crowd) tell(key int, cmd domain.Command) {
	err := c.conversations.Tell(benchKey(key), Request{Commands: []domain.Command{cmd}, Replies: c.tally.pid})
	if err != nil {
		c.b.Fatal(err)
	}
	if c.sent++; c.sent%1024 == 0 {
		await(c.tally.replies, c.sent-1024) // a bounded backlog, as the edges keep it
	}
}

// message is one of a customer who isn't anybody else's.
func (c *crowd) message(key, n int) domain.Command {
	alias := fmt.Sprint(4915100000000 + key)
	return domain.Receive{
		Origin: domain.Origin{
			Channel: c.channel,
			Person: domain.Person{Contact: domain.ContactID(benchKey(key)), ProviderID: alias, Claims: []domain.AliasClaim{
				{Alias: domain.Alias{Kind: domain.AliasNumber, Value: alias}, Stored: true},
			}},
			Customer: domain.Customer{Name: strings.Clone("Maximiliane Mustermann")},
		},
		Event: domain.CustomerMessage{
			ProviderID: fmt.Sprintf("wamid.%d.%d", key, n), At: time.Now(), Type: domain.TypeText, Body: "Is my order on its way?",
		},
	}
}

// fastClock moves on by a second each time somebody looks at it, so that no
// conversation holds news back: that is what one does that isn't idle yet.
func fastClock() func() time.Time {
	start, looks := time.Now(), new(atomic.Int64)
	return func() time.Time { return start.Add(time.Duration(looks.Add(1)) * time.Second) }
}

// bare is an actor that does nothing.
type bare struct{ handled *atomic.Int64 }

func (r bare) Receive(c *actor.Context) {
	if _, ok := c.Message().(string); ok {
		r.handled.Add(1)
	}
}

// BenchmarkResidentConversation measures the memory of a conversation that has
// gone idle: loaded, created by its first message, and after a burst of eight
// messages at once. Beside it the floor: a Hollywood actor without anything, its
// mailbox as small as ours.
func BenchmarkResidentConversation(b *testing.B) {
	conversations := *many / 2
	b.Run("floor", func(b *testing.B) {
		for b.Loop() {
			engine, err := actor.NewEngine(actor.NewEngineConfig())
			if err != nil {
				b.Fatal(err)
			}
			handled := new(atomic.Int64)
			before := heap()
			for n := range conversations {
				pid := engine.Spawn(func() actor.Receiver { return bare{handled} }, "conversation",
					actor.WithID(benchKey(n).String()), actor.WithInboxSize(inboxSize))
				engine.Send(pid, "hello")
			}
			await(handled, int64(conversations))
			b.ReportMetric(float64(heap()-before)/float64(conversations), "B/conversation")
			runtime.KeepAlive(engine)
		}
	})
	measure := func(name string, conversations int, empty bool, use func(c *crowd, key int)) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c := newCrowd(b, empty, fastClock())
				before := heap()
				for n := range conversations {
					use(c, n)
				}
				await(c.tally.replies, c.sent)
				b.ReportMetric(float64(heap()-before)/float64(conversations), "B/conversation")
				runtime.KeepAlive(c)
			}
		})
	}
	measure("loaded", conversations, false, func(c *crowd, key int) { c.tell(key, domain.ReleaseIf{}) })
	measure("created", conversations, true, func(c *crowd, key int) { c.tell(key, c.message(key, 0)) })
	measure("burst", conversations/10, false, func(c *crowd, key int) {
		for n := range 8 {
			c.tell(key, c.message(key, n))
		}
	})
}

// BenchmarkResidentCost measures a message, from the request to the reply, with
// few and with many conversations in memory: the database answers at once.
func BenchmarkResidentCost(b *testing.B) {
	for _, residents := range []int{10_000, *many} {
		b.Run(fmt.Sprintf("residents=%d", residents), func(b *testing.B) {
			c := newCrowd(b, false, time.Now)
			for n := range residents {
				c.tell(n, domain.ReleaseIf{})
			}
			await(c.tally.replies, c.sent)
			n := 0
			for b.Loop() {
				n++
				key := n * 7919 % residents
				c.tell(key, c.message(key, n))
			}
			await(c.tally.replies, c.sent)
		})
	}
}
