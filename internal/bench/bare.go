package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// bareLoop is the limit to measure against: it consumes the commands, keeps a counter a stream in a
// map, and produces records of the same bytes, an event and an outcome a command, in transactions that
// commit the offsets. It decodes nothing, checks nothing, and remembers nothing after a restart.
type bareLoop struct {
	*traffic
	from  string // topic
	to    topology.Topics
	batch int
	state map[string]int64
	enc   record.Encoder
	sess  *kgo.GroupTransactSession
	begun time.Time // when the last transaction began
	done  int       // commands so far
	rates []float64
}

func (t *traffic) newBare(batch int) *bareLoop {
	return &bareLoop{traffic: t, from: t.topics.Commands, to: t.bare, batch: batch, state: map[string]int64{}}
}

// open makes a session; it goes on where the last one stopped.
func (l *bareLoop) open() (err error) {
	name := "-" + strconv.Itoa(l.batch)
	l.sess, err = kgo.NewGroupTransactSession(append(l.kafka[:len(l.kafka):len(l.kafka)],
		kgo.TransactionalID(l.barePrefix()+name), kgo.ConsumerGroup(l.barePrefix()+name), kgo.ConsumeTopics(l.from),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(1<<20),
		kgo.ConcurrentTransactionsBackoff(2*time.Millisecond), kgo.ProducerBatchCompression(compression(l.Compression)))...)
	if err != nil {
		return fmt.Errorf("%w: %w", event.ErrConfig, err)
	}
	return nil
}

func compression(name string) kgo.CompressionCodec {
	switch name {
	case "none":
		return kgo.NoCompression()
	case "zstd":
		return kgo.ZstdCompression().WithLevel(1)
	case "snappy":
		return kgo.SnappyCompression()
	}
	return kgo.Lz4Compression()
}

// step moves one batch; it returns how many commands were in it.
func (l *bareLoop) step(ctx context.Context) (int, error) {
	fetches := l.sess.PollRecords(ctx, l.batch)
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if fetches.NumRecords() == 0 {
		return 0, nil
	}
	l.begun = time.Now()
	if err := l.sess.Begin(); err != nil {
		return 0, err
	}
	var failed atomic.Pointer[error]
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	end := context.WithoutCancel(ctx)
	n := l.produce(end, fetches, promise)
	if err := l.sess.Client().Flush(end); err != nil {
		return 0, err
	}
	committed, err := l.sess.End(end, kgo.TransactionEndTry(failed.Load() == nil))
	l.enc.Reset()
	if f := failed.Load(); f != nil {
		return 0, *f
	}
	if err != nil || !committed {
		return 0, err
	}
	return n, nil
}

func (l *bareLoop) produce(ctx context.Context, fetches kgo.Fetches, promise func(*kgo.Record, error)) (n int) {
	now := time.Now().UTC()
	for it := fetches.RecordIter(); !it.Done(); {
		r := it.Next()
		key := string(r.Key)
		l.state[key]++
		v := event.Version(l.state[key])
		id := commandID(r)
		env := event.Envelope{Aggregate: l.typ.Name, Stream: event.StreamID(key), Version: v, Type: "bench.v1.Deposited", ContentType: record.Protobuf,
			Time: now, RecordedTime: now, CausationID: id, CommandOffset: r.Offset, LastOfCommand: true, Partition: r.Partition,
			Data: append([]byte(nil), r.Value...)}
		l.sess.Produce(ctx, l.enc.Event(&env, l.to.Events), promise)
		// A digest is 16 bytes that do not compress; what of is not this loop's to know.
		digest := binary.NativeEndian.AppendUint64(make([]byte, 0, 16), rand.Uint64())
		o := event.Outcome{Aggregate: env.Aggregate, Stream: env.Stream, CommandID: id, Kind: event.Accepted, Version: v,
			Events: []event.Ref{{Type: env.Type, Version: v}}, Position: env.Position(), RecordedTime: now, Partition: r.Partition,
			CommandOffset: r.Offset, Digest: binary.NativeEndian.AppendUint64(digest, rand.Uint64())}
		rec := l.enc.Outcome(&o, l.to.Outcomes)
		l.sess.Produce(ctx, rec, promise)
		n++
	}
	return n
}

func commandID(r *kgo.Record) string {
	for i := range r.Headers {
		if r.Headers[i].Key == "ce_id" {
			return string(r.Headers[i].Value)
		}
	}
	return ""
}

// catchUp runs the loop until it has done total commands, and notes the rate, from the begin of the first
// transaction to the end of the last. The context may end it early.
func (l *bareLoop) catchUp(ctx context.Context, total int) error {
	if err := l.open(); err != nil {
		return err
	}
	defer l.sess.Close()
	var took time.Duration
	var first time.Time
	began := l.done
	for l.done < total {
		n, err := l.step(ctx)
		if err != nil && (ctx.Err() == nil || l.done == began) {
			return fmt.Errorf("bare loop: %w", err)
		} else if err != nil {
			break
		}
		if n == 0 {
			continue
		}
		if first.IsZero() {
			first = l.begun
		}
		l.done += n
		took = time.Since(first)
		l.Progress("bare loop, "+strconv.Itoa(l.batch)+" a transaction", l.done, l.Count)
	}
	if l.done > began {
		l.rates = append(l.rates, rate(l.done-began, took))
	}
	return nil
}

// run runs the loop until the context ends.
func (l *bareLoop) run(ctx context.Context) error {
	if err := l.open(); err != nil {
		return err
	}
	defer l.sess.Close()
	for {
		if _, err := l.step(ctx); ctx.Err() != nil {
			return nil
		} else if err != nil {
			return fmt.Errorf("bare loop: %w", err)
		}
	}
}
