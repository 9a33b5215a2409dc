package compare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// batchSize is how many decisions are handed to a version at a time.
const batchSize = 512

// replay compares one partition. One goroutine uses it.
type replay struct {
	cfg       *Config
	partition int32
	join      *join
	states    *states
	subjects  [2]*subject
	chosen    map[event.StreamID]bool // nil: all streams
	tally     *tally
	samples   *reservoir
	// served is the variant that decides live where no other was assigned.
	served string

	names record.Names
	batch []task
	// begun: a command of the partition that is still there has been seen.
	begun bool
}

// run replays to the end of what was there when it began.
func (r *replay) run(ctx context.Context) error {
	var rec recorded
	for {
		more, err := r.join.next(ctx, &rec, r.past)
		if err != nil {
			return err
		}
		if !more || rec.open {
			break
		}
		if err := r.command(&rec); err != nil {
			return err
		}
		if err := r.bound(len(r.batch) == batchSize); err != nil {
			return err
		}
		if r.subjects[control].out.Load() {
			break // there is nothing to compare with
		}
	}
	return r.flush()
}

// past folds an event of a command that is not there any more.
func (r *replay) past(e *event.Envelope) error {
	if !r.wants([]byte(e.Stream)) {
		return nil
	}
	if r.cfg.inRange(e.RecordedTime) && e.LastOfCommand {
		r.tally.expired++
		if e.CommandOffset == lostCommand {
			r.tally.lost++
		}
	}
	if err := r.fold(e); err != nil {
		return err
	}
	return r.bound(false)
}

// bound ends a batch that is full, and keeps the states within their memory.
func (r *replay) bound(full bool) error {
	if !full && r.states.used <= r.states.limit {
		return nil
	}
	if err := r.flush(); err != nil {
		return err
	}
	return r.states.trim()
}

func (r *replay) wants(stream []byte) bool {
	return r.chosen == nil || r.chosen[event.StreamID(stream)]
}

// command takes one command: into the batch, or past it, when its events, if there are any, are folded as they are.
func (r *replay) command(rec *recorded) error {
	if !r.wants(rec.command.Key) {
		return nil
	}
	at, why := r.decided(rec)
	if !r.begun && !at.IsZero() {
		r.begun = true
		if r.join.commands.from > 0 {
			r.tally.since = at
		}
	}
	var t task
	ok := why == "" && r.cfg.inRange(at)
	if ok {
		var err error
		if t, why, err = r.task(rec, at); err != nil {
			return err
		}
		ok = why == ""
	}
	if why != "" && (at.IsZero() || r.cfg.inRange(at)) {
		r.tally.skipped[why]++
	}
	if ok {
		r.tally.seen(at)
		if len(rec.events) > 0 {
			r.tally.changing++
		}
		t.entry.busy = true
		r.batch = append(r.batch, t)
		if r.cfg.Diverge {
			return nil
		}
	}
	for i := range rec.events {
		if err := r.fold(&rec.events[i]); err != nil {
			return err
		}
	}
	return nil
}

// decided says when a command was decided, and why it cannot be compared; nothing where it can.
func (r *replay) decided(rec *recorded) (at time.Time, why string) {
	o := rec.outcome
	if len(rec.events) > 0 {
		at = rec.events[0].RecordedTime
	} else if o != nil {
		at = o.RecordedTime
	}
	switch {
	case o == nil && len(rec.events) == 0:
		return at, "without_outcome"
	case o == nil:
		return at, "" // its events say that it was accepted
	case o.Replayed:
		return at, "repeated"
	case o.Kind == event.Accepted && len(o.Events) != len(rec.events):
		return at, "without_events"
	case o.Kind == event.Rejected && o.Code == "stream_undecodable":
		return at, "stream_undecodable"
	case o.Kind == event.Accepted || o.Kind == event.Rejected:
		return at, ""
	}
	return at, o.Kind.String()
}

