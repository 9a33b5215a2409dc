package runner

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

// healLimit bounds how many streams are healed by one reading of their partition, and in one batch.
const healLimit = 200

// Heal has the workers look for streams that are marked to be healed, now rather than never: they do not
// look by themselves. It may be called at any time.
func (r *Runner) Heal() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.mu.workers {
		w.healing.Store(true)
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// heal makes the marked streams anew, by all of their events up to the checkpoint. The partition does
// nothing else meanwhile: what it reads is what the store has, in this moment.
func (w *worker) heal() error {
	healer, ok := w.session.(Healer)
	if !ok || w.p.Source != Events {
		return nil
	}
	for {
		streams, err := healer.ToHeal(w.serving, healLimit)
		switch {
		case w.serving.Err() != nil:
			return nil
		case err != nil:
			w.log.Warn("reading the marks of streams to be healed failed", "error", err)
			return nil // the driver asks again
		case len(streams) == 0:
			return nil
		}
		b, err := w.anew(streams)
		switch {
		case w.serving.Err() != nil:
			return nil
		case err != nil:
			w.log.Warn("streams to be healed could not be read again", "error", err)
			return nil
		}
		if err := w.insist(b, w.unhealed); err != nil {
			return err
		}
		for _, h := range b.Heal {
			if h.Failed != "" {
				w.log.Error("stream cannot be healed", "stream", h.Stream, "reason", h.Failed)
				continue
			}
			w.log.Info("stream healed", "stream", h.Stream)
		}
	}
}

// anew makes a batch of everything of the streams that the store should have by now.
func (w *worker) anew(streams []event.StreamID) (*Batch, error) {
	// Of a parked stream, what stands before the event that was refused first.
	until := make(map[event.StreamID]int64, len(streams))
	for _, s := range streams {
		until[s] = w.checkpoint.Next
		if w.parked.holds(s) {
			until[s] = w.parked.byStream[s].pointers[0].Offset
		}
	}
	recs, err := w.scan(until)
	if err != nil {
		return nil, err
	}
	b := w.begin(w.checkpoint)
	failed := map[event.StreamID]error{}
	for _, rec := range recs {
		stream := event.StreamID(rec.Key)
		if failed[stream] != nil || slices.Contains(w.parked.gap(stream), rec.Offset) {
			continue
		}
		b.Events = extend(b.Events)
		e := &b.Events[len(b.Events)-1]
		v, err := w.read.envelope(rec, &e.Envelope)
		if v == apply {
			err = w.read.body(e)
		}
		if v != apply || err != nil {
			b.Events = b.Events[:len(b.Events)-1]
		}
		if err != nil && v != foreign {
			failed[stream] = fmt.Errorf("the event at offset %d: %w", rec.Offset, err)
		}
	}
	if b.Gaps == nil {
		b.Gaps = map[event.StreamID]bool{}
	}
	for _, s := range streams {
		b.Heal = append(b.Heal, Healing{Stream: s})
		b.Gaps[s] = true // what an operator dropped once is missed by nobody
	}
	for s, err := range failed {
		w.withdraw(b, s, err)
	}
	return b, nil
}

// unhealed takes a stream out of the batch whose event the sink refuses.
func (w *worker) unhealed(b *Batch, p *Poison) error {
	if !w.withdraw(b, p.Stream, p) {
		return fmt.Errorf("the sink refused an event of %s that was not in its batch: %w", p.Stream, p.Err)
	}
	return nil
}

// withdraw notes that a stream cannot be healed; false where that was known.
func (w *worker) withdraw(b *Batch, stream event.StreamID, err error) bool {
	kept := b.Events[:0]
	for _, e := range b.Events {
		if e.Stream != stream {
			kept = append(kept, e)
		}
	}
	clear(b.Events[len(kept):])
	b.Events = kept
	for i := range b.Heal {
		if h := &b.Heal[i]; h.Stream == stream && h.Failed == "" {
			h.Failed = clip(err.Error())
			return true
		}
	}
	return false
}

// scan reads the partition from the log's start to the checkpoint, and returns the records of the
// streams, each until its offset.
func (w *worker) scan(until map[event.StreamID]int64) ([]*kgo.Record, error) {
	start, _, err := w.r.kafka.bounds(w.serving, w.p)
	if err != nil {
		return nil, err
	}
	end := w.checkpoint.Next
	if start >= end {
		return nil, nil
	}
	cl, err := kgo.NewClient(append(append([]kgo.Opt{}, w.r.cfg.Client...),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{w.p.Topic: {w.p.Number: kgo.NewOffset().At(start)}}),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.FetchMaxPartitionBytes(4<<20),
		kgo.KeepControlRecords(), // a marker may be what stands at the end
	)...)
	if err != nil {
		return nil, fmt.Errorf("read %s again: %w", w.p, err)
	}
	defer cl.Close()
	return collect(w.serving, cl, w.p, end, until)
}

func collect(ctx context.Context, cl *kgo.Client, p Partition, end int64, until map[event.StreamID]int64) ([]*kgo.Record, error) {
	var out []*kgo.Record
	for {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		for _, fe := range fetches.Errors() {
			return nil, fmt.Errorf("%w: read %s again: %w", event.ErrUnavailable, p, fe.Err)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			rec := it.Next()
			if last, wanted := until[event.StreamID(rec.Key)]; wanted && rec.Offset < last && !rec.Attrs.IsControl() {
				out = append(out, rec)
			}
			if rec.Offset >= end-1 {
				return out, nil
			}
		}
	}
}
