package api

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/cqrsflow/cqrsflow/internal/tracing"
)

// begin makes a span of the request, in the caller's trace where it sent one.
func (c *call) begin(tracer oteltrace.Tracer, r *http.Request) {
	above := ""
	if c.trace.Continued {
		above = strings.TrimSpace(r.Header.Get("Traceparent"))
	}
	if !tracing.Wanted(tracer, above) {
		return
	}
	c.span = tracing.Start(tracer, above, tracing.Begin{Name: r.Method, Kind: oteltrace.SpanKindServer,
		Attributes: []attribute.KeyValue{attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path)}})
	c.trace.TraceID, c.trace.Parent = c.span.TraceID(), c.span.Parent()
}

// end says what became of it. The span is named by the route, which is one of few, never by the path.
func (c *call) end(status int) {
	if c.pattern != "" {
		c.span.Rename(c.r.Method + " " + c.pattern)
		c.span.Set(attribute.String("http.route", c.pattern))
	}
	c.span.Set(attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		c.span.Fail(http.StatusText(status))
	}
	c.span.End()
}
