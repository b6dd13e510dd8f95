package domain

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var allStatuses = []MessageStatus{StatusPending, StatusSent, StatusDelivered, StatusRead, StatusFailed}

func TestAdvance(t *testing.T) {
	t.Parallel()
	// What a message at the row's status becomes by a report of the column's.
	columns := []MessageStatus{StatusPending, StatusSent, StatusDelivered, StatusRead, StatusFailed}
	table := map[MessageStatus][]MessageStatus{
		StatusPending:   {StatusPending, StatusSent, StatusDelivered, StatusRead, StatusFailed},
		StatusSent:      {StatusSent, StatusSent, StatusDelivered, StatusRead, StatusFailed},
		StatusDelivered: {StatusDelivered, StatusDelivered, StatusDelivered, StatusRead, StatusDelivered},
		StatusRead:      {StatusRead, StatusRead, StatusRead, StatusRead, StatusRead},
		StatusFailed:    {StatusFailed, StatusFailed, StatusDelivered, StatusRead, StatusFailed},
	}
	for _, from := range allStatuses {
		for i, report := range columns {
			got, step := Advance(from, report)
			require.Equal(t, table[from][i], got, "%s, report %s", from, report)
			require.Equal(t, got != from, step, "%s, report %s", from, report)
			requireForward(t, from, got)
		}
	}
}

// sequences is every sequence of up to n items, repeats included.
func sequences(items []MessageStatus, n int) [][]MessageStatus {
	if n == 0 {
		return [][]MessageStatus{{}}
	}
	all := sequences(items, n-1)
	for _, prefix := range all {
		for _, item := range items {
			if len(prefix) == n-1 {
				all = append(all, append(slices.Clone(prefix), item))
			}
		}
	}
	return all
}

// settled is what a set of reports amounts to, whatever their order.
func settled(reports []MessageStatus) MessageStatus {
	for _, s := range []MessageStatus{StatusRead, StatusDelivered, StatusFailed, StatusSent} {
		if slices.Contains(reports, s) {
			return s
		}
	}
	return StatusPending
}

func TestReportsInAnyOrder(t *testing.T) {
	t.Parallel()
	reports := []MessageStatus{StatusSent, StatusDelivered, StatusRead, StatusFailed}
	all := sequences(reports, 5) // all permutations of the four, each with any of them again
	require.Greater(t, len(all), 1000)
	for _, sequence := range all {
		status := StatusPending
		for _, report := range sequence {
			next, _ := Advance(status, report)
			requireForward(t, status, next)
			status = next
		}
		require.Equal(t, settled(sequence), status, "%v", sequence)
	}
}

func TestReportsInAnyOrderOnAMessage(t *testing.T) {
	t.Parallel()
	for _, sequence := range sequences([]MessageStatus{StatusSent, StatusDelivered, StatusRead, StatusFailed}, 3) {
		if len(sequence) < 3 {
			continue
		}
		sequence = append(sequence, sequence...) // the whole POST again
		th := inState(t, Assigned, alice)
		id := th.send("")
		steps := 0
		for i, status := range sequence {
			e := StatusReport{ProviderID: "out", Ours: id, At: th.now, Status: status}
			if status == StatusFailed {
				e.ErrorCode, e.ErrorMessage = "131047", "re-engagement"
			}
			change := th.receive(e)
			steps += len(change.Audit)
			for _, a := range change.Audit {
				require.Equal(t, auditOfStatus[status], a.Type)
				require.Equal(t, id, a.Facts.Message)
			}
			require.False(t, i == 0 && change.IsZero(), "the first report is always news")
		}
		m := th.message(id)
		require.Equal(t, settled(sequence), m.Status, "%v", sequence)
		require.LessOrEqual(t, steps, 4, "each status at most once in the audit trail")
		require.Equal(t, SendState(""), m.SendState)
		require.Equal(t, "out", m.ProviderMessageID)
		require.Equal(t, slices.Contains(sequence, StatusFailed), m.ErrorCode == "131047", "what the platform said stays: %v", sequence)
	}
}

func TestStatusReport(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	id := th.send("")
	at := th.now.Add(300 * time.Millisecond)
	change := th.receive(StatusReport{ProviderID: "wamid.out", Ours: id, At: at, Status: StatusSent})
	m := th.message(id)
	require.Equal(t, StatusSent, m.Status)
	require.Equal(t, "wamid.out", m.ProviderMessageID, "the report tells the platform's id, when the answer was lost")
	require.Equal(t, at, m.ProviderAt)
	require.Equal(t, th.now, m.UpdatedAt)
	require.Equal(t, []AuditType{AuditMessageSent}, audits(change))
	require.Equal(t, []EventName{EventMessageUpdated}, names(change))

	t.Run("a failure after SENT", func(t *testing.T) {
		change := th.receive(StatusReport{ProviderID: "wamid.out", At: at, Status: StatusFailed, ErrorCode: "131026", ErrorMessage: "undeliverable"})
		require.Equal(t, "131026", change.Audit[0].Facts.Reason)
		require.Equal(t, "undeliverable", th.message(id).ErrorMessage)
		th.unchanged(StatusReport{ProviderID: "wamid.out", At: at, Status: StatusFailed, ErrorCode: "131026"})
		th.unchanged(StatusReport{ProviderID: "wamid.out", At: at, Status: StatusSent})
	})
	t.Run("read wins all the same", func(t *testing.T) {
		th.receive(StatusReport{ProviderID: "wamid.out", At: at, Status: StatusRead})
		require.Equal(t, StatusRead, th.message(id).Status)
		require.Equal(t, "131026", th.message(id).ErrorCode)
	})
	t.Run("without any id", func(t *testing.T) {
		th.unchanged(StatusReport{At: at, Status: StatusRead})
		th.unchanged(StatusReport{Ours: testID[messageKind](77), At: at, Status: StatusRead})
	})
}

