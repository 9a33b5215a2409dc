package bench

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/producer"
	benchv1 "github.com/cqrsflow/cqrsflow/schemas/bench/v1"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"

	"google.golang.org/protobuf/proto"
)

// Commands says what the benchmark "commands" does. Zero values mean the defaults beside them.
type Commands struct {
	// Kafka reaches the brokers. Required.
	Kafka []kgo.Opt
	// Count of commands (1,000,000) to Streams (100,000) on Partitions (8), with Payload bytes each (100).
	Count, Streams int
	Partitions     int
	Payload        int
	// Zipf draws streams by Zipf's law instead of uniformly.
	Zipf bool
	// Workers of the processor; 2. Compression of what it writes; "lz4".
	Workers     int
	Compression string
	// Replication of the topics; 1.
	Replication int16
	// Limit ends the measured part; 3 minutes.
	Limit time.Duration
	// Latency measures one command in flight instead, that many times; 0 measures throughput.
	Latency int
	// Progress is told what is being done; nothing.
	Progress func(what string, done, total int)
}

func (c Commands) withDefaults() Commands {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.Count, 1_000_000)
	def(&c.Streams, 100_000)
	def(&c.Partitions, 8)
	def(&c.Payload, 100)
	def(&c.Workers, 2)
	if c.Replication == 0 {
		c.Replication = 1
	}
	if c.Limit == 0 {
		c.Limit = 3 * time.Minute
	}
	if c.Compression == "" {
		c.Compression = "lz4"
	}
	if c.Progress == nil {
		c.Progress = func(string, int, int) {}
	}
	return c
}

func (c Commands) inputs() map[string]any {
	keys := "uniform"
	if c.Zipf {
		keys = "zipf"
	}
	return map[string]any{"commands": c.Count, "streams": c.Streams, "partitions": c.Partitions, "payload": c.Payload, "keys": keys,
		"workers": c.Workers, "compression": c.Compression}
}

// bed is a set of topics of the benchmark's own, removed afterwards.
type bed struct {
	Commands
	prefix string
	topics topology.Topics
	cl     *kgo.Client
	adm    *kadm.Client
	typ    *decider.Type
	dir    string
}

func (c Commands) lay(ctx context.Context) (*bed, error) {
	b := &bed{Commands: c, prefix: "cqrsflow-bench-" + strconv.FormatUint(rand.Uint64(), 36), typ: aggregates.Account()}
	b.topics = topology.TopicsOf(b.prefix, b.typ.Name)
	cl, err := kgo.NewClient(append(c.Kafka[:len(c.Kafka):len(c.Kafka)], kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerLinger(5*time.Millisecond), kgo.MaxBufferedRecords(200_000), kgo.ProducerBatchCompression(kgo.Lz4Compression()))...)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", event.ErrConfig, err)
	}
	b.cl, b.adm = cl, kadm.NewClient(cl)
	resp, err := b.adm.CreateTopics(ctx, int32(c.Partitions), c.Replication, nil, b.topics.All()...)
	if err == nil {
		err = resp.Error()
	}
	if err != nil {
		cl.Close()
		return nil, fmt.Errorf("%w: topics for the benchmark: %w", event.ErrUnavailable, err)
	}
	b.dir, err = os.MkdirTemp("", "cqrsflow-bench")
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bed) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if _, err := b.adm.DeleteTopics(ctx, b.topics.All()...); err != nil {
		slog.Warn("removing the benchmark's topics", "err", err)
	}
	_, _ = b.adm.DeleteGroups(ctx, b.prefix+".processor", b.prefix+".bare-2000", b.prefix+".bare-10000", b.prefix+".bare-1")
	b.cl.Close()
	if b.dir != "" {
		_ = os.RemoveAll(b.dir)
	}
}

