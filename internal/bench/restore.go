package bench

import (
	"context"
	"fmt"
	"math"
	"os"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/producer"
)

// RunRestore measures how fast a processor without a local store restores it from the log, against
// consuming the same events, read committed, and doing nothing with them. The log is made by deciding
// Count commands, with no snapshots on the log, so that every event is read.
func RunRestore(ctx context.Context, c Commands) (*Report, error) {
	c.Latency, c.Rate = 0, 0
	c = c.withDefaults()
	b, err := c.lay(ctx, c.Kafka, aggregates.Account(), c.Partitions, c.Replication)
	if err != nil {
		return nil, err
	}
	defer b.close()
	t := c.on(b)
	t.roundEvents = math.MaxInt
	// Half of the time for making the log, half for restoring it.
	left := budget{time.Now().Add(t.Limit / 2), 2}
	if err := t.within(ctx, &left, func(ctx context.Context) error { return t.publish(ctx, t.Count) }); err != nil {
		return nil, err
	}
	if err := t.within(ctx, &left, func(ctx context.Context) error { _, err := t.decide(ctx); return err }); err != nil {
		return nil, err
	}
	r := &Report{Bench: "restore", Inputs: t.inputs()}
	delete(r.Inputs, "commands")
	r.Inputs["events"] = t.decided
	ours := &side{name: "restore", run: t.restore}
	bare := &side{name: "bare consumer", run: t.consume}
	if err := t.alternate(ctx, t.Rounds, t.Limit, t.decided, ours, bare); err != nil {
		return nil, err
	}
	r.Ours.Rate, r.Bare.Rate = median(ours.rates), median(bare.rates)
	r.Inputs["rounds"] = len(ours.rates)
	return r.finish(), nil
}

// restore starts a processor on an empty folder: from the begin of the first partition's restore to the
// end of the last.
func (t *traffic) restore(ctx context.Context) (took time.Duration, err error) {
	fresh := *t
	if fresh.dir, err = os.MkdirTemp(t.bed.dir, "fresh-"); err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(fresh.dir) }()
	var mu sync.Mutex
	var first, last time.Time
	restored := map[int32]bool{}
	run, stop := context.WithCancel(ctx)
	defer stop()
	p, err := fresh.processor(producer.Hooks{Restored: func(_ string, partition int32, _ int64, took time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		// Where the group moves a partition between workers it is restored again, from the store: not counted.
		if restored[partition] {
			return
		}
		restored[partition] = true
		last = time.Now()
		if began := last.Add(-took); first.IsZero() || began.Before(first) {
			first = began
		}
		if len(restored) == t.Partitions {
			stop()
		}
	}})
	if err != nil {
		return 0, err
	}
	if err := p.Run(run); err != nil {
		return 0, err
	}
	mu.Lock()
	defer mu.Unlock()
	if len(restored) < t.Partitions {
		return 0, fmt.Errorf("%d of %d partitions were restored: %w", len(restored), t.Partitions, context.Cause(ctx))
	}
	return last.Sub(first), nil
}

// consume reads all events.
func (t *traffic) consume(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	cl, err := kgo.NewClient(append(t.kafka[:len(t.kafka):len(t.kafka)], kgo.ConsumeTopics(t.topics.Events),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxPartitionBytes(4<<20))...)
	if err != nil {
		return 0, err
	}
	defer cl.Close()
	for n := 0; n < t.decided; {
		fetches := cl.PollFetches(ctx)
		if failed := fetches.Errors(); len(failed) > 0 {
			return 0, fmt.Errorf("after %d of %d events: %w", n, t.decided, failed[0].Err)
		}
		n += fetches.NumRecords()
	}
	return time.Since(began), nil
}
