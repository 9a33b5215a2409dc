package bench

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/producer"
	benchv1 "github.com/cqrsflow/cqrsflow/schemas/bench/v1"
	"github.com/cqrsflow/cqrsflow/schemas/record"

	"google.golang.org/protobuf/proto"
)

// bareLoop is the limit to measure against: it consumes the commands, keeps a counter a stream in a
// map, and produces records of the same bytes, an event and an outcome a command, in transactions that
// commit the offsets. It decodes nothing, checks nothing, and remembers nothing after a restart.
type bareLoop struct {
	sess  *kgo.GroupTransactSession
	state map[string]int64
	enc   record.Encoder
	event []byte
	b     *bed
	batch int
}

func (b *bed) newBare(batch int, name string) (*bareLoop, error) {
	opts := append(b.Kafka[:len(b.Kafka):len(b.Kafka)],
		kgo.TransactionalID(b.prefix+"-bare-"+name), kgo.ConsumerGroup(b.prefix+".bare-"+name), kgo.ConsumeTopics(b.topics.Commands),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(),
		kgo.ProducerLinger(0), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(1<<20),
		kgo.ConcurrentTransactionsBackoff(2*time.Millisecond), kgo.ProducerBatchCompression(compression(b.Compression)))
	sess, err := kgo.NewGroupTransactSession(opts...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", event.ErrConfig, err)
	}
	body, err := proto.Marshal(&benchv1.Deposited{Amount: 50, Version: 5, Padding: make([]byte, max(0, b.Payload-4))})
	return &bareLoop{sess: sess, state: map[string]int64{}, event: body, b: b, batch: batch}, err
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
	if err := l.sess.Begin(); err != nil {
		return 0, err
	}
	var failed atomic.Pointer[error]
	promise := func(_ *kgo.Record, err error) {
		if err != nil {
			failed.CompareAndSwap(nil, &err)
		}
	}
	now := time.Now().UTC()
	digest := make([]byte, 16)
	n := 0
	for it := fetches.RecordIter(); !it.Done(); {
		r := it.Next()
		key := string(r.Key)
		l.state[key]++
		v := l.state[key]
		id := commandID(r)
		env := event.Envelope{Aggregate: l.b.typ.Name, Stream: event.StreamID(key), Version: event.Version(v), Type: "bench.v1.Deposited", ContentType: record.Protobuf,
			Time: now, RecordedTime: now, CausationID: id, CommandOffset: r.Offset, LastOfCommand: true, Partition: r.Partition}
		env.Data = append([]byte(nil), r.Value...)
		l.sess.Produce(ctx, l.enc.Event(&env, l.b.topics.Events), promise)
		o := event.Outcome{Aggregate: env.Aggregate, Stream: env.Stream, CommandID: id, Kind: event.Accepted, Version: env.Version, Events: []event.Ref{{Type: env.Type, Version: env.Version}},
			Position: env.Position(), RecordedTime: now, Partition: r.Partition, CommandOffset: r.Offset, Digest: digest}
		rec, err := l.enc.Outcome(&o, l.b.topics.Outcomes)
		if err != nil {
			return 0, err
		}
		l.sess.Produce(ctx, rec, promise)
		n++
	}
	if err := l.sess.Client().Flush(ctx); err != nil {
		return 0, err
	}
	committed, err := l.sess.End(ctx, kgo.TransactionEndTry(failed.Load() == nil))
	l.enc.Reset()
	if f := failed.Load(); f != nil {
		return 0, *f
	}
	if err != nil {
		return 0, err
	}
	if !committed {
		return 0, nil
	}
	return n, nil
}

func commandID(r *kgo.Record) string {
	for i := range r.Headers {
		if r.Headers[i].Key == "ce_id" {
			return string(r.Headers[i].Value)
		}
	}
	return ""
}

