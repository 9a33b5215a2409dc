package query

import (
	"context"
	"fmt"
	"time"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// At is a point in a stream's history. The zero At is now. At most one field may be set.
type At struct {
	// Version is the state after that many events.
	Version event.Version
	// RecordedAt is the state as it was known then: all events recorded by then.
	RecordedAt time.Time
	// EffectiveAt is the state of the world then, as it is known now: all events that happened by then,
	// in the order of their versions.
	EffectiveAt time.Time
}

// where bounds the events to read. Recorded times never go back within a stream, so that what they bound
// is a prefix, as with versions; effective times do, so that every event has to be looked at.
func (a At) where(w *where) {
	switch {
	case a.Version > 0:
		w.add("version <= ?", int64(a.Version))
	case !a.RecordedAt.IsZero():
		w.add("recorded_time <= ?", a.RecordedAt)
	}
}

func (a At) includes(e *event.Envelope) bool {
	return a.EffectiveAt.IsZero() || !e.Time.After(a.EffectiveAt)
}

// EventError is an event that today's program cannot read.
type EventError struct {
	Aggregate string
	Stream    event.StreamID
	Version   event.Version
	Type      string
	// Err wraps event.ErrUndecodable or event.ErrUnknownType.
	Err error
}

// Error says which event it is and what is wrong with it.
func (e *EventError) Error() string {
	return fmt.Sprintf("state of %s/%s at version %d (%s): %v", e.Aggregate, e.Stream, e.Version, e.Type, e.Err)
}

// Unwrap returns what is wrong.
func (e *EventError) Unwrap() error { return e.Err }

// State folds a stream with its aggregate's own decider up to a point in its history. The snapshot's
// version and recorded time are those of the last event folded. A stream without events is
// event.ErrNotFound; one whose events all came later, or that has not reached the version, ErrNotYet. An
// event that today's program cannot read is an *EventError; a gap is event.ErrCorrupt.
func (h *History) State(ctx context.Context, aggregate string, stream event.StreamID, at At) (decider.Snapshot, error) {
	typ, err := h.typ(aggregate)
	if err != nil {
		return decider.Snapshot{}, err
	}
	doing := fmt.Sprintf("state of %s/%s", aggregate, stream)
	var w where
	w.add("aggregate = ?", aggregate)
	w.add("stream = ?", string(stream))
	at.where(&w)
	// Rows are folded as they arrive: a long stream is never in memory as a whole.
	rows, _ := h.pool.Query(ctx, eventSelect+w.String()+` ORDER BY version`, w.args...)
	defer rows.Close()
	snapshot, seen := typ.Begin(), event.Version(0)
	for rows.Next() {
		var e event.Envelope
		if err := scanEnvelope(rows, aggregate, &e); err != nil {
			return decider.Snapshot{}, storeError(ctx, doing, err)
		}
		if e.Version != seen+1 {
			return decider.Snapshot{}, fmt.Errorf("%s: %w: version %d follows %d", doing, event.ErrCorrupt, e.Version, seen)
		}
		if seen = e.Version; !at.includes(&e) {
			continue
		}
		if snapshot.State, err = typ.Apply(snapshot.State, &e); err != nil {
			return decider.Snapshot{}, &EventError{Aggregate: aggregate, Stream: stream, Version: e.Version, Type: e.Type, Err: err}
		}
		snapshot.Version, snapshot.RecordedTime = e.Version, e.RecordedTime
	}
	if err := rows.Err(); err != nil {
		return decider.Snapshot{}, storeError(ctx, doing, err)
	}
	if snapshot.Version > 0 && snapshot.Version >= at.Version {
		return snapshot, nil
	}
	if seen == 0 {
		if err := h.exists(ctx, aggregate, stream); err != nil {
			return decider.Snapshot{}, err
		}
	}
	return decider.Snapshot{}, fmt.Errorf("%s: %w", doing, ErrNotYet)
}
