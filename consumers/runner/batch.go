package runner

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// maxReason bounds what is stored of why an event was parked, in bytes.
const maxReason = 1000

// lazyCheckpoint is how many offsets that leave nothing to store may pass before the checkpoint is stored all the same.
const lazyCheckpoint = 10_000

// step makes one batch of the records in hand and applies it.
func (w *worker) step() error {
	b := w.begin(w.checkpoint)
	halted := w.build(b)
	if !w.matters(b) {
		w.passed(b.To.Next)
		return halted
	}
	if err := w.submit(b); err != nil {
		return err
	}
	return halted
}

// begin resets the batch.
func (w *worker) begin(from Checkpoint) *Batch {
	b := &w.batch
	clear(b.Events)
	clear(b.Outcomes)
	clear(b.Park)
	clear(b.Gaps)
	clear(w.fresh)
	clear(w.unpark)
	p := w.p
	p.TopicID = w.id
	*b = Batch{Partition: p, From: from, To: from, Events: b.Events[:0], Outcomes: b.Outcomes[:0],
		Park: b.Park[:0], Unpark: b.Unpark[:0], Gaps: b.Gaps, Heal: b.Heal[:0]}
	b.To.TopicID = w.id
	return b
}

// Exact has checkpoints stored whenever they move, and not only with the next change: of a version that
// is being built, the store must tell that it has reached the log's end. It may be called at any time.
func (r *Runner) Exact(on bool) { r.exact.Store(on) }

func (w *worker) matters(b *Batch) bool {
	return len(b.Events)+len(b.Outcomes)+len(b.Park)+len(w.unpark) > 0 ||
		b.To.CommandOffset != b.From.CommandOffset || b.To.Next-b.From.Next >= lazyCheckpoint ||
		w.r.exact.Load() && b.To.Next > b.From.Next
}

// build decides every record in hand. Its error stops the partition once what came before is applied.
func (w *worker) build(b *Batch) error {
	if w.p.Source == Outcomes {
		w.buildOutcomes(b)
		return nil
	}
	var nForeign int64
	defer func() { w.countForeign(nForeign) }()
	for _, rec := range w.recs {
		if rec.Attrs.IsControl() {
			b.To.Next = rec.Offset + 1
			continue
		}
		b.Events = extend(b.Events)
		e := &b.Events[len(b.Events)-1]
		v, err := w.read.envelope(rec, &e.Envelope)
		if v == apply {
			v, err = w.admit(b, e)
		}
		switch v {
		case halt:
			b.Events = b.Events[:len(b.Events)-1]
			return err
		case foreign:
			nForeign++
			w.warnForeign(err)
		case pass, apply, poison:
			if e.LastOfCommand {
				b.To.CommandOffset = e.CommandOffset
			}
		}
		if v != apply {
			b.Events = b.Events[:len(b.Events)-1]
		}
		b.To.Next = rec.Offset + 1
	}
	return nil
}

// admit decodes an event that is wanted, or sets it aside: apply where the batch keeps it.
func (w *worker) admit(b *Batch, e *event.Recorded) (verdict, error) {
	if from, fresh := w.fresh[e.Stream]; fresh {
		b.Park = append(b.Park, behind(e.Stream, e.Offset, from))
		return poison, nil
	}
	if w.parked.holds(e.Stream) {
		b.Park = append(b.Park, behind(e.Stream, e.Offset, w.parked.byStream[e.Stream].pointers[0].Offset))
		return poison, nil
	}
	if err := w.read.body(e); err != nil {
		w.fresh[e.Stream] = e.Offset
		b.Park = append(b.Park, refused(e.Stream, e.Offset, err, 1))
		w.log.Error("event cannot be decoded; its stream is parked", "stream", e.Stream, "offset", e.Offset, "error", err)
		return poison, nil
	}
	if dropped := w.parked.gap(e.Stream); dropped != nil && !b.Gaps[e.Stream] {
		w.allowGap(b, e.Stream, dropped)
	}
	return apply, nil
}

func (w *worker) allowGap(b *Batch, stream event.StreamID, dropped []int64) {
	if b.Gaps == nil {
		b.Gaps = map[event.StreamID]bool{}
	}
	b.Gaps[stream] = true
	w.unpark[stream] = append(w.unpark[stream], dropped...)
}

func (w *worker) buildOutcomes(b *Batch) {
	var nForeign int64
	for _, rec := range w.recs {
		b.To.Next = rec.Offset + 1
		if rec.Attrs.IsControl() {
			continue
		}
		o, v, err := w.read.outcome(rec)
		switch v {
		case apply:
			b.Outcomes = append(b.Outcomes, o)
			b.To.CommandOffset = o.CommandOffset
		case poison:
			b.Park = append(b.Park, refused(event.StreamID(rec.Key), rec.Offset, err, 1))
			w.log.Error("outcome cannot be decoded; it is parked", "stream", string(rec.Key), "offset", rec.Offset, "error", err)
		default:
			nForeign++
			w.warnForeign(err)
		}
	}
	w.countForeign(nForeign)
}

