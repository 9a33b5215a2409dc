package reactor

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// maxCommand bounds a command's body: what Kafka's clients and brokers take by default, less headers.
const maxCommand = 900 << 10

// step is one transaction: what it has sent, and what it makes of what is parked once it is committed.
type step struct {
	changes          map[*stand]*change
	events, commands int
	parked           int

	sent   sync.WaitGroup
	failed struct {
		sync.Mutex
		err error
	}
}

// change is what a transaction changes of what is parked of a partition.
type change struct {
	put    []pointer
	remove []int64
	unmark []event.StreamID
	// fresh are streams that are parked in this transaction, and from which offset on.
	fresh map[event.StreamID]int64
}

func newStep() *step { return &step{changes: map[*stand]*change{}} }

func (s *step) change(st *stand) *change {
	c := s.changes[st]
	if c == nil {
		c = &change{fresh: map[event.StreamID]int64{}}
		s.changes[st] = c
	}
	return c
}

// batch makes one transaction of what was polled.
func (t *transactor) batch(ctx context.Context, fetches kgo.Fetches) error {
	gone := false
	var err error
	fetches.EachPartition(func(f kgo.FetchTopicPartition) {
		st := t.r.stands.get(place{f.Topic, f.Partition})
		if gone = gone || st == nil; !gone && st.stale && err == nil {
			err = t.catchUp(ctx, st, nil)
		}
	})
	if err != nil {
		return err
	}
	if err := t.s.Begin(); err != nil {
		return fmt.Errorf("%w: begin a transaction: %w", event.ErrUnavailable, err)
	}
	s := newStep()
	if gone { // the group took a partition after it was polled
		return t.end(ctx, s, fmt.Errorf("%w: a partition was taken", event.ErrFenced))
	}
	for it := fetches.RecordIter(); !it.Done(); {
		rec := it.Next()
		if st := t.r.stands.get(place{rec.Topic, rec.Partition}); st != nil {
			t.event(s, st, rec)
			continue
		}
		return t.end(ctx, s, fmt.Errorf("%w: a partition was taken", event.ErrFenced))
	}
	return t.end(ctx, s, t.flush(s))
}

// event reacts to an event, or sets it aside.
func (t *transactor) event(s *step, st *stand, rec *kgo.Record) {
	var e event.Recorded
	if !t.wanted(st, rec, &e) {
		return
	}
	c := s.change(st)
	ptr, known := st.parking.at(rec.Offset)
	switch {
	case known && ptr.Stream == e.Stream && ptr.version == e.Version:
		return // parked by a transaction that was taken for aborted
	case known: // of a log that was lost: the pointer would hide the event if it stayed
		st.parking.remove(rec.Offset)
		defer func() {
			if len(c.put) == 0 || c.put[len(c.put)-1].Offset != rec.Offset {
				c.remove = append(c.remove, rec.Offset)
			}
		}()
	}
	first, held := c.fresh[e.Stream]
	if !held {
		first, held = st.parking.holds(e.Stream)
	}
	if held {
		c.put = append(c.put, behind(e.Stream, e.Offset, e.Version, first))
		s.parked++
		return
	}
	recs, err := t.commands(st, &e)
	if err != nil {
		c.fresh[e.Stream] = e.Offset
		c.put = append(c.put, refused(e.Stream, e.Offset, e.Version, err, 1))
		s.parked++
		t.r.cfg.Logger.Error("an event cannot be reacted to; its stream is parked", "aggregate", st.aggregate, "stream", e.Stream,
			"partition", st.partition, "offset", e.Offset, "error", err)
		return
	}
	t.send(s, recs)
}

// wanted reads an event's headers, and says whether the reactor has anything to do with it.
func (t *transactor) wanted(st *stand, rec *kgo.Record, e *event.Recorded) bool {
	if rec.Attrs.IsControl() {
		return false
	}
	if err := record.ParseEvent(rec, st.aggregate, &t.names, &e.Envelope); err != nil {
		t.r.mu.Lock()
		t.r.mu.status.Foreign++
		t.r.mu.Unlock()
		return false
	}
	return t.r.wants[st.aggregate][e.Type]
}

// commands are the records that an event causes.
func (t *transactor) commands(st *stand, e *event.Recorded) ([]*kgo.Record, error) {
	caused, err := t.react(st, e)
	if err != nil {
		return nil, err
	}
	out := make([]*kgo.Record, 0, len(caused))
	for i, c := range caused {
		n, ok := t.r.partitions[c.Aggregate]
		switch {
		case !ok:
			return nil, fmt.Errorf("%w: it caused a command for %q, which is none of the targets", event.ErrConfig, c.Aggregate)
		case len(c.Data) > maxCommand:
			return nil, fmt.Errorf("%w: it caused a %s of %d bytes; %d are allowed", event.ErrInvalid, c.Type, len(c.Data), maxCommand)
		}
		if err := event.CheckStreamID(c.Stream); err != nil {
			return nil, fmt.Errorf("it caused a %s: %w", c.Type, err)
		}
		cmd := event.Command{ID: CommandID(t.r.cfg.Name, &e.Envelope, i), Type: c.Type, Stream: c.Stream, Time: e.Time,
			ExpectedVersion: event.AnyVersion, CausationID: e.ID(), CorrelationID: e.CorrelationID, TraceParent: e.TraceParent}
		if t.r.cfg.Sign != nil {
			if err := t.r.cfg.Sign(&cmd, c.ContentType, c.Data); err != nil {
				return nil, fmt.Errorf("it caused a %s: %w", c.Type, err)
			}
		}
		out = append(out, t.enc.Command(&cmd, topology.TopicsOf(t.r.cfg.Prefix, c.Aggregate).Commands,
			topology.PartitionOfStream(c.Stream, n), c.ContentType, c.Data))
	}
	return out, nil
}

