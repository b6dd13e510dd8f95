package jobs

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

var (
	org    = domain.OrganizationID{1}
	holder = domain.UserID{2}
	line   = domain.Channel{ID: domain.ChannelID{3}, Organization: org, Provider: domain.WhatsApp, Status: domain.ChannelActive}
	page   = domain.Channel{ID: domain.ChannelID{4}, Organization: org, Provider: domain.Messenger, Status: domain.ChannelActive}
)

func on(ch domain.Channel, n int) domain.Thread {
	return domain.Thread{Organization: org, Channel: ch.ID, Conversation: domain.ConversationID{byte(ch.ID[0]), byte(n >> 8), byte(n)}}
}

// world is all that errands see: channels, conversations, platforms. It records
// the calls, and is told how to answer them.
type world struct {
	mu       sync.Mutex
	channels map[domain.ChannelID]domain.Channel
	views    map[domain.ConversationID]domain.ConversationView
	newest   map[domain.ConversationID]string
	answers  func(call string) (name string, err error)
	hold     chan struct{} // calls wait for it, where there is one
	calls    []string
	at       []time.Time
	busy     map[domain.ChannelID]int
	most     map[domain.ChannelID]int
	learned  []domain.NameLearned
}

// errands is a runner in a world, in a bubble with a clock of its own.
func errands(t *testing.T, test func(w *world, e *Errands)) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			channels: map[domain.ChannelID]domain.Channel{line.ID: line, page.ID: page}, views: map[domain.ConversationID]domain.ConversationView{},
			newest: map[domain.ConversationID]string{}, busy: map[domain.ChannelID]int{}, most: map[domain.ChannelID]int{},
		}
		e, err := NewErrands(ErrandsConfig{
			Platform: w, Threads: w, Channels: w, Conversations: w,
			Logger: slog.New(slog.DiscardHandler), Registerer: prometheus.NewRegistry(), Now: time.Now,
		})
		require.NoError(t, err)
		defer func() { require.NoError(t, e.Close(t.Context())) }()
		test(w, e)
	})
}

// assigned puts a conversation of the holder's, with a message, into the world.
func (w *world) assigned(t domain.Thread) domain.Thread {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := domain.ConversationView{ID: t.Conversation, Status: domain.Assigned, Holder: &holder}
	v.ContactRef.ProviderID = "77"
	w.views[t.Conversation], w.newest[t.Conversation] = v, "m"
	return t
}

func (w *world) alter(t domain.Thread, change func(*domain.ConversationView)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v := w.views[t.Conversation]
	change(&v)
	w.views[t.Conversation] = v
}

// set alters the world while nobody uses it.
func (w *world) set(change func()) {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
}

func (w *world) called() []string {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

func (w *world) Channel(_ domain.OrganizationID, id domain.ChannelID) (domain.Channel, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch, ok := w.channels[id]
	return ch, ok
}

func (w *world) Get(_ context.Context, _ domain.OrganizationID, id domain.ConversationID) (domain.ConversationView, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v, ok := w.views[id]
	if !ok {
		return v, domain.ErrNotFound
	}
	return v, nil
}

func (w *world) NewestInbound(_ context.Context, _ domain.OrganizationID, id domain.ConversationID) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.newest[id], nil
}

func (w *world) Do(_ context.Context, id domain.ConversationID, cmd domain.Command) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.learned = append(w.learned, cmd.(domain.NameLearned))
	v := w.views[id]
	v.ContactRef.DisplayName = cmd.(domain.NameLearned).Name
	w.views[id] = v
	return nil
}

func (w *world) call(ctx context.Context, ch domain.Channel, format string, args ...any) (string, error) {
	call := fmt.Sprintf(format, args...)
	w.mu.Lock()
	w.calls, w.at = append(w.calls, call), append(w.at, time.Now())
	w.busy[ch.ID]++
	w.most[ch.ID] = max(w.most[ch.ID], w.busy[ch.ID])
	hold, answers := w.hold, w.answers
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.busy[ch.ID]--
	}()
	if hold != nil && ch.ID == line.ID {
		select {
		case <-hold:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	if answers != nil {
		return answers(call)
	}
	return "", nil
}

func (w *world) MarkRead(ctx context.Context, ch domain.Channel, to domain.Alias, id string) error {
	_, err := w.call(ctx, ch, "read %s", id)
	return err
}

func (w *world) Typing(ctx context.Context, ch domain.Channel, to domain.Alias, id string, on bool) error {
	_, err := w.call(ctx, ch, "typing %v %s", on, to.Value)
	return err
}

func (w *world) NameOf(ctx context.Context, ch domain.Channel, to domain.Alias) (string, error) {
	return w.call(ctx, ch, "name %s", to.Value)
}

func counted(e *Errands, k kind, outcome string) float64 {
	return testutil.ToFloat64(e.metrics.errands.WithLabelValues(string(k), outcome))
}
