package actors

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/chatopshub/chatopshub/domain"
)

// TestWhatACommandLacksIsAskedFor: all of it. What is never asked for is never
// known, and the conversation would look for it for ever.
func TestWhatACommandLacksIsAskedFor(t *testing.T) {
	t.Parallel()
	commands := map[string]domain.Command{
		"a send under a key": domain.Send{Key: "k", Draft: domain.Draft{ReplyTo: domain.MessageID{1}}},
		"a claim":            domain.ClaimSend{Message: domain.MessageID{2}},
		"a status":           domain.Receive{Event: domain.StatusReport{ProviderID: "wamid.1", Ours: domain.MessageID{3}}},
		"a watermark":        domain.Receive{Event: domain.Watermark{Named: []string{"m.1"}, UpTo: time.Unix(1, 0)}},
	}
	var all []task
	for name, cmd := range commands {
		w := work{stash: []task{{command: cmd}}}
		want, tasks := w.lacking()
		require.Equal(t, 1, tasks, name)
		w.known.Learn(want, nil)
		require.True(t, w.known.Lacks(domain.TargetsOf(cmd)).IsZero(), name)
		all = append(all, task{command: cmd})
	}
	w := work{stash: all}
	want, tasks := w.lacking()
	require.Equal(t, len(all), tasks)
	require.Equal(t, 6, want.Len())
}