// react decodes the event and calls the reaction. A panic of either is an error of the event.
func (t *transactor) react(st *stand, e *event.Recorded) (caused []Command, err error) {
	defer func() {
		if why := recover(); why != nil {
			caused, err = nil, fmt.Errorf("the reaction panicked: %v", why)
			t.r.cfg.Logger.Error("the reaction panicked", "event", e.ID(), "type", e.Type, "panic", fmt.Sprint(why), "stack", string(debug.Stack()))
		}
	}()
	if e.Body, err = t.r.cfg.Aggregates[st.aggregate].Codec.DecodeEvent(&e.Envelope); err != nil {
		return nil, err
	}
	return t.r.cfg.React(e)
}

// send produces the commands of an event.
func (t *transactor) send(s *step, recs []*kgo.Record) {
	if len(recs) > 0 {
		s.events++
	}
	s.commands += len(recs)
	for _, rec := range recs {
		t.produce(s, rec)
	}
}

func (t *transactor) produce(s *step, rec *kgo.Record) {
	s.sent.Add(1)
	t.s.Produce(context.Background(), rec, func(_ *kgo.Record, err error) {
		defer s.sent.Done()
		if err != nil {
			s.failed.Lock()
			s.failed.err = errors.Join(s.failed.err, err)
			s.failed.Unlock()
		}
	})
}

// flush sends what changes of what is parked and waits for the result of every record: a transaction commits what
// succeeded, whatever else failed.
func (t *transactor) flush(s *step) error {
	var err error
	for st, c := range s.changes {
		for i := range c.put {
			rec, perr := st.parked.put(t.r.cfg.Name, &c.put[i])
			if perr != nil {
				err = errors.Join(err, perr)
				continue
			}
			t.produce(s, rec)
		}
		for _, offset := range c.remove {
			t.produce(s, st.parked.record(pointerKey(t.r.cfg.Name, offset), nil))
		}
		for _, stream := range c.unmark {
			t.produce(s, st.parked.record(markKey(t.r.cfg.Name, stream), nil))
		}
	}
	s.sent.Wait()
	if s.failed.err != nil {
		err = errors.Join(err, fmt.Errorf("%w: send commands: %w", event.ErrUnavailable, s.failed.err))
	}
	return err
}

// end ends the transaction, with a commit unless err keeps it from that, and takes over into memory what is parked now.
// Its error ends the session.
func (t *transactor) end(ctx context.Context, s *step, err error) error {
	s.sent.Wait()
	if err != nil && !errors.Is(err, event.ErrFenced) {
		t.r.cfg.Logger.Warn("a transaction is aborted", "error", err)
	}
	// Its context is never cancelled: an end that was cancelled in between leaves the outcome unknown.
	committed, endErr := t.s.End(t.r.marked(context.WithoutCancel(ctx)), kgo.TransactionEndTry(err == nil))
	t.enc.Reset()
	t.committed = committed && endErr == nil
	switch {
	case endErr != nil:
		return fmt.Errorf("%w: end a transaction: %w", event.ErrOutcomeUnknown, endErr)
	case err != nil && !errors.Is(err, event.ErrFenced):
		return err
	case !committed: // a rebalance came in between, as far as one knows: the events are read again
		for _, st := range t.r.stands.all() {
			st.stale = true
		}
		return nil
	}
	for st, c := range s.changes {
		for _, ptr := range c.put {
			st.parking.put(ptr)
		}
		for _, offset := range c.remove {
			st.parking.remove(offset)
		}
		for _, stream := range c.unmark {
			delete(st.parking.marks, stream)
		}
		st.changed()
	}
	t.r.done(s)
	return nil
}

// idle is called when there was nothing to do: what went wrong before is over.
func (r *Reactor) idle() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.status.Joined {
		r.mu.status.Reason, r.mu.failing = "", time.Time{}
	}
}

func (r *Reactor) done(s *step) {
	r.mu.Lock()
	r.mu.status.Events += int64(s.events)
	r.mu.status.Commands += int64(s.commands)
	r.mu.status.SetAside += int64(s.parked)
	r.mu.status.Transactions++
	r.mu.status.Reason, r.mu.failing = "", time.Time{}
	r.mu.Unlock()
	if s.parked > 0 && r.cfg.OnParked != nil {
		r.cfg.OnParked(s.parked)
	}
}
