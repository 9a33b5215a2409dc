package gateway_test

import (
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/cqrsflow/cqrsflow/services/gateway"
)

// A request is a span, below the client's where it sent one, named by its route; what backends do is below it.
func TestSpans(t *testing.T) {
	seen := tracetest.NewSpanRecorder()
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(remote(t, echo))
		c.Tracer = sdk.NewTracerProvider(sdk.WithSpanProcessor(seen)).Tracer("test")
	})
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	for _, sent := range []string{"", "00-" + id + "-00f067aa0ba902b7-01"} {
		g := b.ask("GET", "/x", "", "Traceparent", sent)
		b.log.line(t, `"traceId":"`+g.header.Get("Cqrs-Trace-Id"))
		spans := seen.Ended()
		span := spans[len(spans)-1]
		below := g.echo(t).Header.Get("Traceparent")
		if span.Name() != "GET /{rest...}" || !strings.Contains(below, span.SpanContext().SpanID().String()) || span.SpanContext().TraceID().String() != g.header.Get("Cqrs-Trace-Id") {
			t.Errorf("the span is %s %v; the backend is below %s", span.Name(), span.SpanContext(), below)
		}
		if sent != "" && (span.Parent().SpanID().String() != "00f067aa0ba902b7" || g.header.Get("Cqrs-Trace-Id") != id) {
			t.Errorf("the span's parent is %v", span.Parent())
		}
	}
}
