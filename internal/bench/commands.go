package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

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
	Run
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
	// Rounds are how many parts the commands are cut into, each decided by both sides; 3.
	Rounds int
	// Limit bounds the whole of it; 3 minutes. Where it is too short, fewer commands are measured.
	Limit time.Duration
	// Latency measures one command in flight instead, that many times; 0 does not.
	Latency int
	// Rate measures latency with that many commands a second instead, whether or not they have been
	// answered (an open loop); 0 does not. Count is then how many; as many as there are in 20 s.
	Rate int
}

func (c Commands) withDefaults() Commands {
	c.Run = c.Run.withDefaults()
	if c.Rate > 0 {
		def(&c.Count, 20*c.Rate)
	}
	def(&c.Count, 1_000_000)
	def(&c.Streams, 100_000)
	def(&c.Partitions, 8)
	def(&c.Payload, 100)
	def(&c.Workers, 2)
	def(&c.Replication, 1)
	def(&c.Rounds, 3)
	def(&c.Limit, 3*time.Minute)
	def(&c.Compression, "lz4")
	return c
}

func (c Commands) inputs() map[string]any {
	keys := "uniform"
	if c.Zipf {
		keys = "zipf"
	}
	return map[string]any{"commands": c.Count, "streams": c.Streams, "partitions": c.Partitions, "payload": c.Payload, "keys": keys,
		"workers": c.Workers, "compression": c.Compression, "rounds": c.Rounds}
}

// RunCommands measures commands a second, exactly once; or the latency of one command in flight, or of
// commands at a rate.
func RunCommands(ctx context.Context, c Commands) (*Report, error) {
	c = c.withDefaults()
	b, err := c.lay(ctx, c.Kafka, aggregates.Account(), c.Partitions, c.Replication)
	if err != nil {
		return nil, err
	}
	defer b.close()
	t := c.on(b)
	switch {
	case c.Latency > 0:
		return t.oneInFlight(ctx)
	case c.Rate > 0:
		return t.atRate(ctx)
	}
	return t.throughput(ctx)
}

func (c Commands) on(b *bed) *traffic {
	r := rand.New(rand.NewPCG(1, 2))
	t := &traffic{bed: b, Commands: c, dir: b.dir, rand: r, stream: func() uint64 { return r.Uint64N(uint64(c.Streams)) }}
	if c.Zipf {
		t.stream = rand.NewZipf(r, 1.1, 1, uint64(c.Streams-1)).Uint64
	}
	return t
}

// traffic is commands for the account aggregate, and who decides them.
type traffic struct {
	*bed
	Commands
	// dir has the processor's local stores.
	dir string
	// rounds of snapshots begin after so many events; 0 is the processor's default.
	roundEvents int

	rand      *rand.Rand
	stream    func() uint64
	published int // commands so far
	decided   int // by the processor
}

// throughput has both sides take turns: each part of the commands is published, then decided by the
// processor and by the bare loop with small and with large transactions.
func (t *traffic) throughput(ctx context.Context) (*Report, error) {
	r := &Report{Bench: "commands", Inputs: t.inputs()}
	small, large := t.newBare(2_000), t.newBare(10_000)
	var ours []float64
	const steps = 4
	left := budget{time.Now().Add(t.Limit), t.Rounds * steps}
	for round := range t.Rounds {
		if err := t.within(ctx, &left, func(ctx context.Context) error { return t.publish(ctx, t.Count*(round+1)/t.Rounds) }); err != nil {
			return nil, err
		}
		turns := []func(context.Context) error{
			func(ctx context.Context) error {
				rate, err := t.decide(ctx)
				if err == nil {
					ours = append(ours, rate)
				}
				return err
			},
			func(ctx context.Context) error { return small.catchUp(ctx, t.published) },
			func(ctx context.Context) error { return large.catchUp(ctx, t.published) },
		}
		for i := range turns {
			if err := t.within(ctx, &left, turns[(i+round)%len(turns)]); err != nil {
				return nil, err
			}
		}
	}
	if len(ours) == 0 || len(small.rates)+len(large.rates) == 0 {
		return nil, fmt.Errorf("nothing was measured within the limit of %v", t.Limit)
	}
	r.Inputs["commands"] = t.decided
	r.Ours.Rate, r.Bare.Rate = median(ours), max(median(small.rates), median(large.rates))
	return r.finish(), nil
}

