package query

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// HistoryModel is the read model of History; it reads every aggregate type.
var HistoryModel = Model{Name: "history"}

// History reads what has happened, stream by stream, from the projection history.
type History struct {
	pool  *pgxpool.Pool
	types map[string]*decider.Type
}

// NewHistory reads through the pool the streams of the registered aggregate types.
func NewHistory(pool *pgxpool.Pool, types ...*decider.Type) *History {
	h := &History{pool: pool, types: make(map[string]*decider.Type, len(types))}
	for _, t := range types {
		h.types[t.Name] = t
	}
	return h
}

// Event is an event of a stream. Exactly one of Body and Err is set: Err, wrapping event.ErrUndecodable or
// event.ErrUnknownType, where today's program cannot read what is recorded.
type Event struct {
	event.Recorded
	Err error
}

const eventSelect = `
SELECT stream, version, type, time, recorded_time, content_type, data, coalesce(causation_id, ''), coalesce(correlation_id, ''),
       coalesce(traceparent, ''), coalesce(principal, ''), command_offset, last_of_command, partition, event_offset
FROM history_events `

// Events returns the events of a stream after a version, oldest first, at most limit, and whether there
// are more. A stream without any event is event.ErrNotFound.
func (h *History) Events(ctx context.Context, aggregate string, stream event.StreamID, after event.Version, limit int) (events []Event, more bool, err error) {
	typ, err := h.typ(aggregate)
	if err != nil {
		return nil, false, err
	}
	rows, _ := h.pool.Query(ctx, eventSelect+`WHERE aggregate = $1 AND stream = $2 AND version > $3 ORDER BY version LIMIT $4`, aggregate, string(stream), int64(after), limit+1)
	events, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (Event, error) {
		var e Event
		if err := scanEnvelope(row, aggregate, &e.Envelope); err != nil {
			return e, err
		}
		e.Body, e.Err = typ.Codec.DecodeEvent(&e.Envelope)
		return e, nil
	})
	if err != nil {
		return nil, false, storeError(ctx, fmt.Sprintf("events of %s/%s", aggregate, stream), err)
	}
	if len(events) == 0 && after > 0 {
		err = h.exists(ctx, aggregate, stream)
	} else if len(events) == 0 {
		err = fmt.Errorf("stream %s/%s: %w", aggregate, stream, event.ErrNotFound)
	}
	if more = len(events) > limit; more {
		events = events[:limit]
	}
	return events, more, err
}

func scanEnvelope(row pgx.CollectableRow, aggregate string, e *event.Envelope) error {
	e.Aggregate = aggregate
	err := row.Scan(&e.Stream, &e.Version, &e.Type, &e.Time, &e.RecordedTime, &e.ContentType, &e.Data, &e.CausationID, &e.CorrelationID,
		&e.TraceParent, &e.Principal, &e.CommandOffset, &e.LastOfCommand, &e.Partition, &e.Offset)
	e.Time, e.RecordedTime = e.Time.UTC(), e.RecordedTime.UTC()
	return err
}

func (h *History) typ(aggregate string) (*decider.Type, error) {
	if t, ok := h.types[aggregate]; ok {
		return t, nil
	}
	return nil, fmt.Errorf("%w: aggregate type %q", event.ErrUnknownType, aggregate)
}

func (h *History) exists(ctx context.Context, aggregate string, stream event.StreamID) error {
	var found bool
	err := h.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM history_events WHERE aggregate = $1 AND stream = $2)`, aggregate, string(stream)).Scan(&found)
	switch {
	case err != nil:
		return storeError(ctx, fmt.Sprintf("look for stream %s/%s", aggregate, stream), err)
	case !found:
		return fmt.Errorf("stream %s/%s: %w", aggregate, stream, event.ErrNotFound)
	}
	return nil
}

// A command ID can have several outcomes. The accepted one is final, and the first of those, which is not
// a replay, has the events; otherwise the last attempt counts.
const outcomeSQL = `
SELECT kind, coalesce(code, ''), coalesce(message, ''), fields, version, events, coalesce(position, ''), replayed,
       coalesce(correlation_id, ''), coalesce(principal, ''), recorded_time, partition, command_offset, outcome_offset, digest
FROM history_outcomes WHERE aggregate = $1 AND stream = $2 AND command_id = $3
ORDER BY kind = $4 DESC, replayed, CASE WHEN kind = $4 THEN outcome_offset ELSE -outcome_offset END
LIMIT 1`

// Outcome returns what became of a command, without the state, or event.ErrNotFound. Of several attempts
// with one ID it is the accepted one, or else the last.
func (h *History) Outcome(ctx context.Context, aggregate string, stream event.StreamID, commandID string) (event.Outcome, error) {
	doing := fmt.Sprintf("outcome of command %q of %s/%s", commandID, aggregate, stream)
	if _, err := h.typ(aggregate); err != nil {
		return event.Outcome{}, err
	}
	rows, _ := h.pool.Query(ctx, outcomeSQL, aggregate, string(stream), commandID, int16(event.Accepted))
	outcomes, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (event.Outcome, error) {
		return scanOutcome(row, event.Outcome{Aggregate: aggregate, Stream: stream, CommandID: commandID})
	})
	switch {
	case err != nil:
		return event.Outcome{}, storeError(ctx, doing, err)
	case len(outcomes) == 0:
		return event.Outcome{}, fmt.Errorf("%s: %w", doing, event.ErrNotFound)
	}
	return outcomes[0], nil
}

func scanOutcome(row pgx.CollectableRow, o event.Outcome) (event.Outcome, error) {
	var kind int16
	var position string
	var fields, events []byte
	err := row.Scan(&kind, &o.Code, &o.Message, &fields, &o.Version, &events, &position, &o.Replayed,
		&o.CorrelationID, &o.Principal, &o.RecordedTime, &o.Partition, &o.CommandOffset, &o.Offset, &o.Digest)
	if err != nil {
		return o, err
	}
	o.Kind = event.Kind(kind)
	o.RecordedTime = o.RecordedTime.UTC()
	if len(fields) > 0 {
		if err := json.Unmarshal(fields, &o.Fields); err != nil {
			return o, fmt.Errorf("field errors: %w", err)
		}
	}
	if len(events) > 0 {
		var refs []struct {
			Type     string        `json:"type"`
			Sequence event.Version `json:"sequence"`
		}
		if err := json.Unmarshal(events, &refs); err != nil {
			return o, fmt.Errorf("events: %w", err)
		}
		for _, r := range refs {
			o.Events = append(o.Events, event.Ref{Type: r.Type, Version: r.Sequence})
		}
	}
	if position != "" {
		o.Position, err = event.ParsePosition(position)
	}
	return o, err
}
