package trace

import (
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/cqrsflow/cqrsflow/internal/tracing"
)

// Begin makes a span of the request, in the caller's trace where it sent one, and what is handed on is below it. service
// tells those apart that a request goes through. There is no span where tracer is nil, or the trace is not sampled.
func (t *Context) Begin(tracer oteltrace.Tracer, r *http.Request, service string) tracing.Span {
	above := ""
	if t.Continued {
		above = strings.TrimSpace(r.Header.Get("Traceparent"))
	}
	if !tracing.Wanted(tracer, above) {
		return tracing.Span{}
	}
	span := tracing.Start(tracer, above, tracing.Begin{Name: r.Method, Kind: oteltrace.SpanKindServer,
		Attributes: []attribute.KeyValue{attribute.String("cqrsflow.service", service), attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path)}})
	t.TraceID, t.Parent = span.TraceID(), span.Parent()
	return span
}

// End ends a request's span with what became of it. The span is named by the route, which is one of few, never by the path;
// pattern is empty where there is no route.
func End(span tracing.Span, method, pattern string, status int) {
	if pattern != "" {
		span.Rename(method + " " + pattern)
		span.Set(attribute.String("http.route", pattern))
	}
	span.Set(attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		span.Fail(http.StatusText(status))
	}
	span.End()
}
