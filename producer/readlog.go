package producer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

// span is a range of offsets of one partition: from, inclusive, to, exclusive.
type span struct {
	topic     string
	partition int32
	from, to  int64
}

func (s span) String() string {
	return fmt.Sprintf("%s/%d [%d, %d)", s.topic, s.partition, s.from, s.to)
}

// readLog calls f with the committed records of the span, in order. It returns when the span has been
// read, which may mean waiting for an open transaction in it to end: stuck is then called, now and
// then, to do something about it. Records are only valid during f.
//
// Where the end of a span cannot be seen (compaction removed it), compacted, which reports whether
// everything before the end is decided, makes it enough that the broker then has nothing more to give.
func readLog(ctx context.Context, opts []kgo.Opt, s span, compacted func(context.Context) (bool, error), stuck func(context.Context) error, f func(*kgo.Record) error) error {
	if s.from >= s.to {
		return nil
	}
	opts = append(opts[:len(opts):len(opts)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: {s.partition: kgo.NewOffset().At(s.from)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		// Markers show how far the log has been read where a span ends in one, or in an aborted transaction.
		kgo.KeepControlRecords(),
		kgo.FetchMaxWait(250*time.Millisecond),
		kgo.FetchMaxPartitionBytes(4<<20),
	)
	cl, err := kgo.NewClient(opts...)
	if err != nil {
		return fmt.Errorf("read %v: %w", s, err)
	}
	defer cl.Close()
	next, idle := s.from, 0
	for next < s.to {
		poll, cancel := context.WithTimeout(ctx, time.Second)
		fetches := cl.PollFetches(poll)
		cancel()
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("read %v: %w", s, err)
		}
		var ferr error
		fetches.EachError(func(_ string, _ int32, err error) {
			if !errors.Is(err, context.DeadlineExceeded) {
				ferr = err
			}
		})
		if ferr != nil {
			return fmt.Errorf("%w: read %v: %w", event.ErrUnavailable, s, ferr)
		}
		before := next
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			if r.Offset >= s.to {
				return nil
			}
			next = r.Offset + 1
			if r.Attrs.IsControl() {
				continue
			}
			if err := f(r); err != nil {
				return err
			}
		}
		if next != before {
			idle = 0
			continue
		}
		if compacted != nil {
			decided, err := compacted(ctx)
			if err != nil {
				return fmt.Errorf("read %v: %w", s, err)
			}
			if decided {
				idle++
			}
			if idle > 1 { // the first may have been on its way before the end was decided
				return nil
			}
		}
		if stuck != nil {
			if err := stuck(ctx); err != nil {
				return fmt.Errorf("read %v: %w", s, err)
			}
		}
	}
	return nil
}

// ends returns the offsets at which the partitions of the topics end, open transactions included.
func ends(ctx context.Context, adm *kadm.Client, partition int32, topics ...string) (map[string]int64, error) {
	listed, err := adm.ListEndOffsets(ctx, topics...)
	return offsets(listed, err, partition, topics)
}

// starts returns the offsets at which they begin.
func starts(ctx context.Context, adm *kadm.Client, partition int32, topics ...string) (map[string]int64, error) {
	listed, err := adm.ListStartOffsets(ctx, topics...)
	return offsets(listed, err, partition, topics)
}

// settled returns a function that reports whether no transaction is open before the offset.
func settled(adm *kadm.Client, s span) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		listed, err := adm.ListCommittedOffsets(ctx, s.topic)
		stable, err := offsets(listed, err, s.partition, []string{s.topic})
		return err == nil && stable[s.topic] >= s.to, err
	}
}

func offsets(listed kadm.ListedOffsets, err error, partition int32, topics []string) (map[string]int64, error) {
	if err != nil {
		return nil, fmt.Errorf("%w: list offsets: %w", event.ErrUnavailable, err)
	}
	out := make(map[string]int64, len(topics))
	for _, t := range topics {
		o, ok := listed.Lookup(t, partition)
		if !ok {
			return nil, fmt.Errorf("%w: list offsets: %s has no partition %d", event.ErrUnavailable, t, partition)
		}
		if o.Err != nil {
			return nil, fmt.Errorf("%w: list offsets of %s/%d: %w", event.ErrUnavailable, t, partition, o.Err)
		}
		out[t] = o.Offset
	}
	return out, nil
}

// stableOffset returns the group's committed offset of a partition, -1 for none, and the epoch of the
// accepted losses under which it was committed, waiting until no
// transaction that commits one is pending (KIP-447). After half a second, and then each second, stuck is
// called to do something about one whose owner is gone.
func stableOffset(ctx context.Context, adm *kadm.Client, group, topic string, partition int32, stuck func(context.Context) error) (at, epoch int64, err error) {
	fail := func(err error) (int64, int64, error) {
		return 0, 0, fmt.Errorf("%w: committed offset of group %s in %s/%d: %w", event.ErrUnavailable, group, topic, partition, err)
	}
	next := time.Now().Add(500 * time.Millisecond)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		resp, err := adm.FetchOffsetsForTopics(kadm.RequireStable(ctx), group, topic)
		if err == nil {
			o, ok := resp.Lookup(topic, partition)
			switch {
			case !ok:
				return -1, 0, nil
			case o.Err == nil:
				return o.At, epochOf(o.Metadata), nil
			}
			err = o.Err
		}
		if !errors.Is(err, kerr.UnstableOffsetCommit) {
			return fail(err)
		}
		if now := time.Now(); now.After(next) {
			next = now.Add(time.Second)
			if err := stuck(ctx); err != nil {
				return fail(err)
			}
		}
		select {
		case <-ctx.Done():
			return fail(ctx.Err())
		case <-time.After(wait):
		}
	}
}
