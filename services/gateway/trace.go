package gateway

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/cqrsflow/cqrsflow/internal/tracing"
)

// begin makes a span of the request, in the caller's trace where it sent one. What backends do is below it.
func (c *call) begin(tracer oteltrace.Tracer) {
	above := ""
	if c.trace.Continued {
		above = strings.TrimSpace(c.r.Header.Get("Traceparent"))
	}
	if !tracing.Wanted(tracer, above) {
		return
	}
	c.span = tracing.Start(tracer, above, tracing.Begin{Name: clip(c.r.Method), Kind: oteltrace.SpanKindServer,
		Attributes: []attribute.KeyValue{attribute.String("http.request.method", clip(c.r.Method)), attribute.String("url.path", clip(c.r.URL.Path))}})
	c.trace.TraceID, c.trace.Parent = c.span.TraceID(), c.span.Parent()
}

// end says what became of it. The span is named by the route, which is one of few, never by the path.
func (c *call) end() {
	if c.route != nil {
		c.span.Rename(c.r.Method + " " + c.route.Path)
		c.span.Set(attribute.String("http.route", c.route.Path))
	}
	c.span.Set(attribute.Int("http.response.status_code", c.w.status))
	if c.w.status >= http.StatusInternalServerError {
		c.span.Fail(http.StatusText(c.w.status))
	}
	c.span.End()
}
