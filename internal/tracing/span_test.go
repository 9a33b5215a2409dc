package tracing

import (
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
)

const sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// A span is below the traceparent, and what it causes is below the span.
func TestSpanCarriesTheTraceOn(t *testing.T) {
	seen := tracetest.NewSpanRecorder()
	tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(seen)).Tracer("test")
	at := time.Now().Add(-time.Second)
	first := Start(tracer, sampled, Process("orders", 3, 7, "g", at))
	second := Start(tracer, first.Parent(), Send("others", 1))
	second.Fail("no broker")
	second.End()
	first.End()
	spans := seen.Ended()
	if len(spans) != 2 || spans[0].Parent().SpanID() != spans[1].SpanContext().SpanID() || spans[1].Parent().SpanID().String() != "00f067aa0ba902b7" ||
		spans[0].SpanContext().TraceID().String() != sampled[3:35] {
		t.Fatalf("%v", spans)
	}
	if spans[0].Name() != "send others" || spans[0].Status().Code != codes.Error || spans[1].Name() != "process orders" || !spans[1].StartTime().Equal(at) {
		t.Errorf("%v", spans)
	}
}

// Without a tracer, and where the caller does not want it, the trace goes on and nothing is made.
func TestNoSpan(t *testing.T) {
	seen := tracetest.NewSpanRecorder()
	tracer := sdk.NewTracerProvider(sdk.WithSpanProcessor(seen)).Tracer("test")
	unsampled := sampled[:53] + "00"
	for _, s := range []Span{Start(nil, sampled, Begin{Name: "x"}), Start(tracer, unsampled, Begin{Name: "x"})} {
		s.Rename("y")
		s.Set()
		s.Fail("z")
		s.End()
		if s.TraceID() != "" || s.Parent() != sampled && s.Parent() != unsampled {
			t.Errorf("%+v", s)
		}
	}
	if Wanted(nil, sampled) || Wanted(tracer, unsampled) || !Wanted(tracer, "") || !Wanted(tracer, sampled) {
		t.Error("Wanted does not say what Start does")
	}
	if len(seen.Started()) > 0 {
		t.Errorf("%v", seen.Started())
	}
}

func TestParseTraceParent(t *testing.T) {
	for _, s := range []string{"", "x", sampled[:54], sampled + "-x", "ff" + sampled[2:], sampled[:52] + "_01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", sampled[:53] + "zz"} {
		if _, ok := parse(s); ok {
			t.Errorf("%q is taken for a traceparent", s)
		}
	}
	for _, s := range []string{sampled, "01" + sampled[2:] + "-later"} {
		if c, ok := parse(s); !ok || format(c) != sampled {
			t.Errorf("%q: %v %v", s, c, ok)
		}
	}
}
