package compare

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// join walks the three topics of a partition side by side, by the offsets of the commands: what the processor wrote
// stands there in the order of its commands. One goroutine uses it.
type join struct {
	aggregate                  string
	commands, outcomes, events *tail
	names                      record.Names

	// The heads of outcomes and events that have been read, but belong to a later command. The last offsets show that
	// they never go back.
	outcome                *event.Outcome
	event                  *event.Envelope
	lastOutcome, lastEvent int64
	foreign                int64
	// lost is where the events topic goes on after the last accepted loss of commands: events before it are of commands that are
	// lost, whose offsets mean something else by now.
	lost int64
}

// lostCommand is the offset of a command that was lost.
const lostCommand = -1

// recorded is what was kept of one command.
type recorded struct {
	command *kgo.Record
	// outcome is nil where it has expired, or was never written.
	outcome *event.Outcome
	// events are the command's own.
	events []event.Envelope
	// open: the outcome stands before the end of its topic, its events behind that of theirs: they were just being committed.
	open bool
}

// next reads on to the next command; false at the end. On the way past gets the events of commands that are not there any
// more, however many. The slice is valid until the next call.
func (j *join) next(ctx context.Context, into *recorded, past func(*event.Envelope) error) (ok bool, err error) {
	*into = recorded{events: into.events[:0]}
	r, err := j.commands.record(ctx)
	if err != nil {
		return false, err
	}
	if r == nil {
		return false, j.rest(ctx, past)
	}
	into.command = r
	for {
		e, err := j.peekEvent(ctx)
		if err != nil {
			return false, err
		}
		if e == nil || e.CommandOffset > r.Offset {
			break
		}
		if e.CommandOffset == r.Offset {
			into.events = append(into.events, *e)
		} else if err := past(e); err != nil {
			return false, err
		}
		j.event = nil
	}
	for {
		o, err := j.peekOutcome(ctx)
		if err != nil {
			return false, err
		}
		if o == nil || o.CommandOffset > r.Offset {
			break
		}
		if o.CommandOffset == r.Offset {
			into.outcome = o
		}
		j.outcome = nil
	}
	into.open = into.outcome != nil && len(into.outcome.Events) > len(into.events) && !into.outcome.Replayed && j.event == nil
	return true, nil
}

// rest hands out the events behind the last command.
func (j *join) rest(ctx context.Context, past func(*event.Envelope) error) error {
	for {
		e, err := j.peekEvent(ctx)
		if err != nil || e == nil {
			return err
		}
		if err := past(e); err != nil {
			return err
		}
		j.event = nil
	}
}

func (j *join) peekEvent(ctx context.Context) (*event.Envelope, error) {
	for j.event == nil {
		r, err := j.events.record(ctx)
		if r == nil || err != nil {
			return nil, err
		}
		var env event.Envelope
		if err := record.ParseEvent(r, j.aggregate, &j.names, &env); err != nil {
			if errors.Is(err, event.ErrForeign) {
				j.foreign++
				continue
			}
			return nil, err
		}
		if r.Offset < j.lost {
			env.CommandOffset = lostCommand
		} else if err := ordered(r, &j.lastEvent, env.CommandOffset); err != nil {
			return nil, err
		}
		j.event = &env
	}
	return j.event, nil
}

func (j *join) peekOutcome(ctx context.Context) (*event.Outcome, error) {
	for j.outcome == nil {
		r, err := j.outcomes.record(ctx)
		if r == nil || err != nil {
			return nil, err
		}
		o, err := record.ParseOutcome(r, j.aggregate, &j.names)
		if errors.Is(err, event.ErrForeign) {
			j.foreign++
			continue
		}
		if err != nil {
			return nil, err
		}
		if err := ordered(r, &j.lastOutcome, o.CommandOffset); err != nil {
			return nil, err
		}
		j.outcome = &o
	}
	return j.outcome, nil
}

// ordered fails where the offsets of commands start again: the commands topic was lost, and made anew, and nobody has accepted that.
func ordered(r *kgo.Record, last *int64, offset int64) error {
	if offset < *last {
		return fmt.Errorf("%w: %s/%d@%d is about command %d after one about command %d: the commands topic was lost and began again, "+
			"and what was decided before cannot be told from what was decided since until `cqrsflow topology accept-loss` has accepted that",
			event.ErrCorrupt, r.Topic, r.Partition, r.Offset, offset, *last)
	}
	*last = offset
	return nil
}