// load publishes the commands.
func (b *bed) load(ctx context.Context) error {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func() uint64 { return r.Uint64N(uint64(b.Streams)) }
	if b.Zipf {
		pick = rand.NewZipf(r, 1.1, 1, uint64(b.Streams-1)).Uint64
	}
	var failed atomic.Pointer[error]
	padding := make([]byte, max(0, b.Payload-4))
	for i := range b.Count {
		for j := 0; j+8 <= len(padding); j += 8 { // what compresses away is no payload
			*(*[8]byte)(padding[j:]) = [8]byte(strconv.AppendUint(make([]byte, 0, 20), 10_000_000+r.Uint64N(90_000_000), 10))
		}
		body, err := proto.Marshal(&benchv1.Deposit{Amount: int64(i%100 + 1), Padding: padding})
		if err != nil {
			return err
		}
		var enc record.Encoder
		stream := event.StreamID("acct-" + strconv.FormatUint(pick(), 10))
		c := event.Command{ID: "c-" + strconv.Itoa(i), Type: "bench.v1.Deposit", Stream: stream, ExpectedVersion: event.AnyVersion}
		rec := enc.Command(&c, b.topics.Commands, topology.PartitionOfStream(stream, int32(b.Partitions)), record.Protobuf, body)
		b.cl.Produce(ctx, rec, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
		if i%1000 == 0 {
			b.Progress("publishing", i, b.Count)
		}
	}
	if err := b.cl.Flush(ctx); err != nil {
		return err
	}
	if f := failed.Load(); f != nil {
		return fmt.Errorf("publish the benchmark's commands: %w", *f)
	}
	return nil
}

// RunCommands measures commands a second, exactly once, or the latency of one command in flight.
func RunCommands(ctx context.Context, c Commands) (*Report, error) {
	c = c.withDefaults()
	b, err := c.lay(ctx)
	if err != nil {
		return nil, err
	}
	defer b.close()
	if c.Latency > 0 {
		return b.latency(ctx)
	}
	if err := b.load(ctx); err != nil {
		return nil, err
	}
	r := &Report{Bench: "commands", Inputs: c.inputs()}
	if r.Ours.Rate, err = b.ours(ctx); err != nil {
		return nil, err
	}
	for _, batch := range []int{2_000, 10_000} {
		bare, err := b.bare(ctx, batch)
		if err != nil {
			return nil, err
		}
		r.Bare.Rate = max(r.Bare.Rate, bare)
	}
	return r.finish(), nil
}

func (b *bed) processor(hooks producer.Hooks) (*producer.Processor, error) {
	return producer.NewProcessor(producer.Config{Kafka: b.Kafka, Prefix: b.prefix, Types: []*decider.Type{b.typ}, Dir: b.dir, Instance: "bench",
		Workers: b.Workers, Compression: b.Compression, Hooks: hooks, Logger: slog.Default()})
}

// ours runs the processor over all commands: from the first transaction's begin to the last commit.
func (b *bed) ours(ctx context.Context) (float64, error) {
	var mu sync.Mutex
	var first, last time.Time
	done := 0
	finished := make(chan struct{})
	p, err := b.processor(producer.Hooks{Transaction: func(commands int, took time.Duration, committed bool) {
		if !committed {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		last = time.Now()
		if began := last.Add(-took); first.IsZero() || began.Before(first) {
			first = began
		}
		done += commands
		b.Progress("deciding", done, b.Count)
		if done == b.Count {
			close(finished)
		}
	}})
	if err != nil {
		return 0, err
	}
	run, stop := context.WithTimeout(ctx, b.Limit)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- p.Run(run) }()
	select {
	case <-finished:
		stop()
		err = <-ended
	case err = <-ended:
	}
	mu.Lock()
	defer mu.Unlock()
	if err == nil && done == 0 {
		err = fmt.Errorf("no command was decided within %v", b.Limit)
	}
	if err != nil {
		return 0, err
	}
	return rate(done, last.Sub(first)), ctx.Err()
}
