package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence/persistencetest"
	"github.com/chatopshub/chatopshub/transport/webhook/webhooktest"
)

// spanCollector takes spans as OTLP over HTTP brings them.
type spanCollector struct {
	*httptest.Server
	mu    sync.Mutex
	spans []*spans.Span
}

func newSpanCollector(t *testing.T) *spanCollector {
	c := &spanCollector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var export collector.ExportTraceServiceRequest
		if err != nil || r.URL.Path != "/v1/traces" || proto.Unmarshal(body, &export) != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, of := range export.GetResourceSpans() {
			for _, scope := range of.GetScopeSpans() {
				c.spans = append(c.spans, scope.GetSpans()...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// TestOneTraceFromTheWebhookToTheSocket: each step leads to the next, whichever
// goroutine it runs on.
func TestOneTraceFromTheWebhookToTheSocket(t *testing.T) {
	t.Parallel()
	spansOf := newSpanCollector(t)
	db := persistencetest.New(t)
	n := newTenantRows(t, db, "traced", "9100")
	p := runProgram(t, db, "OTEL_EXPORTER_OTLP_ENDPOINT="+spansOf.URL)
	agent := n.agent("ada", domain.RoleAgent)
	awaitAgent(t, p, n, agent)
	watcher := dialSocket(t, p, agent.token)
	deliver(t, testClient(t), p.url(), webhooktest.WhatsAppText(n.account,
		webhooktest.Customer{Name: "N", Number: "4950000000"}, "traced", "hello", time.Now()))
	watcher.await(t, "conversation.created", 1)
	require.NoError(t, p.close(), "what is recorded is exported")

	spansOf.mu.Lock()
	defer spansOf.mu.Unlock()
	byID, named := map[string]*spans.Span{}, map[string]*spans.Span{}
	for _, s := range spansOf.spans {
		byID[string(s.GetSpanId())] = s
		named[s.GetName()] = s
	}
	const door = "POST /api/webhooks/whatsapp"
	leadsTo := func(from, to string) {
		t.Helper()
		require.Contains(t, named, to)
		parent := byID[string(named[to].GetParentSpanId())]
		require.NotNil(t, parent, to)
		require.Equal(t, from, parent.GetName())
		require.Equal(t, named[door].GetTraceId(), named[to].GetTraceId())
	}
	require.Contains(t, named, door)
	require.Empty(t, named[door].GetParentSpanId())
	leadsTo(door, "webhook normalize")
	leadsTo(door, "conversation decide and commit")
	leadsTo("conversation decide and commit", "writer batch")
	leadsTo("conversation decide and commit", "feed publish")
	leadsTo("feed publish", "socket deliver")
	require.NotEmpty(t, named["writer batch"].GetLinks())
	for _, s := range spansOf.spans {
		for _, a := range s.GetAttributes() {
			require.NotContains(t, a.GetValue().GetStringValue(), "hello")
		}
	}
}

// TestWhatIsNotRecordedCostsNothing: tracing on, but not of this message.
func TestWhatIsNotRecordedCostsNothing(t *testing.T) { // not parallel: it counts allocations
	ctx := context.Background()
	tracing := &tracing{}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if !tracing.Current(ctx).IsZero() {
			t.Error("nobody records it")
		}
	}))
	unsampled := trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1},
	}))
	require.True(t, tracing.Current(unsampled).IsZero())
	sampled := trace.ContextWithSpanContext(ctx, spanContext(domain.Trace{ID: [16]byte{1}, Span: [8]byte{2}}))
	require.Equal(t, domain.Trace{ID: [16]byte{1}, Span: [8]byte{2}}, tracing.Current(sampled))
}