// bare runs the loop over all commands.
func (b *bed) bare(ctx context.Context, batch int) (float64, error) {
	l, err := b.newBare(batch, strconv.Itoa(batch))
	if err != nil {
		return 0, err
	}
	defer l.sess.Close()
	run, stop := context.WithTimeout(ctx, b.Limit)
	defer stop()
	var first time.Time
	var last time.Time
	done := 0
	for done < b.Count {
		began := time.Now()
		n, err := l.step(run)
		if err != nil {
			if run.Err() != nil && ctx.Err() == nil && done > 0 {
				break
			}
			return 0, fmt.Errorf("bare loop: %w", err)
		}
		if n > 0 {
			if first.IsZero() {
				first = began
			}
			done += n
			last = time.Now()
			b.Progress("bare loop, "+strconv.Itoa(batch)+" a transaction", done, b.Count)
		}
	}
	return rate(done, last.Sub(first)), nil
}

// latency measures one command in flight, from publishing it to its outcome being read.
func (b *bed) latency(ctx context.Context) (*Report, error) {
	r := &Report{Bench: "commands-latency", Inputs: b.inputs()}
	delete(r.Inputs, "commands")
	r.Inputs["inFlight"], r.Inputs["samples"] = 1, b.Latency
	var err error
	// Ours and the bare loop take turns, so that the disk's moods meet both.
	const rounds = 4
	var ours, bare []time.Duration
	for range rounds {
		took, err := b.turn(ctx, b.Latency/rounds, func(run context.Context) error {
			p, err := b.processor(producer.Hooks{})
			if err != nil {
				return err
			}
			return p.Run(run)
		})
		if err != nil {
			return nil, err
		}
		ours = append(ours, took...)
		took, err = b.turn(ctx, b.Latency/rounds, func(run context.Context) error {
			l, err := b.newBare(10_000, "1")
			if err != nil {
				return err
			}
			defer l.sess.Close()
			for run.Err() == nil {
				if _, err := l.step(run); err != nil && run.Err() == nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		bare = append(bare, took...)
		b.Progress("one in flight", len(ours), b.Latency)
	}
	r.Ours, r.Bare = percentiles(ours), percentiles(bare)
	return r.finish(), err
}

// turn runs a command processor and sends it n commands, one after the other; the first is not counted.
// Commands that an earlier turn's processor decided are decided again by this one's group and ignored.
func (b *bed) turn(ctx context.Context, n int, run func(context.Context) error) ([]time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, b.Limit)
	defer cancel()
	pub, err := producer.NewPublisher(ctx, producer.PublisherConfig{Kafka: b.Kafka, Prefix: b.prefix, Aggregates: []string{b.typ.Name}})
	if err != nil {
		return nil, err
	}
	parts, stop := context.WithCancel(ctx)
	ended := make(chan error, 2)
	go func() { ended <- pub.Run(parts) }()
	go func() { ended <- run(parts) }()
	defer func() { stop(); <-ended; <-ended }()
	body, err := proto.Marshal(&benchv1.Deposit{Amount: 1, Padding: make([]byte, max(0, b.Payload-4))})
	if err != nil {
		return nil, err
	}
	var took []time.Duration
	for i := range n + 1 {
		c := event.Command{Type: "bench.v1.Deposit", Stream: event.StreamID("acct-" + strconv.Itoa(i%b.Streams)), ExpectedVersion: event.AnyVersion}
		began := time.Now()
		if err := b.roundTrip(ctx, pub, c, body, ended); err != nil {
			return nil, err
		}
		if i > 0 {
			took = append(took, time.Since(began))
		}
	}
	return took, nil
}

func (b *bed) roundTrip(ctx context.Context, pub *producer.Publisher, c event.Command, body []byte, ended chan error) error {
	answered := make(chan error, 1)
	go func() {
		_, err := pub.Do(ctx, c, b.typ.Name, record.Protobuf, body)
		answered <- err
	}()
	select {
	case err := <-answered:
		return err
	case err := <-ended:
		ended <- err
		if err == nil {
			err = fmt.Errorf("the processor ended")
		}
		return err
	}
}
