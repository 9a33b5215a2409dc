package runner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/backoff"
	"github.com/cqrsflow/cqrsflow/internal/partlog"
)

// submit applies the batch, parking what the sink refuses and trying again while the store is down.
// Its error means that the session is of no more use: fenced, corrupt, or the partition is given up.
func (w *worker) submit(b *Batch) error { return w.insist(b, w.cut) }

// insist is submit; refused takes out of the batch what the sink refuses.
func (w *worker) insist(b *Batch, refused func(*Batch, *Poison) error) error {
	started := time.Now()
	for attempt := 0; ; {
		b.Unpark = b.Unpark[:0]
		for _, offsets := range w.unpark {
			b.Unpark = append(b.Unpark, offsets...)
		}
		slices.Sort(b.Unpark)
		err := w.session.Apply(w.ctx, b)
		var p *Poison
		switch {
		case err == nil:
			w.traced(b, started)
			w.applied(b, time.Since(started))
			return nil
		case w.ctx.Err() != nil:
			return w.ctx.Err()
		case errors.As(err, &p):
			if err := refused(b, p); err != nil {
				return err
			}
			continue
		case errors.Is(err, event.ErrFenced), errors.Is(err, event.ErrCorrupt):
			return err
		}
		w.pauseNow()
		w.failed(Retrying, err, attempt)
		if err := w.r.backoff(w.serving, attempt); err != nil {
			return err
		}
		attempt++
	}
}

// applied takes over into memory what the store has now.
func (w *worker) applied(b *Batch, took time.Duration) {
	for _, ptr := range b.Park {
		w.parked.add(ptr)
	}
	for stream, offsets := range w.unpark {
		w.parked.remove(stream, offsets)
	}
	w.checkpoint = b.To
	progress := Progress{Projection: w.r.cfg.Name, Version: w.r.cfg.Version, Partition: b.Partition,
		Events: len(b.Events), Outcomes: len(b.Outcomes), Parked: len(b.Park), Took: took, Checkpoint: b.To}
	if n := len(b.Events); n > 0 {
		progress.RecordedTime = b.Events[n-1].RecordedTime
	}
	if n := len(b.Outcomes); n > 0 {
		progress.RecordedTime = b.Outcomes[n-1].RecordedTime
	}
	w.mu.Lock()
	st := &w.mu.status
	recovered := st.State == Retrying
	if recovered {
		st.State, st.Reason = Live, ""
	}
	w.mu.failing = time.Time{}
	st.Checkpoint, st.Parked = b.To, w.parked.streams()
	st.Applied += int64(len(b.Events) + len(b.Outcomes))
	st.Batches++
	if !progress.RecordedTime.IsZero() {
		st.AppliedThrough = progress.RecordedTime
	}
	w.mu.Unlock()
	if recovered {
		w.log.Info("the store is back")
	}
	w.r.commits.mark(w.p, b.To.Next)
	if w.r.cfg.OnBatch != nil {
		w.r.cfg.OnBatch(progress)
	}
}

// passed moves on over records that leave nothing to store.
func (w *worker) passed(next int64) {
	w.mu.Lock()
	w.mu.status.Checkpoint.Next = next
	w.mu.Unlock()
	w.r.commits.mark(w.p, next)
}

func (w *worker) countForeign(n int64) {
	if n == 0 {
		return
	}
	w.mu.Lock()
	w.mu.status.Foreign += n
	w.mu.Unlock()
}

// failed reports that the sink does not do its part, at first and then about every thirty seconds.
func (w *worker) failed(s State, err error, attempt int) {
	w.mu.Lock()
	if w.mu.failing.IsZero() {
		w.mu.failing = time.Now()
	}
	since := time.Since(w.mu.failing)
	w.mu.Unlock()
	w.state(s, err.Error())
	if attempt == 0 || attempt%3 == 0 && since > w.r.cfg.RetryMax {
		w.log.Warn("the sink failed; trying again", "error", err, "attempt", attempt+1, "failing_for", since.Round(time.Millisecond).String())
	}
}