// task makes the processor's view of a command again.
func (r *replay) task(rec *recorded, at time.Time) (t task, why string, err error) {
	if r.subjects[candidate].out.Load() {
		r.tally.uncompared++
		return t, "version_left_behind", nil
	}
	c, content, err := record.ParseCommand(rec.command, &r.names)
	if err != nil {
		return t, "unreadable", nil //nolint:nilerr // it was not when it was decided: the format has changed since
	}
	body, err := r.decode(c.Type, content, rec.command.Value)
	if err != nil {
		return t, "unreadable", nil //nolint:nilerr // as above
	}
	e, err := r.states.get(rec.command.Key)
	if err != nil {
		return t, "", err
	}
	if e.broken != "" {
		return t, "stream_undecodable", nil
	}
	if r.cfg.Diverge && e.busy { // its state is still being decided
		if err := r.flush(); err != nil {
			return t, "", err
		}
	}
	if c.Time.IsZero() {
		c.Time = at
	}
	c.Time, c.RecordedTime = c.Time.Truncate(time.Microsecond), at
	c.Principal, c.Auth = rec.principal(), ""
	t = task{entry: e, body: body, moves: r.cfg.Diverge, offset: rec.command.Offset}
	for i := range t.command {
		snap := &e.snaps[0]
		if e.split {
			snap = &e.snaps[i]
		}
		c.Version = snap.Version
		t.command[i], t.state[i] = c, snap.State
	}
	if o := rec.outcome; o != nil {
		t.variant = o.Variant
		t.past = verdict{rejected: o.Kind == event.Rejected, code: o.Code, message: o.Message}
	} else {
		t.variant = rec.events[0].Variant
	}
	if len(rec.events) > 0 {
		t.past.events = make([]written, len(rec.events))
		for i := range rec.events {
			ev := &rec.events[i]
			t.past.events[i] = written{ev.Type, ev.ContentType, ev.Data}
		}
	}
	return t, "", nil
}

// principal is who asked, as the processor had verified it.
func (rec *recorded) principal() string {
	if rec.outcome != nil {
		return rec.outcome.Principal
	}
	return rec.events[0].Principal
}

// decode is the codec's; one that panics has found the command unreadable.
func (r *replay) decode(typ, content string, data []byte) (body any, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			body, err = nil, fmt.Errorf("%w: panic: %v", event.ErrMalformed, reason)
		}
	}()
	return r.cfg.Type.Codec.DecodeCommand(typ, content, data)
}

// fold applies a recorded event to its stream, under both versions.
func (r *replay) fold(env *event.Envelope) error {
	e, err := r.states.get([]byte(env.Stream))
	if err != nil || e.broken != "" {
		return err
	}
	if r.cfg.Diverge && e.busy {
		if err := r.flush(); err != nil {
			return err
		}
	}
	r.tally.folded++
	n := 1
	if e.split {
		n = 2
	}
	for i := range n {
		if e.snaps[i], err = r.extend(e.snaps[i], env, r.cfg.Diverge); errors.Is(err, event.ErrCorrupt) {
			return fmt.Errorf("partition %d: %w", r.partition, err)
		} else if err != nil {
			e.broken = err.Error()
			return nil
		}
	}
	r.states.grow(e, n*len(env.Data))
	return nil
}

// extend is the type's, but for panics. Where versions diverge, versions of a stream's own need not follow on each other.
func (r *replay) extend(s decider.Snapshot, env *event.Envelope, loose bool) (next decider.Snapshot, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			err = fmt.Errorf("%w: fold %s: panic: %v", event.ErrUndecodable, env.ID(), reason)
		}
	}()
	if !loose {
		return r.cfg.Type.Extend(s, env)
	}
	state, err := r.cfg.Type.Apply(s.State, env)
	if err != nil {
		return s, err
	}
	return decider.Snapshot{State: state, Version: s.Version + 1, RecordedTime: env.RecordedTime}, nil
}
