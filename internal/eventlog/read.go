// Package eventlog reads whole event topics for tools that check what was derived from them.
package eventlog

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Query says what to read.
type Query struct {
	// Kafka are the options that reach the brokers. Prefix and Aggregate name the topic.
	Kafka     []kgo.Opt
	Prefix    string
	Aggregate string
	// Stream reads the partition of one stream only, and only its events; empty reads everything.
	Stream event.StreamID
	// Partitions reads those only; none means all.
	Partitions []int32
	// Progress, where set, is told how many offsets have been read of how many, now and then.
	Progress func(done, total int64)
}

// Result counts what was read.
type Result struct {
	Events int64
	// Foreign records were not written by a processor and were skipped.
	Foreign int64
	// Through are the offsets up to which each partition was read, exclusive.
	Through map[int32]int64
}

// Read calls f with every committed event up to the log's stable end as of the call, each partition's in
// offset order. The envelope and its data are valid during f only. Errors: event.ErrUnavailable, or f's.
func Read(ctx context.Context, q Query, f func(*event.Envelope) error) (Result, error) {
	topic := topology.TopicsOf(q.Prefix, q.Aggregate).Events
	result := Result{Through: map[int32]int64{}}
	fail := func(err error) (Result, error) { return result, fmt.Errorf("read %s: %w", topic, err) }
	admin, err := kgo.NewClient(q.Kafka...)
	if err != nil {
		return fail(err)
	}
	defer admin.Close()
	starts, ends, err := bounds(ctx, kadm.NewClient(admin), topic)
	if err != nil {
		return fail(err)
	}
	var total int64
	from := map[int32]kgo.Offset{}
	next := map[int32]int64{}
	for p, end := range ends {
		if q.Stream != "" && p != topology.PartitionOfStream(q.Stream, int32(len(ends))) || len(q.Partitions) > 0 && !slices.Contains(q.Partitions, p) {
			continue
		}
		result.Through[p] = end
		if start := starts[p]; start < end {
			from[p], next[p] = kgo.NewOffset().At(start), start
			total += end - start
		}
	}
	if len(from) == 0 {
		return result, nil
	}
	cl, err := kgo.NewClient(append(q.Kafka[:len(q.Kafka):len(q.Kafka)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: from}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // a marker is what stands at the end
		kgo.FetchMaxPartitionBytes(4<<20))...)
	if err != nil {
		return fail(err)
	}
	defer cl.Close()
	var names record.Names
	var env event.Envelope
	left, done := len(next), int64(0)
	for left > 0 {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		var failed error
		fetches.EachError(func(_ string, p int32, err error) {
			failed = errors.Join(failed, fmt.Errorf("%w: partition %d: %w", event.ErrUnavailable, p, err))
		})
		if failed != nil {
			return fail(failed)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			end := ends[r.Partition]
			if next[r.Partition] >= end {
				continue
			}
			if r.Offset < end && !r.Attrs.IsControl() && (q.Stream == "" || string(r.Key) == string(q.Stream)) {
				if err := one(r, q.Aggregate, &names, &env, &result, f); err != nil {
					return fail(err)
				}
			}
			reached := min(r.Offset+1, end)
			done += reached - next[r.Partition]
			next[r.Partition] = reached
			if reached == end {
				left--
			}
		}
		if q.Progress != nil {
			q.Progress(done, total)
		}
	}
	return result, nil
}

// At returns the event at an offset of a partition. Its error is event.ErrNotFound where no committed event of a
// processor stands there.
func At(ctx context.Context, q Query, partition int32, offset int64) (event.Envelope, error) {
	topic := topology.TopicsOf(q.Prefix, q.Aggregate).Events
	var env event.Envelope
	fail := func(err error) (event.Envelope, error) {
		return env, fmt.Errorf("read %s/%d@%d: %w", topic, partition, offset, err)
	}
	cl, err := kgo.NewClient(append(q.Kafka[:len(q.Kafka):len(q.Kafka)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(offset)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())...)
	if err != nil {
		return fail(err)
	}
	defer cl.Close()
	_, ends, err := bounds(ctx, kadm.NewClient(cl), topic)
	if err != nil {
		return fail(err)
	}
	if offset >= ends[partition] {
		return fail(event.ErrNotFound)
	}
	for {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		var failed error
		fetches.EachError(func(_ string, _ int32, err error) { failed = fmt.Errorf("%w: %w", event.ErrUnavailable, err) })
		if failed != nil {
			return fail(failed)
		}
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset != offset || r.Attrs.IsControl() || record.ParseEvent(r, q.Aggregate, nil, &env) != nil {
				return fail(event.ErrNotFound)
			}
			return env, nil
		}
	}
}

func one(r *kgo.Record, aggregate string, names *record.Names, env *event.Envelope, result *Result, f func(*event.Envelope) error) error {
	err := record.ParseEvent(r, aggregate, names, env)
	if errors.Is(err, event.ErrForeign) {
		result.Foreign++
		return nil
	}
	if err != nil {
		return err
	}
	result.Events++
	return f(env)
}

// Partitions returns the numbers of an events topic's partitions. Its error wraps event.ErrUnavailable, or
// event.ErrNotFound where there is no such topic.
func Partitions(ctx context.Context, q Query) ([]int32, error) {
	admin, err := kgo.NewClient(q.Kafka...)
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	topic := topology.TopicsOf(q.Prefix, q.Aggregate).Events
	_, ends, err := bounds(ctx, kadm.NewClient(admin), topic)
	if err != nil {
		return nil, fmt.Errorf("partitions of %s: %w", topic, err)
	}
	return slices.Sorted(maps.Keys(ends)), nil
}

// bounds are the offsets at which each partition starts and stably ends: before the first open transaction.
func bounds(ctx context.Context, admin *kadm.Client, topic string) (starts, ends map[int32]int64, err error) {
	list := func(f func(context.Context, ...string) (kadm.ListedOffsets, error)) (map[int32]int64, error) {
		listed, err := f(ctx, topic)
		if err == nil {
			err = listed.Error()
		}
		if err != nil {
			return nil, fmt.Errorf("%w: %w", event.ErrUnavailable, err)
		}
		out := map[int32]int64{}
		listed.Each(func(o kadm.ListedOffset) { out[o.Partition] = o.Offset })
		if len(out) == 0 {
			return nil, fmt.Errorf("%w: there is no such topic", event.ErrNotFound)
		}
		return out, nil
	}
	if starts, err = list(admin.ListStartOffsets); err != nil {
		return nil, nil, err
	}
	ends, err = list(admin.ListCommittedOffsets)
	return starts, ends, err
}
