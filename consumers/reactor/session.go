package reactor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/partlog"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// transactionTimeout is after how long the brokers end a transaction whose member has died.
const transactionTimeout = 10 * time.Second

func (r *Reactor) transactionalID() string { return r.group + "-" + r.cfg.Instance }

// session is one transactional member of the group, until an error leaves a transaction's outcome unknown.
func (r *Reactor) session(ctx context.Context) error {
	var topics []string
	for topic := range r.topics {
		topics = append(topics, topic)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	admin, err := kgo.NewClient(r.cfg.Client...)
	if err != nil {
		return fmt.Errorf("%w: reactor %s: Kafka client: %w", event.ErrConfig, r.cfg.Name, err)
	}
	defer admin.Close()
	// Commands that hang in their topics would wait for ever: nobody else writes there in transactions.
	wrote, err := r.wrote(ctx, kadm.NewClient(admin))
	if err != nil {
		return err
	}
	t := transactor{r: r, admin: admin}
	s, err := kgo.NewGroupTransactSession(append(append([]kgo.Opt{}, r.cfg.Client...),
		kgo.ConsumerGroup(r.group),
		kgo.ConsumeTopics(topics...),
		kgo.SessionTimeout(r.cfg.SessionTimeout),
		kgo.HeartbeatInterval(min(3*time.Second, r.cfg.SessionTimeout/3)),
		kgo.Balancers(partlog.Watched{GroupBalancer: kgo.CooperativeStickyBalancer(), Assigned: r.stands.keep}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchMaxWait(250*time.Millisecond), // a partition that is newly assigned waits for the fetch in flight
		kgo.KeepControlRecords(),               // so that the committed offset passes a transaction's marker and lag becomes 0
		kgo.TransactionalID(r.transactionalID()),
		kgo.WithHooks(&partlog.Gate{Hanging: r.hanging(admin), Committed: func() kadm.TopicsSet { return wrote }}),
		kgo.TransactionTimeout(transactionTimeout),
		kgo.RecordDeliveryTimeout(transactionTimeout),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(0),
		kgo.OnPartitionsAssigned(func(context.Context, *kgo.Client, map[string][]int32) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.mu.status.Joined = true
		}),
		kgo.OnPartitionsLost(func(context.Context, *kgo.Client, map[string][]int32) { r.stands.keep(nil) }),
		kgo.AdjustFetchOffsetsFn(func(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
			err := t.take(ctx, offsets)
			if err != nil && ctx.Err() == nil { // a rebalance ends ctx, and calls it again later
				cancel(err)
			}
			return offsets, err
		}),
	)...)
	if err != nil {
		return fmt.Errorf("%w: reactor %s: Kafka client: %w", event.ErrConfig, r.cfg.Name, err)
	}
	defer r.stands.keep(nil)
	defer s.Close()
	// At once, not with the first record: it aborts what an earlier session left open, whose pending
	// offsets would keep this one waiting for the transaction's timeout.
	if _, _, err := s.Client().ProducerID(ctx); err != nil {
		return fmt.Errorf("%w: reactor %s: take over its transactional ID: %w", event.ErrUnavailable, r.cfg.Name, err)
	}
	t.s = s
	for ctx.Err() == nil {
		if err := t.once(ctx); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (r *Reactor) hanging(admin *kgo.Client) partlog.Hanging {
	return partlog.Hanging{Admin: admin, Kafka: r.cfg.Client, Prefix: r.group + "-", Log: r.cfg.Logger}
}

// wrote are the partitions that the reactor's transactions may be in.
func (r *Reactor) wrote(ctx context.Context, adm *kadm.Client) (kadm.TopicsSet, error) {
	in, err := partlog.OffsetsOf(ctx, adm, r.group)
	if err != nil {
		return nil, fmt.Errorf("%w: reactor %s: %w", event.ErrUnavailable, r.cfg.Name, err)
	}
	for target, partitions := range r.partitions {
		for n := range partitions {
			in.Add(topology.TopicsOf(r.cfg.Prefix, target).Commands, n)
		}
	}
	return in, nil
}

// transactor makes the transactions of one session. One goroutine uses it, but for take.
type transactor struct {
	r     *Reactor
	s     *kgo.GroupTransactSession
	admin *kgo.Client
	enc   record.Encoder
	names record.Names
	// lookedAt is when operators' marks were last looked for.
	lookedAt time.Time
	// committed says of the last transaction that it was.
	committed bool
}

// once polls one batch and makes one transaction of it. Between batches it looks for what operators marked.
func (t *transactor) once(ctx context.Context) error {
	// It is not known beforehand whether anything will be parked: a partition that is assigned meanwhile can bring some.
	waiting, cancel := context.WithTimeout(ctx, t.r.cfg.ParkedEvery)
	fetches := t.s.PollRecords(waiting, t.r.cfg.BatchRecords)
	cancel()
	if ctx.Err() != nil || fetches.IsClientClosed() {
		return context.Cause(ctx)
	}
	for _, fe := range fetches.Errors() {
		if !errors.Is(fe.Err, context.DeadlineExceeded) {
			return fmt.Errorf("%w: read %s/%d: %w", event.ErrUnavailable, fe.Topic, fe.Partition, fe.Err)
		}
	}
	if fetches.NumRecords() == 0 {
		t.r.idle()
	} else {
		if err := t.batch(ctx, fetches); err != nil || !t.committed {
			return err
		}
	}
	if t.r.stands.parked() == 0 || time.Since(t.lookedAt) < t.r.cfg.ParkedEvery {
		return nil
	}
	if err := t.look(ctx); err != nil {
		return err
	}
	return t.drain(ctx)
}
