package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

// blame finds the event that a batch failed for, by applying parts of the batch in transactions that
// are always rolled back: first halves of its streams, then the events of the one that fails. cause is
// what the batch failed with; it is returned where no part fails on its own.
func (s *session) blame(ctx context.Context, b *runner.Batch, cause error) error {
	streams := streamsOf(b)
	if len(streams) == 0 {
		return s.sink.failed(ctx, "apply a batch", cause)
	}
	for len(streams) > 1 {
		half := streams[:len(streams)/2]
		err := s.rehearse(ctx, b, func(stream event.StreamID, _ int64) bool { return slices.Contains(half, stream) })
		switch {
		case err == nil:
			streams = streams[len(streams)/2:]
		case s.isData(err):
			streams = half
		default:
			return err
		}
	}
	// The shortest prefix of the stream that fails ends with the event at fault.
	stream := streams[0]
	offsets := offsetsOf(b, stream)
	good, bad := 0, len(offsets)
	var fault error
	for good < bad {
		n := (good + bad) / 2
		last := offsets[n]
		err := s.rehearse(ctx, b, func(id event.StreamID, offset int64) bool { return id == stream && offset <= last })
		switch {
		case err == nil:
			good = n + 1
		case s.isData(err):
			bad, fault = n, err
		default:
			return err
		}
	}
	if fault == nil {
		return fmt.Errorf("PostgreSQL: a batch of %s fails, but no part of it does: %w", s.sink.model.Name(), cause)
	}
	return &runner.Poison{Offset: offsets[good], Stream: stream, Err: explain(fault)}
}

func (s *session) isData(err error) bool {
	var p *runner.Poison
	return errors.As(err, &p) || classify(err) == data
}

// explain leaves out of a panic what only a log should have.
func explain(err error) error {
	var p *panicked
	if errors.As(err, &p) {
		return fmt.Errorf("%w: %v", p, p.value)
	}
	return err
}

var errRehearsed = errors.New("rehearsed")

// rehearse applies the chosen part of a batch and takes it back.
func (s *session) rehearse(ctx context.Context, b *runner.Batch, choose func(event.StreamID, int64) bool) error {
	part := *b
	part.Events, part.Outcomes = nil, nil
	for _, e := range b.Events {
		if choose(e.Stream, e.Offset) {
			part.Events = append(part.Events, e)
		}
	}
	for _, o := range b.Outcomes {
		if choose(o.Stream, o.Offset) {
			part.Outcomes = append(part.Outcomes, o)
		}
	}
	err := pgx.BeginFunc(ctx, s.sink.store.pool, func(tx pgx.Tx) error {
		if err := began(tx.QueryRow(ctx, begin, s.sink.model.Name(), s.sink.version)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, inside, SchemaOf(s.sink.model.Name(), s.sink.version)); err != nil {
			return err
		}
		if err := s.change(ctx, tx, &part); err != nil {
			return err
		}
		return errRehearsed
	})
	switch {
	case errors.Is(err, errRehearsed):
		return nil
	case errors.Is(err, errHeld):
		return fmt.Errorf("%w: PostgreSQL: version %d of %s is held still", event.ErrUnavailable, s.sink.version, s.sink.model.Name())
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !s.isData(err):
		return s.sink.failed(ctx, "look for the event at fault", err)
	}
	return err
}

func streamsOf(b *runner.Batch) []event.StreamID {
	seen := map[event.StreamID]bool{}
	var out []event.StreamID
	add := func(s event.StreamID) {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	for i := range b.Events {
		add(b.Events[i].Stream)
	}
	for i := range b.Outcomes {
		add(b.Outcomes[i].Stream)
	}
	return out
}

func offsetsOf(b *runner.Batch, stream event.StreamID) []int64 {
	var out []int64
	for i := range b.Events {
		if b.Events[i].Stream == stream {
			out = append(out, b.Events[i].Offset)
		}
	}
	for i := range b.Outcomes {
		if b.Outcomes[i].Stream == stream {
			out = append(out, b.Outcomes[i].Offset)
		}
	}
	return out
}

// Text makes a string fit for PostgreSQL's text and jsonb, which hold neither U+0000 nor invalid UTF-8:
// the replacement character stands for both.
func Text(s string) string {
	if utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
