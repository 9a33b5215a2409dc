package reactor

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/partlog"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// drainLimit bounds how many parked events are tried again in one transaction.
const drainLimit = 500

// drain tries again what operators marked, in transactions of their own, between those of what is polled.
func (t *transactor) drain(ctx context.Context) error {
	for _, st := range t.r.stands.all() {
		for ctx.Err() == nil {
			if st.stale {
				if err := t.catchUp(ctx, st, nil); err != nil {
					return err
				}
			}
			due := st.parking.due(drainLimit)
			if len(due) == 0 {
				break
			}
			recs, err := t.reread(ctx, st, due)
			if err != nil && !errors.Is(err, event.ErrCorrupt) {
				if ctx.Err() == nil {
					t.r.cfg.Logger.Warn("parked events could not be read again; it is tried again", "error", err)
				}
				break
			}
			if err := t.revisit(ctx, st, due, recs, err); err != nil {
				return err
			}
			if !t.committed {
				return nil // the group is rebalancing: what is assigned now, the next look sees
			}
		}
	}
	return nil
}

// reread reads the events that are to be tried again.
func (t *transactor) reread(ctx context.Context, st *stand, due []pointer) (map[int64]*kgo.Record, error) {
	var offsets []int64
	for _, ptr := range due {
		if !ptr.Dropped {
			offsets = append(offsets, ptr.Offset)
		}
	}
	if len(offsets) == 0 {
		return nil, nil
	}
	recs, err := partlog.At(ctx, t.r.cfg.Client, st.topic, st.partition, offsets)
	out := map[int64]*kgo.Record{}
	for _, rec := range recs {
		out[rec.Offset] = rec
	}
	return out, err
}

// revisit makes one transaction of parked events; lost, where not nil, says that the log has not all of them any more.
func (t *transactor) revisit(ctx context.Context, st *stand, due []pointer, recs map[int64]*kgo.Record, lost error) error {
	if err := t.s.Begin(); err != nil {
		return fmt.Errorf("%w: begin a transaction: %w", event.ErrUnavailable, err)
	}
	s := newStep()
	c := s.change(st)
	last := map[event.StreamID]int64{}
	for _, ptr := range due {
		last[ptr.Stream] = ptr.Offset
		if first, fresh := c.fresh[ptr.Stream]; fresh {
			again := behind(ptr.Stream, ptr.Offset, ptr.version, first)
			again.Attempts, again.ParkedAt = ptr.Attempts, ptr.ParkedAt
			c.put = append(c.put, again)
			continue
		}
		if ptr.Dropped {
			c.remove = append(c.remove, ptr.Offset)
			t.r.cfg.Logger.Warn("a parked event was given up, as an operator asked", "aggregate", st.aggregate, "stream", ptr.Stream, "offset", ptr.Offset)
			continue
		}
		cmds, err := t.again(st, &ptr, recs[ptr.Offset], lost)
		if err != nil {
			c.fresh[ptr.Stream] = ptr.Offset
			refusal := refused(ptr.Stream, ptr.Offset, ptr.version, err, ptr.Attempts+1)
			refusal.ParkedAt = ptr.ParkedAt
			c.put = append(c.put, refusal)
			t.r.cfg.Logger.Error("a parked event still cannot be reacted to", "aggregate", st.aggregate, "stream", ptr.Stream, "offset", ptr.Offset, "error", err)
			continue
		}
		c.remove = append(c.remove, ptr.Offset)
		t.send(s, cmds)
	}
	for stream, offset := range last {
		c.carry(st.parking, stream, offset)
	}
	err := t.flush(s)
	if err == nil {
		err = t.fence(ctx, st)
	}
	return t.end(ctx, s, err)
}

// again reacts to a parked event with today's code. One that is not wanted any more causes nothing.
func (t *transactor) again(st *stand, ptr *pointer, rec *kgo.Record, lost error) ([]*kgo.Record, error) {
	if lost != nil {
		return nil, lost
	}
	var e event.Recorded
	err := record.ParseEvent(rec, st.aggregate, &t.names, &e.Envelope)
	switch {
	case err != nil:
		return nil, err
	case e.Stream != ptr.Stream || e.Version != ptr.version:
		return nil, fmt.Errorf("%w: %s/%d@%d is event %s now, not %s/%d: the topic was made again", event.ErrCorrupt, st.topic, st.partition, ptr.Offset,
			e.ID(), ptr.Stream, ptr.version)
	case !t.r.wants[st.aggregate][e.Type]:
		return nil, nil
	}
	return t.commands(st, &e)
}

// carry takes the operator's mark off a stream that was tried up to the offset. Where more is parked of it, which is more
// than one transaction takes, that goes on with the next, after a restart as well; but not where it is parked anew: a
// stream is tried once a mark, not for ever.
func (c *change) carry(p *parking, stream event.StreamID, tried int64) {
	if _, marked := p.marks[stream]; marked {
		c.unmark = append(c.unmark, stream)
	}
	_, fresh := c.fresh[stream]
	rest := *p.lots[stream]
	i := slices.IndexFunc(rest, func(q pointer) bool { return q.Offset > tried })
	if i < 0 {
		return
	}
	for j, ptr := range rest[i:] {
		if want := !fresh && j == 0; ptr.Retry != want {
			ptr.Retry = want
			c.put = append(c.put, ptr)
		}
	}
}
