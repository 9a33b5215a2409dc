package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/compare"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// RunCompare measures how fast recorded commands are compared under two variants, against a plain replay: reading and
// decoding the same commands, outcomes and events, folding the events, and deciding each command once. The history is made by
// deciding Count commands.
func RunCompare(ctx context.Context, c Commands) (*Report, error) {
	c.Latency, c.Rate = 0, 0
	c = c.withDefaults()
	b, err := c.lay(ctx, c.Kafka, aggregates.Account(), c.Partitions, c.Replication)
	if err != nil {
		return nil, err
	}
	defer b.close()
	t := c.on(b)
	t.roundEvents = math.MaxInt
	left := budget{time.Now().Add(t.Limit / 2), 2}
	if err := t.within(ctx, &left, func(ctx context.Context) error { return t.publish(ctx, t.Count) }); err != nil {
		return nil, err
	}
	if err := t.within(ctx, &left, func(ctx context.Context) error { _, err := t.decide(ctx); return err }); err != nil {
		return nil, err
	}
	r := &Report{Bench: "compare", Inputs: t.inputs()}
	r.Inputs["commands"] = t.decided
	ours := &side{name: "compare", run: t.compare}
	bare := &side{name: "plain replay", run: t.replay}
	if err := t.alternate(ctx, t.Rounds, t.Limit, t.decided, ours, bare); err != nil {
		return nil, err
	}
	r.Ours.Rate, r.Bare.Rate = median(ours.rates), median(bare.rates)
	r.Inputs["rounds"] = len(ours.rates)
	return r.finish(), nil
}

// compare compares the variants, with a metric, but does not measure their speed: that takes as long however many commands
// there are.
func (t *traffic) compare(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	r, err := compare.Run(ctx, compare.Config{Kafka: t.kafka, Prefix: t.prefix, Type: t.typ, Workers: t.Workers, Samples: 1,
		Metrics: []compare.Metric{compare.RejectionRate}})
	if err != nil {
		return 0, err
	}
	if took := time.Since(began); r.Commands == int64(t.decided) && r.Agree == r.Commands && r.Deterministic {
		return took, nil
	}
	return 0, fmt.Errorf("%d of %d commands were compared, %d agree", r.Commands, t.decided, r.Agree)
}

// replay reads the three topics in as many goroutines as the comparison has workers, each its share of the partitions.
func (t *traffic) replay(ctx context.Context) (time.Duration, error) {
	began := time.Now()
	err := each(ctx, t.Workers, func(ctx context.Context, worker int) error {
		ends, err := t.adm.ListCommittedOffsets(ctx, t.topics.Commands, t.topics.Outcomes, t.topics.Events)
		if err != nil {
			return err
		}
		from, left := map[string]map[int32]kgo.Offset{}, map[string]map[int32]int64{}
		for topic, partitions := range ends {
			from[topic], left[topic] = map[int32]kgo.Offset{}, map[int32]int64{}
			for p, end := range partitions {
				if int(p)%t.Workers == worker && end.Offset > 0 {
					from[topic][p], left[topic][p] = kgo.NewOffset().AtStart(), end.Offset
				}
			}
		}
		return t.share(ctx, from, left)
	})
	return time.Since(began), err
}

// share replays partitions until each is read up to the offset that is left of it.
func (t *traffic) share(ctx context.Context, from map[string]map[int32]kgo.Offset, left map[string]map[int32]int64) error {
	cl, err := kgo.NewClient(append(t.kafka[:len(t.kafka):len(t.kafka)], kgo.ConsumePartitions(from),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords(), kgo.FetchMaxPartitionBytes(4<<20))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	var names record.Names
	states := map[event.StreamID]any{}
	open := 0
	for _, partitions := range left {
		open += len(partitions)
	}
	for open > 0 {
		fetches := cl.PollFetches(ctx)
		if failed := fetches.Errors(); len(failed) > 0 {
			return failed[0].Err
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			end, ok := left[r.Topic][r.Partition]
			if !ok {
				continue
			}
			if r.Offset+1 >= end {
				delete(left[r.Topic], r.Partition)
				open--
			}
			if r.Attrs.IsControl() {
				continue
			}
			if err := t.one(r, &names, states); err != nil {
				return err
			}
		}
	}
	return nil
}

// one does with a record what a replay has to.
func (t *traffic) one(r *kgo.Record, names *record.Names, states map[event.StreamID]any) error {
	state := func(id event.StreamID) any {
		if s, ok := states[id]; ok {
			return s
		}
		return t.typ.Initial()
	}
	switch r.Topic {
	case t.topics.Commands:
		c, content, err := record.ParseCommand(r, names)
		if err != nil {
			return err
		}
		body, err := t.typ.Codec.DecodeCommand(c.Type, content, r.Value)
		if err != nil {
			return err
		}
		events, err := t.typ.Decide(c, body, state(c.Stream))
		if err != nil || len(events) == 0 {
			return errors.Join(err, fmt.Errorf("command %s: no events", c.ID))
		}
	case t.topics.Outcomes:
		_, err := record.ParseOutcome(r, t.typ.Name, names)
		return err
	default:
		var env event.Envelope
		if err := record.ParseEvent(r, t.typ.Name, names, &env); err != nil {
			return err
		}
		next, err := t.typ.Apply(state(env.Stream), &env)
		if err != nil {
			return err
		}
		states[env.Stream] = next
	}
	return nil
}