// cut takes the refused event's stream out of the batch from that event on, and parks it.
func (w *worker) cut(b *Batch, p *Poison) error {
	if w.p.Source == Outcomes { // they do not build on each other: the rest of the stream goes on
		return w.cutOutcome(b, p)
	}
	at := slices.IndexFunc(b.Events, func(e event.Recorded) bool { return e.Offset == p.Offset })
	if at < 0 {
		return fmt.Errorf("the sink refused an event at offset %d that was not in its batch: %w", p.Offset, p.Err)
	}
	stream := b.Events[at].Stream
	old := map[int64]Pointer{}
	if l := w.parked.byStream[stream]; l != nil {
		for _, ptr := range l.pointers {
			old[ptr.Offset] = ptr
		}
	}
	w.fresh[stream] = p.Offset
	kept, left := b.Events[:0], 0
	for _, e := range b.Events {
		switch {
		case e.Stream != stream:
		case e.Offset < p.Offset:
			left++
		case e.Offset == p.Offset:
			b.Park = append(b.Park, refused(stream, e.Offset, p.Err, old[e.Offset].Attempts+1))
			continue
		default:
			ptr := behind(stream, e.Offset, p.Offset)
			ptr.Attempts = old[e.Offset].Attempts
			b.Park = append(b.Park, ptr)
			continue
		}
		kept = append(kept, e)
	}
	clear(b.Events[len(kept):])
	b.Events = kept
	w.unpark[stream] = slices.DeleteFunc(w.unpark[stream], func(o int64) bool {
		if _, drained := old[o]; drained {
			return o >= p.Offset // these stay parked
		}
		return left == 0 // the gap is still ahead
	})
	if left == 0 {
		delete(b.Gaps, stream)
	}
	w.settle(b)
	w.log.Error("event was refused; its stream is parked", "stream", stream, "offset", p.Offset, "error", p.Err)
	return nil
}

func (w *worker) cutOutcome(b *Batch, p *Poison) error {
	at := slices.IndexFunc(b.Outcomes, func(o event.Outcome) bool { return o.Offset == p.Offset })
	if at < 0 {
		return fmt.Errorf("the sink refused an outcome at offset %d that was not in its batch: %w", p.Offset, p.Err)
	}
	stream, attempts := b.Outcomes[at].Stream, 1
	b.Outcomes = slices.Delete(b.Outcomes, at, at+1)
	if l := w.parked.byStream[stream]; l != nil {
		for _, ptr := range l.pointers {
			if ptr.Offset == p.Offset {
				attempts = ptr.Attempts + 1
			}
		}
	}
	w.unpark[stream] = slices.DeleteFunc(w.unpark[stream], func(o int64) bool { return o == p.Offset })
	b.Park = append(b.Park, refused(stream, p.Offset, p.Err, attempts))
	w.log.Error("outcome was refused; it is parked", "stream", stream, "offset", p.Offset, "error", p.Err)
	return nil
}

// settle takes the operator's mark off what stays parked of streams that the batch parks again, so
// that a stream is tried once a mark, not for ever.
func (w *worker) settle(b *Batch) {
	for i := range b.Park {
		if _, fresh := w.fresh[b.Park[i].Stream]; fresh {
			b.Park[i].Retry = false
		}
	}
	for stream, from := range w.fresh {
		l := w.parked.byStream[stream]
		if l == nil {
			continue
		}
		for _, ptr := range l.pointers {
			again := func(q Pointer) bool { return q.Offset == ptr.Offset }
			if ptr.Retry && ptr.Offset >= from && !slices.ContainsFunc(b.Park, again) {
				ptr.Retry = false
				b.Park = append(b.Park, ptr)
			}
		}
	}
	slices.SortFunc(b.Park, func(a, c Pointer) int { return cmp.Compare(a.Offset, c.Offset) })
}

func behind(stream event.StreamID, offset, first int64) Pointer {
	return Pointer{Stream: stream, Offset: offset, ParkedAt: time.Now(),
		Reason: fmt.Sprintf("behind the event at offset %d", first)}
}

func refused(stream event.StreamID, offset int64, err error, attempts int) Pointer {
	var p *Poison
	if errors.As(err, &p) {
		err = p.Err
	}
	return Pointer{Stream: stream, Offset: offset, Reason: clip(err.Error()), Attempts: attempts, ParkedAt: time.Now()}
}

func clip(reason string) string { return reason[:min(len(reason), maxReason)] }

// extend grows a slice by one element without clearing or copying what is reused.
func extend(s []event.Recorded) []event.Recorded {
	if len(s) < cap(s) {
		s = s[:len(s)+1]
		s[len(s)-1].Body = nil
		return s
	}
	return append(s, event.Recorded{})
}

// warnForeign logs at most one record in ten seconds; the status counts them all.
func (w *worker) warnForeign(err error) {
	if time.Since(w.warned) < 10*time.Second {
		return
	}
	w.warned = time.Now()
	w.log.Warn("record skipped: cqrsflow did not write it", "error", err)
}