// within gives a step its share of the time; that it was too short is no error.
func (t *traffic) within(ctx context.Context, left *budget, step func(context.Context) error) error {
	run, stop := left.next(ctx)
	defer stop()
	err := step(run)
	if ctx.Err() == nil && run.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		t.Logger.Warn("a part of the benchmark was cut short by its time limit", "limit", t.Limit.String())
		return nil
	}
	return err
}

// publish puts commands on the topic until there are total.
func (t *traffic) publish(ctx context.Context, total int) error {
	var failed atomic.Pointer[error]
	sent := context.WithoutCancel(ctx)
	for t.published < total && ctx.Err() == nil && failed.Load() == nil {
		c, body, err := t.next()
		if err != nil {
			return err
		}
		var enc record.Encoder
		rec := enc.Command(&c, t.topics.Commands, topology.PartitionOfStream(c.Stream, int32(t.Partitions)), record.Protobuf, body)
		t.cl.Produce(sent, rec, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.CompareAndSwap(nil, &err)
			}
		})
		if t.published%1000 == 0 {
			t.Progress("publishing", t.published, t.Count)
		}
	}
	if err := t.cl.Flush(sent); err != nil {
		return err
	}
	if f := failed.Load(); f != nil {
		return fmt.Errorf("publish the benchmark's commands: %w", *f)
	}
	return ctx.Err()
}

// next makes a command.
func (t *traffic) next() (c event.Command, body []byte, err error) {
	padding := make([]byte, max(0, t.Payload-4))
	for i := range padding { // what compresses away is no payload
		padding[i] = '0' + byte(t.rand.Uint32N(10))
	}
	body, err = proto.Marshal(&benchv1.Deposit{Amount: int64(t.published%100 + 1), Padding: padding})
	t.published++
	return event.Command{ID: "c-" + strconv.Itoa(t.published), Type: "bench.v1.Deposit", Stream: event.StreamID("acct-" + strconv.FormatUint(t.stream(), 10)),
		ExpectedVersion: event.AnyVersion}, body, err
}

func (t *traffic) processor(hooks producer.Hooks) (*producer.Processor, error) {
	return producer.NewProcessor(producer.Config{Kafka: t.kafka, Prefix: t.prefix, Types: []*decider.Type{t.typ}, Dir: t.dir, Instance: "bench",
		Workers: t.Workers, Compression: t.Compression, RoundEvents: t.roundEvents, Hooks: hooks, Logger: t.Logger})
}

// decide runs the processor over what has been published: the rate is from when all workers have got their
// partitions to the end of the last transaction. The context may end it early.
func (t *traffic) decide(ctx context.Context) (float64, error) {
	var mu sync.Mutex
	var clock stopwatch
	done, todo := 0, t.published-t.decided
	finished := make(chan struct{})
	var p *producer.Processor
	p, err := t.processor(producer.Hooks{Transaction: func(commands int, took time.Duration, committed bool) {
		if !committed || commands == 0 {
			return
		}
		steady := serving(p, t.Partitions)
		mu.Lock()
		defer mu.Unlock()
		clock.transaction(commands, took, steady)
		if done += commands; done == todo {
			close(finished)
		}
		t.Progress("deciding", t.decided+done, t.Count)
	}})
	if err != nil {
		return 0, err
	}
	run, stop := context.WithCancel(ctx)
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
	t.decided += done
	switch {
	case err != nil:
		return 0, err
	case done == 0:
		return 0, fmt.Errorf("the processor decided no command in time: %w", context.Cause(ctx))
	}
	return clock.rate(), nil
}

// serving reports whether every partition is served: the workers join the group one after the other.
func serving(p *producer.Processor, partitions int) bool {
	parts, joined := p.Status()
	n := 0
	for _, part := range parts {
		if part.State == "serving" {
			n++
		}
	}
	return joined && n == partitions
}

// stopwatch measures transactions from when the state is steady. Where it never is, as the work is so
// little, all of them count.
type stopwatch struct {
	first, last time.Time // begin of the first transaction, end of the last
	all         int
	steady      time.Time
	counted     int // commands since then
}

func (s *stopwatch) transaction(commands int, took time.Duration, steady bool) {
	s.last = time.Now()
	if began := s.last.Add(-took); s.first.IsZero() || began.Before(s.first) {
		s.first = began
	}
	s.all += commands
	switch {
	case !s.steady.IsZero():
		s.counted += commands
	case steady:
		s.steady = s.last
	}
}

func (s *stopwatch) rate() float64 {
	if 2*s.counted < s.all {
		return rate(s.all, s.last.Sub(s.first))
	}
	return rate(s.counted, s.last.Sub(s.steady))
}
