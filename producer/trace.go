package producer

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/tracing"
)

// traces are the spans of a transaction's commands: each lasts from when the command is decided until that is committed.
type traces struct {
	tracer trace.Tracer
	group  string
	open   []tracing.Span
}

// begin has the command's events and its outcome carry the trace on from here.
func (t *traces) begin(c *event.Command, p *partition, r *kgo.Record) tracing.Span {
	if !tracing.Wanted(t.tracer, c.TraceParent) {
		return tracing.Span{}
	}
	span := tracing.Start(t.tracer, c.TraceParent, tracing.Process(r.Topic, r.Partition, r.Offset, t.group, time.Time{},
		attribute.String("cqrsflow.aggregate", p.typ.Name), attribute.String("cqrsflow.command", c.Type), attribute.String("messaging.message.id", c.ID)))
	c.TraceParent = span.Parent()
	t.open = append(t.open, span)
	return span
}

// end ends them all.
func (t *traces) end(committed bool) {
	for _, span := range t.open {
		if !committed {
			span.Fail("the transaction was not committed; the command is decided again")
		}
		span.End()
	}
	clear(t.open)
	t.open = t.open[:0]
}
