package partlog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

// At fetches the records at the given offsets of a partition, which ascend, once more. An offset that
// holds no committed record is event.ErrCorrupt: it was read before. Other errors wrap
// event.ErrUnavailable or are those of ctx.
func At(ctx context.Context, opts []kgo.Opt, topic string, partition int32, offsets []int64) ([]*kgo.Record, error) {
	// Offsets of one stream may lie far apart; up to near the client reads on, beyond it jumps.
	const near = 2000
	at := func(offset int64) map[string]map[int32]kgo.Offset {
		return map[string]map[int32]kgo.Offset{topic: {partition: kgo.NewOffset().At(offset)}}
	}
	cl, err := kgo.NewClient(append(append([]kgo.Opt{}, opts...),
		kgo.ConsumePartitions(at(offsets[0])),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.FetchMaxWait(100*time.Millisecond),
		kgo.KeepControlRecords(),
	)...)
	if err != nil {
		return nil, fmt.Errorf("read %s/%d again: %w", topic, partition, err)
	}
	defer cl.Close()
	out := make([]*kgo.Record, 0, len(offsets))
	for len(out) < len(offsets) {
		fetches := cl.PollFetches(ctx)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		var last int64 = -1
		for _, fe := range fetches.Errors() {
			if errors.Is(fe.Err, kerr.OffsetOutOfRange) {
				return nil, fmt.Errorf("%w: the log has nothing at %s/%d@%d any more", event.ErrCorrupt, topic, partition, offsets[len(out)])
			}
			return nil, fmt.Errorf("%w: read %s/%d again: %w", event.ErrUnavailable, topic, partition, fe.Err)
		}
		for it := fetches.RecordIter(); !it.Done() && len(out) < len(offsets); {
			rec := it.Next()
			last = rec.Offset
			want := offsets[len(out)]
			if rec.Offset < want {
				continue // behind a jump, or between two that we want
			}
			if rec.Offset > want || rec.Attrs.IsControl() {
				return nil, fmt.Errorf("%w: the log has nothing at %s/%d@%d any more", event.ErrCorrupt, topic, partition, want)
			}
			out = append(out, rec)
		}
		if len(out) < len(offsets) && last >= 0 && offsets[len(out)] > last+near {
			cl.RemoveConsumePartitions(map[string][]int32{topic: {partition}})
			cl.AddConsumePartitions(at(offsets[len(out)]))
		}
	}
	return out, nil
}
