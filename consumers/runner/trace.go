package runner

import (
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/cqrsflow/cqrsflow/internal/tracing"
)

// traced makes a span, in its own trace, of everything that the sink now has: from when the batch was given to it until it was
// stored. What is drained from among the parked has one, too.
func (w *worker) traced(b *Batch, since time.Time) {
	cfg := &w.r.cfg
	if cfg.Tracer == nil {
		return
	}
	about := []attribute.KeyValue{attribute.String("cqrsflow.projection", cfg.Name), attribute.Int("cqrsflow.projection.version", cfg.Version),
		attribute.Int("messaging.batch.message_count", len(b.Events)+len(b.Outcomes))}
	span := func(parent string, offset int64, more ...attribute.KeyValue) {
		// One without a trace has not begun one: a trace that begins at a projection would say nothing.
		if parent != "" && tracing.Wanted(cfg.Tracer, parent) {
			tracing.Start(cfg.Tracer, parent, tracing.Process(b.Partition.Topic, b.Partition.Number, offset, cfg.group(), since, append(more, about...)...)).End()
		}
	}
	for i := range b.Events {
		e := &b.Events[i]
		span(e.TraceParent, e.Offset, attribute.String("cqrsflow.event", e.Type))
	}
	for i := range b.Outcomes {
		span(b.Outcomes[i].TraceParent, b.Outcomes[i].Offset)
	}
}
