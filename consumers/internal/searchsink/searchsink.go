// Package searchsink is what the two sinks of the search read model have in common: the fold of a batch
// into documents, and the next progress of a partition. It does no I/O.
package searchsink

import (
	"errors"
	"fmt"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// CheckPartition refuses partitions that the read model does not read. Its error wraps event.ErrConfig.
func CheckPartition(p runner.Partition) error {
	if p.Aggregate != searchindex.Aggregate || p.Source != runner.Events {
		return fmt.Errorf("%w: the %s projection reads the %s events only, not %s", event.ErrConfig, searchindex.Name, searchindex.Aggregate, p)
	}
	return nil
}

// Fold is the fold of one batch. Reuse it for the next with Reset; it is not safe for concurrent use.
type Fold struct {
	// Evolve is how events change documents.
	Evolve searchindex.Evolve
	// Streams of the batch, in the order of their first event, and Docs, the document of each: as
	// loaded at first, after Apply as folded.
	Streams []event.StreamID
	Docs    []searchindex.Document
	// First is the index in the batch of each stream's first event; -1 where there is none, as there may be
	// of a stream that is made anew.
	First []int
	// Anew are those that are made anew: they must not be loaded.
	Anew []bool

	index map[event.StreamID]int
	start []event.Version
}

// Reset takes up the streams of a batch, with empty documents.
func (f *Fold) Reset(b *runner.Batch) {
	f.Streams, f.Docs, f.First, f.Anew, f.start = f.Streams[:0], f.Docs[:0], f.First[:0], f.Anew[:0], f.start[:0]
	if f.index == nil {
		f.index = make(map[event.StreamID]int, len(b.Events))
	}
	clear(f.index)
	add := func(s event.StreamID, first int, anew bool) {
		f.index[s] = len(f.Streams)
		f.Streams, f.First, f.Anew = append(f.Streams, s), append(f.First, first), append(f.Anew, anew)
	}
	for _, h := range b.Heal {
		if h.Failed == "" {
			add(h.Stream, -1, true)
		}
	}
	for i := range b.Events {
		s := b.Events[i].Stream
		at, ok := f.index[s]
		switch {
		case !ok:
			add(s, i, false)
		case f.First[at] < 0:
			f.First[at] = i
		}
	}
	f.Docs = append(f.Docs, make([]searchindex.Document, len(f.Streams))...)
	f.start = append(f.start, make([]event.Version, len(f.Streams))...)
}

// Apply folds the batch's events into the documents. Its error is a *runner.Poison for an event that
// cannot be indexed, or event.ErrCorrupt for versions that jump.
func (f *Fold) Apply(b *runner.Batch) error {
	for i := range f.Docs {
		f.start[i] = f.Docs[i].Version
	}
	for i := range b.Events {
		e := &b.Events[i]
		at := f.index[e.Stream]
		d, err := f.Evolve.Fold(f.Docs[at], e, b.Gaps[e.Stream])
		switch {
		case err == nil:
			f.Docs[at] = d
		case errors.Is(err, event.ErrCorrupt):
			return fmt.Errorf("%s@%d: %w", b.Partition, e.Offset, err)
		default:
			return &runner.Poison{Offset: e.Offset, Stream: e.Stream, Err: err}
		}
	}
	return nil
}

// Start is the version that the i-th document had when it was loaded; 0 where there was none.
func (f *Fold) Start(i int) event.Version { return f.start[i] }

// Changed reports whether the i-th document differs from the loaded one.
func (f *Fold) Changed(i int) bool { return f.Docs[i].Version != f.start[i] }

// Next is the progress after a batch. Its error is event.ErrFenced where the batch does not follow from
// what is stored: somebody else has been at work.
// It is event.ErrUnavailable while readers are being switched to another version.
func Next(p searchindex.Progress, b *runner.Batch, now time.Time) (searchindex.Progress, error) {
	if p.Held {
		return p, fmt.Errorf("%w: %s waits while readers are switched to another version", event.ErrUnavailable, b.Partition)
	}
	if p.Processed && Checkpoint(p) != b.From {
		return p, fmt.Errorf("%w: the checkpoint of %s is at %d, not at %d where the batch begins", event.ErrFenced, b.Partition, p.Next, b.From.Next)
	}
	next := p.Clone()
	for _, offset := range b.Unpark {
		if !next.Unpark(offset) {
			return p, fmt.Errorf("%w: the parked event %s@%d was drained or dropped by somebody else", event.ErrFenced, b.Partition, offset)
		}
	}
	for _, x := range b.Park {
		next.Park(parked(x))
	}
	for _, h := range b.Heal {
		next.Healed(h.Stream, h.Failed)
	}
	next.Processed = true
	next.Writes++
	next.TopicID, next.Next, next.CommandOffset = b.To.TopicID, b.To.Next, b.To.CommandOffset
	next.UpdatedAt = now
	return next, nil
}

// Checkpoint is the progress's checkpoint as the runner has it.
func Checkpoint(p searchindex.Progress) runner.Checkpoint {
	return runner.Checkpoint{TopicID: p.TopicID, Next: p.Next, CommandOffset: p.CommandOffset}
}

// Pointers are the progress's parked events as the runner has them.
func Pointers(p searchindex.Progress) []runner.Pointer {
	out := make([]runner.Pointer, len(p.Parked))
	for i, x := range p.Parked {
		out[i] = runner.Pointer{Stream: x.Stream, Offset: x.Offset, Reason: x.Reason, Attempts: x.Attempts,
			ParkedAt: x.ParkedAt, Retry: x.Retry, Dropped: x.Dropped}
	}
	return out
}

func parked(x runner.Pointer) searchindex.Parked {
	return searchindex.Parked{Stream: x.Stream, Offset: x.Offset, Reason: x.Reason, Attempts: x.Attempts,
		ParkedAt: x.ParkedAt, Retry: x.Retry, Dropped: x.Dropped}
}
