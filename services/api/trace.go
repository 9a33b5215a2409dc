package api

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/cqrsflow/cqrsflow/internal/tracing"
)

// trace is the W3C trace context of a request (https://www.w3.org/TR/trace-context/): the caller's trace,
// or a new one, with a span of this request.
type trace struct {
	traceID string
	// parent is the traceparent to hand on.
	parent string
	// requestID is X-Request-Id where the caller sent one that is fit for logs.
	requestID string
	span      tracing.Span
}

// begin makes a span of the request, in the caller's trace where it sent one.
func (t *trace) begin(tracer oteltrace.Tracer, r *http.Request) {
	above := ""
	if _, _, ok := parseTraceParent(r.Header.Values("Traceparent")); ok {
		above = strings.TrimSpace(r.Header.Get("Traceparent"))
	}
	if !tracing.Wanted(tracer, above) {
		return
	}
	t.span = tracing.Start(tracer, above, tracing.Begin{Name: r.Method, Kind: oteltrace.SpanKindServer,
		Attributes: []attribute.KeyValue{attribute.String("http.request.method", r.Method), attribute.String("url.path", r.URL.Path)}})
	t.traceID, t.parent = t.span.TraceID(), t.span.Parent()
}

// end says what became of it. The span is named by the route, which is one of few, never by the path.
func (t *trace) end(c *call, status int) {
	if c.pattern != "" {
		t.span.Rename(c.r.Method + " " + c.pattern)
		t.span.Set(attribute.String("http.route", c.pattern))
	}
	t.span.Set(attribute.Int("http.response.status_code", status))
	if status >= http.StatusInternalServerError {
		t.span.Fail(http.StatusText(status))
	}
	t.span.End()
}

func traceOf(h http.Header) trace {
	t := trace{requestID: requestID(h)}
	var span [8]byte
	rand.Read(span[:])
	id, flags, ok := parseTraceParent(h.Values("Traceparent"))
	if !ok {
		var fresh [16]byte
		rand.Read(fresh[:])
		id, flags = hex.EncodeToString(fresh[:]), "00"
	}
	t.traceID = id
	t.parent = "00-" + id + "-" + hex.EncodeToString(span[:]) + "-" + flags
	return t
}

// parseTraceParent reads version-traceid-parentid-flags. Later versions may have more fields after these.
func parseTraceParent(values []string) (traceID, flags string, ok bool) {
	if len(values) != 1 {
		return "", "", false
	}
	v := strings.TrimSpace(values[0])
	if len(v) < 55 || len(v) > 55 && (v[:2] == "00" || v[55] != '-') {
		return "", "", false
	}
	if v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return "", "", false
	}
	version, id, parent, flags := v[:2], v[3:35], v[36:52], v[53:55]
	if !lowerHex(version) || version == "ff" || !lowerHex(id) || !lowerHex(parent) || !lowerHex(flags) ||
		strings.Trim(id, "0") == "" || strings.Trim(parent, "0") == "" {
		return "", "", false
	}
	return id, flags, true
}

func lowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// requestID takes what is printable ASCII without spaces, so that it cannot forge lines of a log.
func requestID(h http.Header) string {
	const most = 128
	s := h.Get("X-Request-Id")
	if len(s) > most {
		return ""
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return ""
		}
	}
	return s
}
