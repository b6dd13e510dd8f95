package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// TestTheFormIsTheWebhook: what is filled in is what would have been encoded.
func TestTheFormIsTheWebhook(t *testing.T) {
	t.Parallel()
	at := time.Unix(1_760_000_000, 0)
	for _, number := range []string{"999000000000001", "1"} {
		got := newWebhookForm("5001").fill(number, "wamid.x", "@123 how much is 1/2?", at)
		want := webhooktest.WhatsAppText("5001", webhooktest.Customer{Name: "Dana", Number: number}, "wamid.x", "@123 how much is 1/2?", at)
		require.JSONEq(t, string(want), string(got))
	}
}

func TestAStampIsFoundInTheEvent(t *testing.T) {
	t.Parallel()
	due := time.UnixMicro(1_760_000_000_123_456)
	for _, event := range []string{
		fmt.Sprintf(`42["message.created",{"id":"1","body":"%shello"},"e:1"]`, stamp(due)), string(floorEvent(due)),
	} {
		got, ok := stampOf([]byte(event))
		require.True(t, ok, event)
		require.True(t, got.Equal(due))
	}
	for _, other := range []string{
		"", "2", `42["message.created"`, `42["message.created",{"body":"@12"}]`, `42["message.created",{"body":"hello"}]`,
		`42["message.created",{"body":"@notanumberatall "}]`, `42["message.updated",{"body":"` + stamp(due) + `"}]`,
	} {
		_, ok := stampOf([]byte(other))
		require.False(t, ok, other)
	}
}

func TestTheOffsetIsTheLastArgument(t *testing.T) {
	t.Parallel()
	s := &benchSocket{}
	s.remember([]byte(`42["agent.presence",{"agentId":"x"},"epoch:7"]`))
	require.Equal(t, "epoch:7", string(s.offset))
	for _, other := range []string{`42["session.revoked",{}]`, `42`, `42]`, `42"]`} {
		s.remember([]byte(other))
		require.Equal(t, "epoch:7", string(s.offset), other)
	}
}

// TestTheDeskLosesNothing: whatever is done in whatever order, a conversation is
// in one list, or with whoever works on it, or done.
func TestTheDeskLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const threads = 5
		d := newDesk(threads)
		busy := map[int]bool{}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			i, holder, ok := -1, 0, false
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0:
				d.wrote(rapid.IntRange(0, threads-1).Draw(t, "customer"))
			case 1:
				i, holder, ok = d.take(&d.pending)
			case 2:
				i, holder, ok = d.take(&d.held)
			default:
				for i, held := range busy {
					delete(busy, i)
					if held {
						d.finish(i)
					} else {
						d.hold(i, 1)
					}
					break
				}
			}
			if ok {
				_, twice := busy[i]
				require.False(t, twice, "two work on it")
				busy[i] = holder == 1 && rapid.Bool().Draw(t, "finish")
			}
			done := 0
			for _, thread := range d.threads {
				if thread.state == threadDone {
					done++
				}
			}
			require.Equal(t, threads, done+len(d.pending)+len(d.held)+len(busy))
		}
	})
}

func sampleReport() *benchReport {
	latencies := newLatencies()
	for i := range 1000 {
		latencies.record(0, time.Duration(i)*100*time.Microsecond)
	}
	s := &stage{scenario: scenario{name: "ingest", summary: "webhooks <&>"}}
	f := s.figure("messages", "messages/s")
	for _, v := range []float64{90, 1100, 100} {
		f.add(v)
		f.beside("bare", 2*v)
	}
	s.timed("POST to 200", latencies)
	s.timed("nothing came", newLatencies())
	s.errors.add("HTTP 503", 2)
	s.note("a note")
	s.note("a note")
	return &benchReport{
		Schema: benchSchema, Started: time.Unix(1_760_000_000, 0).UTC(), Server: "own", Machine: thisMachine(),
		Settings: settingsReport{1, 3, 0, 1, 1, 1, 1}, Scenarios: []scenarioReport{s.report(fmt.Errorf("it broke"))},
	}
}

func TestBenchReport(t *testing.T) {
	t.Parallel()
	report := sampleReport()
	var out bytes.Buffer
	require.NoError(t, report.Scenarios[0].print(&out))
	for _, want := range []string{"100 messages/s", "90 1,100 100", "200 (bare)", "0.50", "p99.9", "errors: HTTP 503", "note: a note", "FAILED: it broke"} {
		require.Contains(t, out.String(), want)
	}
	require.Equal(t, 1, strings.Count(out.String(), "a note"))
	encoded, err := json.Marshal(report)
	require.NoError(t, err)
	requireBenchSchema(t, encoded)
	picture := drawBench(report)
	requireXML(t, picture)
	require.Contains(t, string(picture), "ingest: latency")
	require.NotContains(t, string(picture), "NaN")
	requireXML(t, drawBench(&benchReport{})) // of a run that ended before it began
}

func TestReadableNumbers(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{0: "0", 0.1234: "0.123", 12.345: "12.3", 999: "999", 1000: "1,000", 12345.6: "12,346", 1234567: "1,234,567"} {
		require.Equal(t, want, readable(v))
	}
	require.Equal(t, 2.5, median([]float64{1, 4, 2, 3}))
	require.Zero(t, median(nil))
}

func TestALogarithmicScale(t *testing.T) {
	t.Parallel()
	p := plot{logarithmic: true, curves: []curve{{values: []float64{0, 0.3, 20}}}}
	s := p.scale()
	require.Equal(t, scale{least: -1, most: 2, logarithmic: true, steps: 3}, s)
	require.InDelta(t, 1.0/3, s.share(1), 1e-9)
	require.InDelta(t, 1, s.at(1.0/3), 1e-9)
	require.Zero(t, s.share(0))
}
