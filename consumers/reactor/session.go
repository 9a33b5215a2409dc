package reactor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// poison is an event that cannot be reacted to.
type poison struct {
	rec *kgo.Record
	err error
}

func (p *poison) Error() string {
	return fmt.Sprintf("event at %s/%d@%d: %v", p.rec.Topic, p.rec.Partition, p.rec.Offset, p.err)
}

func (p *poison) Unwrap() error { return p.err }

// session is one transactional member of the group, until an error leaves a transaction's outcome unknown.
func (r *Reactor) session(ctx context.Context) error {
	var topics []string
	for topic := range r.topics {
		topics = append(topics, topic)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s, err := kgo.NewGroupTransactSession(append(append([]kgo.Opt{}, r.cfg.Client...),
		kgo.ConsumerGroup(r.group),
		kgo.ConsumeTopics(topics...),
		kgo.SessionTimeout(r.cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, r.cfg.SessionTimeout/3)),
		kgo.Balancers(kgo.CooperativeStickyBalancer()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.KeepControlRecords(), // so that the committed offset passes a transaction's marker and lag becomes 0
		kgo.TransactionalID(r.group+"-"+r.cfg.Instance),
		kgo.TransactionTimeout(10*time.Second),
		kgo.RecordDeliveryTimeout(10*time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.mu.status.Joined = true
		}),
		kgo.AdjustFetchOffsetsFn(func(_ context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			for topic, partitions := range offsets {
				for n, o := range partitions {
					if o.EpochOffset().Offset < 0 {
						err := fmt.Errorf("%w: reactor %s has no committed offset on %s/%d any more", event.ErrConfig, r.cfg.Name, topic, n)
						cancel(err)
						return nil, err
					}
				}
			}
			return offsets, nil
		}),
	)...)
	if err != nil {
		return fmt.Errorf("%w: reactor %s: Kafka client: %w", event.ErrConfig, r.cfg.Name, err)
	}
	defer s.Close()
	// At once, not with the first record: it aborts what an earlier session left open, whose pending
	// offsets would keep this one waiting for the transaction's timeout.
	if _, _, err := s.Client().ProducerID(ctx); err != nil {
		return fmt.Errorf("%w: reactor %s: take over its transactional ID: %w", event.ErrUnavailable, r.cfg.Name, err)
	}
	t := transactor{r: r, s: s, limit: r.cfg.BatchRecords}
	for ctx.Err() == nil {
		if err := t.once(ctx); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// transactor makes the transactions of one session.
type transactor struct {
	r     *Reactor
	s     *kgo.GroupTransactSession
	limit int // events of the next transaction
	alone int // how many more are to be taken one by one, to find a poison event
	enc   record.Encoder
	names record.Names
	wg    sync.WaitGroup
}

// once polls one batch and makes one transaction of it.
func (t *transactor) once(ctx context.Context) error {
	fetches := t.s.PollRecords(ctx, t.limit)
	if ctx.Err() != nil || fetches.IsClientClosed() {
		return ctx.Err()
	}
	for _, fe := range fetches.Errors() {
		return fmt.Errorf("%w: read %s/%d: %w", event.ErrUnavailable, fe.Topic, fe.Partition, fe.Err)
	}
	if fetches.NumRecords() == 0 {
		return nil
	}
	if err := t.s.Begin(); err != nil {
		return fmt.Errorf("%w: begin a transaction: %w", event.ErrUnavailable, err)
	}
	events, commands, err := t.react(fetches)
	var bad *poison
	if err != nil && !errors.As(err, &bad) {
		t.r.cfg.Logger.Warn("sending commands failed; the transaction is aborted", "error", err)
	}
	// Its context is never cancelled: an end that was cancelled in between leaves the outcome unknown.
	committed, endErr := t.s.End(t.r.marked(context.WithoutCancel(ctx)), kgo.TransactionEndTry(err == nil))
	switch {
	case endErr != nil:
		return fmt.Errorf("%w: end a transaction: %w", event.ErrOutcomeUnknown, endErr)
	case bad != nil:
		t.isolate(bad, fetches.NumRecords())
		return nil
	case err != nil:
		return err
	case committed: // otherwise a rebalance came in between: the events are read again
		if t.alone--; t.alone <= 0 {
			t.limit = t.r.cfg.BatchRecords
		}
		t.r.done(events, commands)
	}
	return nil
}

// react produces what the batch causes and waits for the result of every record: a transaction commits
// what succeeded, whatever else failed.
func (t *transactor) react(fetches kgo.Fetches) (events, commands int, err error) {
	var failed struct {
		sync.Mutex
		err error
	}
	for it := fetches.RecordIter(); !it.Done() && err == nil; {
		rec := it.Next()
		var recs []*kgo.Record
		recs, err = t.commands(rec)
		if err != nil {
			err = &poison{rec, err}
			break
		}
		if len(recs) > 0 {
			events++
		}
		for _, out := range recs {
			commands++
			t.wg.Add(1)
			t.s.Produce(context.Background(), out, func(_ *kgo.Record, err error) {
				defer t.wg.Done()
				if err != nil {
					failed.Lock()
					failed.err = errors.Join(failed.err, err)
					failed.Unlock()
				}
			})
		}
	}
	t.wg.Wait()
	t.enc.Reset()
	if err == nil && failed.err != nil {
		err = fmt.Errorf("%w: send commands: %w", event.ErrUnavailable, failed.err)
	}
	return events, commands, err
}

// commands are the records that an event causes.
func (t *transactor) commands(rec *kgo.Record) ([]*kgo.Record, error) {
	if rec.Attrs.IsControl() {
		return nil, nil
	}
	r := t.r
	aggregate := r.topics[rec.Topic]
	var e event.Recorded
	if err := record.ParseEvent(rec, aggregate, &t.names, &e.Envelope); err != nil {
		r.mu.Lock()
		r.mu.status.Foreign++
		r.mu.Unlock()
		return nil, nil
	}
	if !r.wants[aggregate][e.Type] {
		return nil, nil
	}
	var err error
	if e.Body, err = r.cfg.Aggregates[aggregate].Codec.DecodeEvent(&e.Envelope); err != nil {
		return nil, err
	}
	caused, err := r.cfg.React(&e)
	if err != nil {
		return nil, err
	}
	out := make([]*kgo.Record, 0, len(caused))
	for i, c := range caused {
		n, ok := r.partitions[c.Aggregate]
		if !ok {
			return nil, fmt.Errorf("%w: it caused a command for %q, which is none of the targets", event.ErrConfig, c.Aggregate)
		}
		if err := event.CheckStreamID(c.Stream); err != nil {
			return nil, err
		}
		cmd := event.Command{ID: CommandID(r.cfg.Name, &e.Envelope, i), Type: c.Type, Stream: c.Stream, Time: e.Time,
			ExpectedVersion: event.AnyVersion, CausationID: e.ID(), CorrelationID: e.CorrelationID, TraceParent: e.TraceParent, Principal: Principal}
		out = append(out, t.enc.Command(&cmd, topology.TopicsOf(r.cfg.Prefix, c.Aggregate).Commands,
			topology.PartitionOfStream(c.Stream, n), c.ContentType, c.Data))
	}
	return out, nil
}

// isolate finds a poison event by single-event transactions, so that what comes before it is reacted
// to; once it comes alone, its partition is stopped and the others go on.
func (t *transactor) isolate(p *poison, polled int) {
	if polled > 1 {
		t.limit, t.alone = 1, polled
		return
	}
	t.limit, t.alone = t.r.cfg.BatchRecords, 0
	name := fmt.Sprintf("%s/%d", p.rec.Topic, p.rec.Partition)
	t.s.Client().PauseFetchPartitions(map[string][]int32{p.rec.Topic: {p.rec.Partition}})
	t.r.mu.Lock()
	t.r.mu.stopped[name] = p.Error()
	t.r.mu.Unlock()
	t.r.cfg.Logger.Error("the reactor stopped on a partition at an event that it cannot react to; the others go on", "partition", name, "error", p.Error())
}

func (r *Reactor) done(events, commands int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.status.Events += int64(events)
	r.mu.status.Commands += int64(commands)
	r.mu.status.Transactions++
	r.mu.status.Reason, r.mu.failing = "", time.Time{}
}
