package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/chatopshub/chatopshub/actors"
	"github.com/chatopshub/chatopshub/domain"
	"github.com/chatopshub/chatopshub/persistence"
	"github.com/chatopshub/chatopshub/transport/socket"
	"github.com/chatopshub/chatopshub/transport/webhook"
)

// tracing records the ways of messages, from the webhook to the sockets, by
// OpenTelemetry. The packages know it by the few methods each declares; nil is
// a server that records nothing.
type tracing struct {
	provider trace.TracerProvider
	spans    trace.Tracer
}

// openTracing sends spans to the collector that is configured, if any. What it
// can't take in time is dropped, never waited for: the queue holds 2,048 spans.
// The sampler is chosen by OTEL_TRACES_SAMPLER; by default everything is
// recorded.
func (p *program) openTracing(ctx context.Context) error {
	if p.cfg.OTLPEndpoint == "" {
		return nil
	}
	exporter, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(strings.TrimSuffix(p.cfg.OTLPEndpoint, "/")+"/v1/traces"))
	if err != nil {
		return fmt.Errorf("open the export of traces: %w", err)
	}
	about := resource.NewSchemaless(
		attribute.String("service.name", "chatopshub"), attribute.String("service.version", buildVersion()),
	)
	logger := p.logger.With("part", "tracing")
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("traces are not exported", "error", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	p.onClose("tracing", func(ctx context.Context) error {
		if err := provider.Shutdown(ctx); err != nil {
			logger.LogAttrs(ctx, slog.LevelWarn, "the last traces are lost", slog.Any("error", err)) // no reason to fail
		}
		return nil
	})
	p.tracing = &tracing{provider: provider, spans: provider.Tracer("github.com/chatopshub/chatopshub")}
	return nil
}

// edge records requests. Those of strangers begin a trace of their own, to which
// the one they name is linked: nobody outside decides what we record. Sockets
// outlive every span, and probes and scrapes come by the thousand.
func (t *tracing) edge(next http.Handler) http.Handler {
	if t == nil {
		return next
	}
	return otelhttp.NewHandler(next, "request",
		otelhttp.WithTracerProvider(t.provider), otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithPublicEndpointFn(func(*http.Request) bool { return true }),
		otelhttp.WithFilter(func(r *http.Request) bool {
			return strings.HasPrefix(r.URL.Path, "/api/")
		}),
		otelhttp.WithSpanNameFormatter(func(_ string, r *http.Request) string {
			return strings.TrimSpace(r.Method + " " + r.Pattern) // the pattern is known when the request is done
		}),
	)
}

// ofActors, ofWriter, ofSockets and ofWebhooks are t, or nothing: a nil pointer
// in an interface would not be nil.
func (t *tracing) ofActors() actors.Tracer {
	if t == nil {
		return nil
	}
	return t
}

func (t *tracing) ofWriter() persistence.Tracer {
	if t == nil {
		return nil
	}
	return t
}

func (t *tracing) ofSockets() socket.Tracer {
	if t == nil {
		return nil
	}
	return t
}

func (t *tracing) ofWebhooks() webhook.Tracer {
	if t == nil {
		return nil
	}
	return t
}

// Current implements actors.Tracer.
func (*tracing) Current(ctx context.Context) domain.Trace {
	return carried(trace.SpanContextFromContext(ctx))
}

// Begin implements actors.Tracer.
func (t *tracing) Begin(parent domain.Trace, step string) (domain.Trace, func(outcome string)) {
	_, span := t.spans.Start(within(parent), step)
	return carried(span.SpanContext()), func(outcome string) {
		span.SetAttributes(attribute.String("chatopshub.outcome", outcome))
		span.End()
	}
}

// Batch implements persistence.Tracer. A transaction carries the changes of
// many: it is shown within the first one's trace and linked to all.
func (t *tracing) Batch(changes []domain.Trace, submissions int) (end func()) {
	links := make([]trace.Link, len(changes))
	for i, c := range changes {
		links[i] = trace.Link{SpanContext: spanContext(c)}
	}
	_, span := t.spans.Start(within(changes[0]), "writer batch",
		trace.WithLinks(links...), trace.WithAttributes(attribute.Int("chatopshub.submissions", submissions)))
	return func() { span.End() }
}

// Deliver implements socket.Tracer.
func (t *tracing) Deliver(parent domain.Trace) (end func(sockets int)) {
	_, span := t.spans.Start(within(parent), "socket deliver")
	return func(sockets int) {
		span.SetAttributes(attribute.Int("chatopshub.sockets", sockets))
		span.End()
	}
}

// Step implements webhook.Tracer.
func (t *tracing) Step(ctx context.Context, step string) (end func()) {
	_, span := t.spans.Start(ctx, step)
	return func() { span.End() }
}

// carried is what travels with a message: nothing, unless it is sampled.
func carried(c trace.SpanContext) domain.Trace {
	if !c.IsSampled() {
		return domain.Trace{}
	}
	return domain.Trace{ID: c.TraceID(), Span: c.SpanID()}
}

func spanContext(t domain.Trace) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: t.ID, SpanID: t.Span, TraceFlags: trace.FlagsSampled})
}

func within(parent domain.Trace) context.Context {
	return trace.ContextWithSpanContext(context.Background(), spanContext(parent))
}
