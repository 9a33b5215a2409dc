package compare

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

// span is a range of offsets of one partition: from, inclusive, to, exclusive.
type span struct {
	topic     string
	partition int32
	from, to  int64
}

// tail reads the committed records of a span, in order, one after the other. At most one fetch waits in memory behind the
// one in use. One goroutine uses it.
type tail struct {
	span
	cl   *kgo.Client
	it   *kgo.FetchesRecordIter
	next int64
	// read is told how many offsets more have been read.
	read func(n int64)
}

// stallTimeout ends a comparison whose brokers have gone: the client itself would ask them for ever.
const stallTimeout = 30 * time.Second

func newTail(opts []kgo.Opt, s span, read func(int64)) (*tail, error) {
	t := &tail{span: s, next: s.from, read: read}
	if s.from >= s.to {
		return t, nil
	}
	cl, err := kgo.NewClient(append(opts[:len(opts):len(opts)],
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{s.topic: {s.partition: kgo.NewOffset().At(s.from)}}),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.KeepControlRecords(), // a marker is what may stand at the end
		kgo.FetchMaxWait(250*time.Millisecond),
		kgo.FetchMaxPartitionBytes(2<<20))...)
	if err != nil {
		return nil, fmt.Errorf("read %s/%d: %w", s.topic, s.partition, err)
	}
	t.cl = cl
	return t, nil
}

// record returns the next one; nil at the end. Its errors wrap event.ErrUnavailable, or are the context's.
func (t *tail) record(ctx context.Context) (*kgo.Record, error) {
	for t.next < t.to {
		for t.it == nil || t.it.Done() {
			waiting, cancel := context.WithTimeout(ctx, stallTimeout)
			fetches := t.cl.PollFetches(waiting)
			stalled := waiting.Err() != nil
			cancel()
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			if stalled { // what is to be read is there: only the brokers can be gone
				return nil, fmt.Errorf("%w: read %s/%d: nothing came from the brokers for %v", event.ErrUnavailable, t.topic, t.partition, stallTimeout)
			}
			var failed error
			fetches.EachError(func(_ string, _ int32, err error) { failed = errors.Join(failed, err) })
			if failed != nil {
				return nil, fmt.Errorf("%w: read %s/%d: %w", event.ErrUnavailable, t.topic, t.partition, failed)
			}
			t.it = fetches.RecordIter()
		}
		r := t.it.Next()
		if r.Offset >= t.to {
			t.read(t.to - t.next)
			t.next = t.to
			break
		}
		t.read(r.Offset + 1 - t.next)
		t.next = r.Offset + 1
		if !r.Attrs.IsControl() {
			return r, nil
		}
	}
	return nil, nil
}

func (t *tail) close() {
	if t.cl != nil {
		t.cl.Close()
	}
}

// bounds are where each partition of a topic starts, and where it stably ends: before the first open transaction.
func bounds(ctx context.Context, adm *kadm.Client, topic string) (map[int32]span, error) {
	starts, err := adm.ListStartOffsets(ctx, topic)
	var ends kadm.ListedOffsets
	if err == nil {
		ends, err = adm.ListCommittedOffsets(ctx, topic)
	}
	if err == nil {
		err = errors.Join(starts.Error(), ends.Error())
	}
	if err != nil {
		return nil, fmt.Errorf("%w: offsets of %s: %w", event.ErrUnavailable, topic, err)
	}
	out := map[int32]span{}
	ends.Each(func(o kadm.ListedOffset) {
		start, _ := starts.Lookup(topic, o.Partition)
		out[o.Partition] = span{topic: topic, partition: o.Partition, from: start.Offset, to: o.Offset}
	})
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: there is no topic %s", event.ErrNotFound, topic)
	}
	return out, nil
}
