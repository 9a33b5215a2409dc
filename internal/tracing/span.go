package tracing

import (
	"context"
	"encoding/hex"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// Span is a span, or none: the zero Span makes nothing of what it is told. One goroutine uses it at a time.
type Span struct {
	span   trace.Span
	parent string
}

// Begin is what a span begins with.
type Begin struct {
	// Name is "{operation} {destination}" for records, as the semantic conventions want it.
	Name string
	Kind trace.SpanKind
	// At is when it began; zero is now.
	At time.Time
	// Attributes are set at the beginning, where samplers see them.
	Attributes []attribute.KeyValue
}

// Start begins a span below a traceparent. Without one, or with one that is none, it begins a trace, if the tracer's sampler
// likes. Where tracer is nil, and in a trace that is not sampled, there is no span, and Parent is the parent given.
func Start(tracer trace.Tracer, parent string, begin Begin) Span {
	if tracer == nil {
		return Span{parent: parent}
	}
	above, ok := parse(parent)
	if ok && !above.IsSampled() {
		return Span{parent: parent}
	}
	ctx := context.Background()
	if ok {
		ctx = trace.ContextWithRemoteSpanContext(ctx, above)
	}
	opts := []trace.SpanStartOption{trace.WithSpanKind(begin.Kind), trace.WithAttributes(begin.Attributes...)}
	if !begin.At.IsZero() {
		opts = append(opts, trace.WithTimestamp(begin.At))
	}
	_, span := tracer.Start(ctx, begin.Name, opts...)
	return Span{span: span, parent: format(span.SpanContext())}
}

// Wanted reports whether Start would make a span below a traceparent: what it costs to say what a span is about is saved where it would not.
func Wanted(tracer trace.Tracer, parent string) bool {
	if tracer == nil {
		return false
	}
	above, ok := parse(parent)
	return !ok || above.IsSampled()
}

// Parent is the traceparent of what this span causes; empty where there is no trace.
func (s Span) Parent() string { return s.parent }

// TraceID is the trace's in hexadecimal; empty where there is no span.
func (s Span) TraceID() string {
	if s.span == nil {
		return ""
	}
	return s.span.SpanContext().TraceID().String()
}

// Rename gives it a name that was not known when it began.
func (s Span) Rename(name string) {
	if s.span != nil {
		s.span.SetName(name)
	}
}

// Set adds attributes.
func (s Span) Set(attributes ...attribute.KeyValue) {
	if s.span != nil {
		s.span.SetAttributes(attributes...)
	}
}

// Fail says that what it stands for did not succeed; the text must name nothing secret.
func (s Span) Fail(why string) {
	if s.span != nil {
		s.span.SetStatus(codes.Error, why)
	}
}

// End ends it.
func (s Span) End() {
	if s.span != nil {
		s.span.End()
	}
}

// parse reads a traceparent as records carry it: version-traceid-spanid-flags, later versions with more after these.
func parse(s string) (trace.SpanContext, bool) {
	const least = 55
	if len(s) < least || s[2] != '-' || s[35] != '-' || s[52] != '-' || s[:2] == "ff" || len(s) > least && (s[:2] == "00" || s[least] != '-') {
		return trace.SpanContext{}, false
	}
	id, err1 := trace.TraceIDFromHex(s[3:35])
	span, err2 := trace.SpanIDFromHex(s[36:52])
	flags, err3 := hex.DecodeString(s[53:55])
	if err1 != nil || err2 != nil || err3 != nil {
		return trace.SpanContext{}, false
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: id, SpanID: span, TraceFlags: trace.TraceFlags(flags[0]), Remote: true}), true
}

func format(c trace.SpanContext) string {
	if !c.IsValid() {
		return ""
	}
	return "00-" + c.TraceID().String() + "-" + c.SpanID().String() + "-" + c.TraceFlags().String()
}