// backoff waits before another attempt: exponentially longer, with jitter.
func (r *Runner) backoff(ctx context.Context, attempt int) error {
	return backoff.Wait(ctx, r.cfg.RetryMin, r.cfg.RetryMax, attempt)
}

// drainLimit bounds how many parked events are tried again in one batch.
const drainLimit = 500

// drain looks for parked streams that an operator marked, reads their events from the log again, and
// applies them in order with today's code.
func (w *worker) drain() error {
	pointers, err := w.session.Parked(w.serving)
	w.lookedAt = time.Now()
	if err != nil {
		if w.serving.Err() != nil {
			return nil
		}
		w.log.Warn("reading the parked events failed", "error", err)
		return nil // the next batch says whether the store is down
	}
	w.parked.load(pointers)
	w.mu.Lock()
	w.mu.status.Parked = w.parked.streams()
	w.mu.Unlock()
	for {
		due := w.parked.due(drainLimit)
		if len(due) == 0 || w.serving.Err() != nil {
			return nil
		}
		b, err := w.revisit(due)
		switch {
		case err == nil:
			err = w.submit(b)
		case w.serving.Err() != nil:
			return nil
		case !errors.Is(err, event.ErrCorrupt):
			w.log.Warn("parked events could not be read again", "error", err)
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// revisit makes a batch of parked events: From and To are equal.
func (w *worker) revisit(due []Pointer) (*Batch, error) {
	offsets := make([]int64, len(due))
	for i, ptr := range due {
		offsets[i] = ptr.Offset
	}
	recs, err := partlog.At(w.serving, w.r.cfg.Client, w.p.Topic, w.p.Number, offsets)
	if err != nil {
		return nil, fmt.Errorf("parked events: %w", err)
	}
	b := w.begin(w.checkpoint)
	for i, rec := range recs {
		ptr := due[i]
		if w.p.Source == Outcomes {
			o, v, err := w.read.outcome(rec)
			if v != apply {
				b.Park = append(b.Park, refused(ptr.Stream, ptr.Offset, err, ptr.Attempts+1))
				continue
			}
			b.Outcomes = append(b.Outcomes, o)
			w.unpark[ptr.Stream] = append(w.unpark[ptr.Stream], ptr.Offset)
			continue
		}
		if from, fresh := w.fresh[ptr.Stream]; fresh {
			q := behind(ptr.Stream, ptr.Offset, from)
			q.Attempts = ptr.Attempts
			b.Park = append(b.Park, q)
			continue
		}
		b.Events = extend(b.Events)
		e := &b.Events[len(b.Events)-1]
		v, err := w.read.envelope(rec, &e.Envelope)
		if v == apply {
			err = w.read.body(e)
		}
		if v == pass || v == foreign { // today's code does not want it
			b.Events = b.Events[:len(b.Events)-1]
			w.unpark[ptr.Stream] = append(w.unpark[ptr.Stream], ptr.Offset)
			continue
		}
		if err != nil {
			b.Events = b.Events[:len(b.Events)-1]
			w.fresh[ptr.Stream] = ptr.Offset
			b.Park = append(b.Park, refused(ptr.Stream, ptr.Offset, err, ptr.Attempts+1))
			continue
		}
		w.unpark[ptr.Stream] = append(w.unpark[ptr.Stream], ptr.Offset)
		if dropped := w.parked.gap(ptr.Stream); dropped != nil && !b.Gaps[ptr.Stream] {
			w.allowGap(b, ptr.Stream, dropped)
		}
	}
	w.carryMarks(b, due)
	w.settle(b)
	return b, nil
}

// carryMarks marks the first pointer of each stream that this drain does not reach any more, so that
// the next one goes on with it, after a restart as well.
func (w *worker) carryMarks(b *Batch, due []Pointer) {
	last := map[event.StreamID]int64{}
	for _, ptr := range due {
		last[ptr.Stream] = ptr.Offset
	}
	for stream, offset := range last {
		pointers := w.parked.byStream[stream].pointers
		if i := slices.IndexFunc(pointers, func(p Pointer) bool { return p.Offset > offset }); i >= 0 && !pointers[i].Retry {
			next := pointers[i]
			next.Retry = true
			b.Park = append(b.Park, next)
		}
	}
}
