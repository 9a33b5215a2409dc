package runner

import (
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// verdict says what a batch does with a record.
type verdict int

const (
	// apply: it goes to the sink.
	apply verdict = iota
	// pass: it only moves the checkpoint: a marker, a type that is not wanted.
	pass
	// foreign: cqrsflow did not write it.
	foreign
	// poison: it cannot be decoded; its stream is parked.
	poison
	// halt: it is of a type that nothing is registered for, and the projection wants everything.
	halt
)

// reader turns the records of one partition into events or outcomes. It is not safe for concurrent use.
type reader struct {
	p     Partition
	typ   *decider.Type
	raw   bool
	wants map[string]bool // nil wants everything
	known map[string]bool
	names record.Names
}

func newReader(c *Config, p Partition) *reader {
	t := c.Aggregates[p.Aggregate]
	r := &reader{p: p, typ: t, raw: c.Raw, known: map[string]bool{}}
	for _, typ := range t.Events {
		r.known[typ] = true
	}
	if wants := c.Wants[p.Aggregate]; len(wants) > 0 {
		r.wants = map[string]bool{}
		for _, typ := range wants {
			r.wants[typ] = true
		}
	}
	return r
}

// envelope reads a record's headers into e, and says whether the projection has anything to do with it.
func (r *reader) envelope(rec *kgo.Record, e *event.Envelope) (verdict, error) {
	if err := record.ParseEvent(rec, r.p.Aggregate, &r.names, e); err != nil {
		return foreign, err
	}
	switch {
	case r.wants != nil && !r.wants[e.Type]:
		return pass, nil
	case !r.raw && !r.known[e.Type]:
		return halt, fmt.Errorf("%w: event %s of %s at offset %d is a %s, which nothing is registered for; "+
			"this projection wants every event, so it waits for a program that knows it",
			event.ErrUnknownType, e.ID(), r.p.Aggregate, e.Offset, e.Type)
	}
	return apply, nil
}

// body decodes the event's body, unless the projection is raw.
func (r *reader) body(e *event.Recorded) error {
	if r.raw {
		return nil
	}
	body, err := r.typ.Codec.DecodeEvent(&e.Envelope)
	if err != nil {
		return err
	}
	e.Body = body
	return nil
}

// outcome reads an outcome.
func (r *reader) outcome(rec *kgo.Record) (event.Outcome, verdict, error) {
	o, err := record.ParseOutcome(rec, r.p.Aggregate, &r.names)
	switch {
	case err == nil:
		return o, apply, nil
	case errors.Is(err, event.ErrForeign):
		return o, foreign, err
	}
	return o, poison, err
}
