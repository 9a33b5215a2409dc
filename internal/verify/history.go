package verify

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/eventlog"
	"github.com/cqrsflow/cqrsflow/query"
)

// Stream compares the history of one stream with the log, event by event, and folds both.
func Stream(ctx context.Context, l Log, pool *pgxpool.Pool, t *decider.Type, id event.StreamID) (*Report, error) {
	r := newReport("history", t.Name)
	var log []event.Envelope
	q := l.query(t.Name)
	q.Stream, q.Progress = id, l.Progress
	read, err := eventlog.Read(ctx, q, func(e *event.Envelope) error {
		c := *e
		c.Data = bytes.Clone(e.Data)
		log = append(log, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.Events, r.Foreign = read.Events, read.Foreign
	var recorded []event.Envelope
	h := query.NewHistory(pool, t)
	for more := true; more; {
		var page []query.Event
		page, more, err = h.Events(ctx, t.Name, id, event.Version(len(recorded)), 1000)
		if errors.Is(err, event.ErrNotFound) && len(recorded) == 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			recorded = append(recorded, e.Envelope)
		}
	}
	if len(log) == 0 && len(recorded) == 0 {
		return nil, fmt.Errorf("stream %s/%s: %w", t.Name, id, event.ErrNotFound)
	}
	compareStreams(r, t, log, recorded)
	return r, nil
}

func compareStreams(r *Report, t *decider.Type, log, recorded []event.Envelope) {
	r.Compared = len(log)
	for i := range max(len(log), len(recorded)) {
		switch {
		case i >= len(log):
			r.Newer++
		case i >= len(recorded):
			r.differ(Missing, log[i].ID(), "")
		default:
			for _, d := range differing(&log[i], &recorded[i]) {
				r.differ(Different, log[i].ID(), "%s", d)
			}
		}
	}
	a, err := foldAll(t, log)
	if err != nil {
		r.differ(Corrupt, "the log", "%v", err)
		return
	}
	b, err := foldAll(t, recorded[:min(len(recorded), len(log))])
	switch {
	case err != nil:
		r.differ(Corrupt, "history", "%v", err)
	case a != b:
		r.differ(Different, "the state", "folded from history is not the one folded from the log")
	}
}

func foldAll(t *decider.Type, events []event.Envelope) (folded, error) {
	s := t.Begin()
	for i := range events {
		var err error
		if s, err = t.Extend(s, &events[i]); err != nil {
			return folded{}, err
		}
	}
	if len(events) == 0 {
		return folded{}, nil
	}
	return foldedOf(t, events[0].Stream, s)
}

// differing names the fields in which history differs from the log. Times are kept with microseconds there.
func differing(log, history *event.Envelope) (out []string) {
	field := func(name string, a, b any) {
		if a != b {
			out = append(out, fmt.Sprintf("%s is %v, in the log %v", name, b, a))
		}
	}
	micro := func(t time.Time) string { return t.UTC().Truncate(time.Microsecond).Format(time.RFC3339Nano) }
	field("the version", log.Version, history.Version)
	field("the type", log.Type, history.Type)
	field("the time", micro(log.Time), micro(history.Time))
	field("the recorded time", micro(log.RecordedTime), micro(history.RecordedTime))
	field("the causation ID", log.CausationID, history.CausationID)
	field("the correlation ID", log.CorrelationID, history.CorrelationID)
	field("the trace parent", log.TraceParent, history.TraceParent)
	field("the principal", log.Principal, history.Principal)
	field("the command's offset", log.CommandOffset, history.CommandOffset)
	field("last of its command", log.LastOfCommand, history.LastOfCommand)
	field("the partition", log.Partition, history.Partition)
	field("the offset", log.Offset, history.Offset)
	field("the content type", log.ContentType, history.ContentType)
	if !bytes.Equal(log.Data, history.Data) {
		out = append(out, "the body is not the same")
	}
	return out
}

// chain is a stream's events as one hash: equal chains, equal events.
type chain struct {
	version event.Version
	sum     sum
}

func (c chain) next(e *event.Envelope) chain {
	h := sha256.New()
	number := func(n int64) {
		var b [8]byte
		binary.BigEndian.PutUint64(b[:], uint64(n))
		_, _ = h.Write(b[:]) // a hash takes everything
	}
	text := func(s string) { number(int64(len(s))); _, _ = h.Write([]byte(s)) }
	_, _ = h.Write(c.sum[:])
	number(int64(e.Version))
	text(e.Type)
	number(e.Time.UnixMicro())
	number(e.RecordedTime.UnixMicro())
	text(e.CausationID)
	text(e.CorrelationID)
	text(e.TraceParent)
	text(e.Principal)
	number(e.CommandOffset)
	if e.LastOfCommand {
		text("last")
	}
	number(int64(e.Partition))
	number(e.Offset)
	text(e.ContentType)
	number(int64(len(e.Data)))
	_, _ = h.Write(e.Data)
	return chain{e.Version, sum(h.Sum(nil)[:16])}
}

// History compares the whole history of an aggregate type with the log.
func History(ctx context.Context, l Log, pool *pgxpool.Pool, t *decider.Type) (*Report, error) {
	r := newReport("history", t.Name)
	streams := map[event.StreamID]chain{}
	q := l.query(t.Name)
	q.Progress = l.Progress
	read, err := eventlog.Read(ctx, q, func(e *event.Envelope) error {
		c := streams[e.Stream]
		if e.Version != c.version+1 {
			r.differ(Corrupt, e.ID(), "version %d follows %d", e.Version, c.version)
		}
		streams[e.Stream] = c.next(e)
		return nil
	})
	if err != nil {
		return nil, err
	}
	r.Events, r.Foreign, r.Compared = read.Events, read.Foreign, len(streams)
	stored := map[event.StreamID]chain{}
	err = eachStored(ctx, pool, t.Name, func(e *event.Envelope) {
		if e.Offset >= read.Through[e.Partition] {
			r.Newer++
			return
		}
		stored[e.Stream] = stored[e.Stream].next(e)
	})
	if err != nil {
		return nil, err
	}
	for id, want := range streams {
		got, ok := stored[id]
		switch {
		case !ok:
			r.drifted(Missing, id, "")
		case got.version != want.version:
			r.drifted(Different, id, "it ends at version %d, in the log at %d", got.version, want.version)
		case got != want:
			r.drifted(Different, id, "`cqrsflow stream verify %s/%s` says in what", t.Name, id)
		}
	}
	for id := range stored {
		if _, ok := streams[id]; !ok {
			r.drifted(Extra, id, "")
		}
	}
	return r, nil
}

// eachStored reads the history of an aggregate type, each stream's events in order.
func eachStored(ctx context.Context, pool *pgxpool.Pool, aggregate string, f func(*event.Envelope)) error {
	rows, err := pool.Query(ctx, `
SELECT stream, version, type, time, recorded_time, content_type, data, coalesce(causation_id, ''), coalesce(correlation_id, ''),
       coalesce(traceparent, ''), coalesce(principal, ''), command_offset, last_of_command, partition, event_offset
FROM history_events WHERE aggregate = $1 ORDER BY stream, version`, aggregate)
	if err != nil {
		return fmt.Errorf("%w: read history: %w", event.ErrUnavailable, err)
	}
	e := event.Envelope{Aggregate: aggregate}
	_, err = pgx.ForEachRow(rows, []any{&e.Stream, &e.Version, &e.Type, &e.Time, &e.RecordedTime, &e.ContentType, &e.Data, &e.CausationID,
		&e.CorrelationID, &e.TraceParent, &e.Principal, &e.CommandOffset, &e.LastOfCommand, &e.Partition, &e.Offset}, func() error {
		f(&e)
		return nil
	})
	if err != nil {
		return fmt.Errorf("%w: read history: %w", event.ErrUnavailable, err)
	}
	return nil
}