func TestAFailureNamesItsOwnError(t *testing.T) {
	t.Parallel()
	th := inState(t, Assigned, alice)
	id := th.send("")
	th.stored[len(th.stored)-1].ErrorCode = "131056" // of an attempt that was repeated
	th.receive(StatusReport{ProviderID: "o", Ours: id, At: th.now, Status: StatusFailed, ErrorCode: "131047"})
	require.Equal(t, "131047", th.message(id).ErrorCode)
}

func TestWatermarks(t *testing.T) {
	t.Parallel()
	const n = 4
	for _, tt := range []struct {
		name   string
		mark   func(sent []time.Time) Watermark
		want   [n]MessageStatus
		events int
	}{
		{"delivered: those before it", func(sent []time.Time) Watermark {
			return Watermark{Status: StatusDelivered, UpTo: sent[2]}
		}, [n]MessageStatus{StatusDelivered, StatusDelivered, StatusSent, StatusSent}, 2},
		{"read: those at it too", func(sent []time.Time) Watermark {
			return Watermark{Status: StatusRead, UpTo: sent[2]}
		}, [n]MessageStatus{StatusRead, StatusRead, StatusRead, StatusSent}, 3},
		{"named ones whatever their time", func(sent []time.Time) Watermark {
			return Watermark{Status: StatusDelivered, UpTo: sent[0], Named: []string{"o-3"}}
		}, [n]MessageStatus{StatusSent, StatusSent, StatusSent, StatusDelivered}, 1},
		{"named and covered: once", func(sent []time.Time) Watermark {
			return Watermark{Status: StatusDelivered, UpTo: sent[1], Named: []string{"o-0"}}
		}, [n]MessageStatus{StatusDelivered, StatusSent, StatusSent, StatusSent}, 1},
		{"before all", func(sent []time.Time) Watermark {
			return Watermark{Status: StatusRead, UpTo: sent[0].Add(-time.Hour)}
		}, [n]MessageStatus{StatusSent, StatusSent, StatusSent, StatusSent}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			th := newThreadOn(t, pageChannel)
			th.receive(customerText("in", testStart))
			th.must(Accept{By: by(alice)})
			var ids []MessageID
			var sent []time.Time
			for i := range n {
				ids = append(ids, th.send(fmt.Sprintf("o-%d", i)))
				sent = append(sent, th.message(ids[i]).ProviderAt)
			}
			mark := tt.mark(sent)
			change := th.receive(mark)
			require.Len(t, change.Audit, tt.events)
			require.Len(t, change.Updates, tt.events)
			for i, id := range ids {
				require.Equal(t, tt.want[i], th.message(id).Status, "message %d", i)
			}
			th.unchanged(mark)
		})
	}
}

func TestWatermarksSpareWhatIsNotSent(t *testing.T) {
	t.Parallel()
	th := newThreadOn(t, pageChannel)
	th.receive(customerText("in", testStart))
	th.must(Accept{By: by(alice)})
	queued := th.send("")
	failed := th.send("")
	th.receive(StatusReport{Ours: failed, At: th.now, Status: StatusFailed, ErrorCode: "551"})
	th.unchanged(Watermark{Status: StatusRead, UpTo: th.now.Add(time.Hour)})
	require.Equal(t, StatusPending, th.message(queued).Status)
	require.Equal(t, SendQueued, th.message(queued).SendState)
	require.Equal(t, StatusFailed, th.message(failed).Status)

	echo := BusinessEcho{ProviderID: "mid", Ours: queued, At: th.now, Type: TypeText}
	th.receive(echo)
	th.stored[len(th.stored)-1].ProviderAt = time.Time{}
	sent := th.message(queued)
	sent.ProviderAt = time.Time{} // the platform gave none: when we wrote it counts
	th.store(Change{Updates: []Message{sent}})
	th.receive(Watermark{Status: StatusDelivered, UpTo: sent.CreatedAt.Add(time.Millisecond)})
	require.Equal(t, StatusDelivered, th.message(queued).Status)
}

func TestEchoes(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		answered bool // the platform's answer to the send came before the echo
		named    bool // the echo names our id
	}{
		{"ours by id, before the answer", false, true},
		{"ours by id, after the answer", true, true},
		{"ours by mid, after the answer", true, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			th := newThreadOn(t, pageChannel)
			th.receive(customerText("in", testStart))
			th.must(Accept{By: by(alice)})
			answer := map[bool]string{true: "mid.1"}[tt.answered]
			id := th.send(answer)
			rows := len(th.stored)
			e := BusinessEcho{ProviderID: "mid.1", At: th.now, Type: TypeText, Body: "answer"}
			if tt.named {
				e.Ours = id
			}
			change := th.receive(e)
			require.Equal(t, tt.answered, change.IsZero())
			require.Len(t, th.stored, rows, "no second message")
			m := th.message(id)
			require.Equal(t, StatusSent, m.Status)
			require.Equal(t, "mid.1", m.ProviderMessageID)
			require.Equal(t, alice.ID, m.Agent)
			require.Empty(t, m.SendState)
			th.unchanged(e)
			th.receive(StatusReport{ProviderID: "mid.1", At: th.now, Status: StatusRead})
			th.unchanged(e)
			require.Equal(t, StatusRead, th.message(id).Status, "an echo never sets a message back")
		})
	}
}
