// Package partlog reads one partition of a topic between two offsets, as those need it who make a state
// again from the log: behind a barrier, after which no former owner of the partition can add to what is read.
//
// The order matters. First StableOffset of the group (a client that joins one waits for it itself): then no
// earlier owner can commit any more. Then Ends, open transactions included. Then Read up to there: a
// transaction's offset can be visible before the markers of its records (KAFKA-10167), so reading up to
// the committed end alone would miss them.
package partlog

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

// Span is a range of offsets of one partition: From, inclusive, To, exclusive.
type Span struct {
	Topic     string
	Partition int32
	From, To  int64
}

// String is "topic/3 [0, 17)", for errors.
func (s Span) String() string {
	return fmt.Sprintf("%s/%d [%d, %d)", s.Topic, s.Partition, s.From, s.To)
}

// Read calls f with the committed records of the span, in order. It returns when the span has been
// read, which may mean waiting for an open transaction in it to end: stuck is then called, now and
// then, to do something about it. Records are only valid during f.
//
// Where the end of a span cannot be seen (compaction removed it), compacted, which reports whether
// everything before the end is decided, makes it enough that the broker then has nothing more to give.
// Both may be nil. Errors wrap event.ErrUnavailable, or are those of ctx and the functions.
func Read(ctx context.Context, opts []kgo.Opt, s Span, compacted func(context.Context) (bool, error), stuck func(context.Context) error, f func(*kgo.Record) error) error {
	if s.From >= s.To {
		return nil
	}
	opts = append(opts[:len(opts):len(opts)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.Topic: {s.Partition: kgo.NewOffset().At(s.From)}}),
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
	next, idle := s.From, 0
	for next < s.To {
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
			if r.Offset >= s.To {
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

// Ends returns the offsets at which the partitions of the topics end, open transactions included.
func Ends(ctx context.Context, adm *kadm.Client, partition int32, topics ...string) (map[string]int64, error) {
	listed, err := adm.ListEndOffsets(ctx, topics...)
	return offsets(listed, err, partition, topics)
}

// Starts returns the offsets at which they begin.
func Starts(ctx context.Context, adm *kadm.Client, partition int32, topics ...string) (map[string]int64, error) {
	listed, err := adm.ListStartOffsets(ctx, topics...)
	return offsets(listed, err, partition, topics)
}

// Since returns the offsets of the first records that are not older than the time, in ms since 1970.
func Since(ctx context.Context, adm *kadm.Client, partition int32, ms int64, topics ...string) (map[string]int64, error) {
	listed, err := adm.ListOffsetsAfterMilli(ctx, ms, topics...)
	return offsets(listed, err, partition, topics)
}

// Settled returns a function that reports whether no transaction is open before the offset.
func Settled(adm *kadm.Client, s Span) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		listed, err := adm.ListCommittedOffsets(ctx, s.Topic)
		stable, err := offsets(listed, err, s.Partition, []string{s.Topic})
		return err == nil && stable[s.Topic] >= s.To, err
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

// StableOffset returns the group's committed offset of a partition, -1 for none, and the metadata that it
// was committed with, waiting until no transaction that commits one is pending (KIP-447). After half a
// second, and then each second, stuck is called to do something about one whose owner is gone.
func StableOffset(ctx context.Context, adm *kadm.Client, group, topic string, partition int32, stuck func(context.Context) error) (at int64, metadata string, err error) {
	fail := func(err error) (int64, string, error) {
		return 0, "", fmt.Errorf("%w: committed offset of group %s in %s/%d: %w", event.ErrUnavailable, group, topic, partition, err)
	}
	next := time.Now().Add(500 * time.Millisecond)
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		resp, err := adm.FetchOffsetsForTopics(kadm.RequireStable(ctx), group, topic)
		if err == nil {
			o, ok := resp.Lookup(topic, partition)
			switch {
			case !ok:
				return -1, "", nil
			case o.Err == nil:
				return o.At, o.Metadata, nil
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
