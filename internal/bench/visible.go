package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/consumers/postgres/shop"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/producer"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// Visible says what the latency benchmark of "sql" does. Zero values mean the defaults beside them.
type Visible struct {
	Run
	// Kafka and URL reach the servers, as for Commands and SQL. Required.
	Kafka []kgo.Opt
	URL   string
	// Rate is how many commands a second are sent, whether or not they have been answered (an open loop);
	// 1,000. Count is how many of them are measured on each side; as many as there are in 20 s.
	Rate, Count int
	// Partitions of the topics; 8. Replication; 1. Workers of the processor; 2.
	Partitions  int
	Replication int16
	Workers     int
	// Limit bounds the whole of it; 3 minutes.
	Limit time.Duration
}

// RunVisible measures how long after an event was recorded its order is to be seen in PostgreSQL, at a
// rate of commands; against a loop that consumes the events and upserts their bytes, one row an order. An
// event is recorded just before its transaction is committed, so that the commit is part of it.
func RunVisible(ctx context.Context, c Visible) (*Report, error) {
	c.Run = c.Run.withDefaults()
	def(&c.Rate, 1000)
	def(&c.Count, 20*c.Rate)
	def(&c.Partitions, 8)
	def(&c.Replication, 1)
	def(&c.Workers, 2)
	def(&c.Limit, 3*time.Minute)
	ctx, cancel := context.WithTimeoutCause(ctx, c.Limit, fmt.Errorf("not done within %v: %w", c.Limit, context.DeadlineExceeded))
	defer cancel()
	typ, ok := aggregates.Lookup("order")
	if !ok {
		return nil, fmt.Errorf("%w: there is no aggregate type order", event.ErrConfig)
	}
	d, err := openDatabase(ctx, c.Run, c.URL)
	if err != nil {
		return nil, err
	}
	defer d.close()
	if _, err := d.store.Pool().Exec(ctx, "CREATE TABLE latest (id text PRIMARY KEY, version bigint NOT NULL, body bytea NOT NULL)"); err != nil {
		return nil, err
	}
	b, err := c.lay(ctx, c.Kafka, typ, c.Partitions, c.Replication)
	if err != nil {
		return nil, err
	}
	defer b.close()
	v := &visible{Visible: c, bed: b, database: d}
	var took [2][]time.Duration
	sides := []func(context.Context, *watch) error{v.project, v.bareUpsert}
	for turn := range turns {
		for i := range sides {
			side := (i + turn) % len(sides)
			d, err := v.turn(ctx, c.Count*(turn+1)/turns-c.Count*turn/turns, sides[side])
			if err != nil {
				return nil, err
			}
			took[side] = append(took[side], d...)
			c.Progress("measuring", turn*len(sides)+i+1, turns*len(sides))
		}
	}
	r := &Report{Bench: "sql-latency", Ours: percentiles(took[0]), Bare: percentiles(took[1]),
		Inputs: map[string]any{"rate": c.Rate, "commands": c.Count, "partitions": c.Partitions, "workers": c.Workers}}
	return r.finish(), nil
}

type visible struct {
	Visible
	bed      *bed
	database *database
	orders   int // so far
}

// turn sends commands while a projection runs, and returns how long their events took.
func (v *visible) turn(ctx context.Context, n int, projection func(context.Context, *watch) error) ([]time.Duration, error) {
	p, err := producer.NewProcessor(producer.Config{Kafka: v.Kafka, Prefix: v.bed.prefix, Types: []*decider.Type{v.bed.typ}, Dir: v.bed.dir, Instance: "bench",
		Workers: v.Workers, Logger: v.Logger})
	if err != nil {
		return nil, err
	}
	pub, err := producer.NewPublisher(ctx, producer.PublisherConfig{Kafka: v.Kafka, Prefix: v.bed.prefix, Aggregates: []string{v.bed.typ.Name},
		InFlight: 100_000, Logger: v.Logger})
	if err != nil {
		return nil, err
	}
	w := newWatch(time.Now())
	all, stop := context.WithCancel(ctx)
	defer stop()
	err = each(all, 4, func(ctx context.Context, i int) error {
		switch i {
		case 0:
			return ended(all, "the publisher", pub.Run(ctx))
		case 1:
			return ended(all, "the processor", p.Run(ctx))
		case 2:
			return ended(all, "the projection", projection(ctx, w))
		}
		defer stop()
		if err := until(ctx, func() bool { return serving(p, v.Partitions) }); err != nil {
			return err
		}
		return v.send(ctx, pub, w, n)
	})
	return w.mu.took, err
}

// send sends commands, and waits until their events have been seen.
func (v *visible) send(ctx context.Context, pub *producer.Publisher, w *watch, n int) error {
	var answers sync.WaitGroup
	defer answers.Wait()
	var mu sync.Mutex
	var failure error
	order := 0
	send := func(i int, _ time.Time) error {
		c := event.Command{Type: "order.v1.PayOrder", ExpectedVersion: event.AnyVersion}
		var body proto.Message = &orderv1.PayOrder{}
		if i%2 == 0 {
			v.orders++
			order = v.orders
			c.Type = "order.v1.PlaceOrder"
			body = &orderv1.PlaceOrder{Customer: "c-" + strconv.Itoa(order%1000), Lines: []*orderv1.Line{
				{Sku: "cd", Name: "compact disc", Quantity: 2, Total: money(2398)}, {Sku: "book", Name: "paperback", Quantity: 1, Total: money(999)}}}
		}
		c.Stream = event.StreamID("o-" + strconv.Itoa(order))
		data, err := proto.Marshal(body)
		if err != nil {
			return err
		}
		answers.Add(1)
		err = pub.Enqueue(ctx, v.bed.typ.Name, c, record.Protobuf, data, func(o event.Outcome, err error) {
			defer answers.Done()
			if err == nil && o.Kind != event.Accepted {
				err = fmt.Errorf("%s of %s is %v: %s", c.Type, c.Stream, o.Kind, o.Message)
			}
			mu.Lock()
			defer mu.Unlock()
			failure = cmp.Or(failure, err)
		})
		if err != nil {
			answers.Done()
		}
		return err
	}
	// The first two tell that everybody is at work.
	for i := range 2 {
		if err := send(i, time.Time{}); err != nil {
			return err
		}
	}
	if err := w.wait(ctx, 2); err != nil {
		return err
	}
	warm := min(n/4, v.Rate) // a second, not counted
	w.count(time.Now().Add(time.Duration(warm) * time.Second / time.Duration(v.Rate)))
	err := pace(ctx, v.Rate, n+warm, send)
	answers.Wait()
	if err = errors.Join(err, failure); err != nil {
		return err
	}
	return w.wait(ctx, 2+n+warm)
}

// project runs the read model orders.
func (v *visible) project(ctx context.Context, w *watch) error {
	model := shop.Orders{}
	sink, err := v.database.store.Sink(model, 1)
	if err != nil {
		return err
	}
	r, err := runner.New(runner.Config{Name: model.Name(), Version: 1, Prefix: v.bed.prefix, Client: v.Kafka,
		Aggregates: map[string]*decider.Type{v.bed.typ.Name: v.bed.typ}, Sink: watched{sink, w}, Logger: v.Logger})
	if err != nil {
		return err
	}
	return r.Run(ctx)
}

// bareUpsert reads all events and upserts them.
func (v *visible) bareUpsert(ctx context.Context, w *watch) error {
	cl, err := kgo.NewClient(append(v.Kafka[:len(v.Kafka):len(v.Kafka)], kgo.ConsumeTopics(v.bed.topics.Events),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.FetchIsolationLevel(kgo.ReadCommitted()))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	var names record.Names
	for {
		fetches := cl.PollFetches(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if failed := fetches.Errors(); len(failed) > 0 {
			return failed[0].Err
		}
		place := map[string]int{}
		var ids []string
		var versions []int64
		var bodies [][]byte
		var recorded []time.Time
		for it := fetches.RecordIter(); !it.Done(); {
			r := it.Next()
			var e event.Envelope
			if err := record.ParseEvent(r, v.bed.typ.Name, &names, &e); err != nil {
				return err
			}
			recorded = append(recorded, e.RecordedTime)
			i, ok := place[string(r.Key)]
			if !ok {
				i = len(ids)
				place[string(r.Key)] = i
				ids, versions, bodies = append(ids, string(r.Key)), append(versions, 0), append(bodies, nil)
			}
			versions[i], bodies[i] = int64(e.Version), r.Value
		}
		if _, err := v.database.store.Pool().Exec(ctx, `INSERT INTO latest SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[])
			ON CONFLICT (id) DO UPDATE SET version = excluded.version, body = excluded.body`, ids, versions, bodies); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		w.seen(recorded)
	}
}

// watch notes when events are to be seen.
type watch struct {
	begin time.Time
	mu    struct {
		sync.Mutex
		n    int       // events seen that were recorded since begin
		from time.Time // those recorded since are counted
		took []time.Duration
		news chan struct{} // closed when n changes
	}
}

func newWatch(begin time.Time) *watch {
	w := &watch{begin: begin}
	w.mu.news = make(chan struct{})
	return w
}

// count has events count that are recorded from then on.
func (w *watch) count(from time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.from = from
}

func (w *watch) seen(recorded []time.Time) {
	now := time.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, at := range recorded {
		if at.Before(w.begin) {
			continue
		}
		w.mu.n++
		if !w.mu.from.IsZero() && !at.Before(w.mu.from) {
			w.mu.took = append(w.mu.took, now.Sub(at))
		}
	}
	close(w.mu.news)
	w.mu.news = make(chan struct{})
}

// wait waits until n events have been seen.
func (w *watch) wait(ctx context.Context, n int) error {
	for {
		w.mu.Lock()
		have, news := w.mu.n, w.mu.news
		w.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d events have been seen: %w", have, n, context.Cause(ctx))
		}
	}
}

// watched is a sink whose batches are to be seen as soon as they have been applied.
type watched struct {
	runner.Sink
	watch *watch
}

func (s watched) Open(ctx context.Context, p runner.Partition) (runner.Session, error) {
	inner, err := s.Sink.Open(ctx, p)
	if err != nil {
		return nil, err
	}
	return &watchedSession{inner, s.watch}, nil
}

type watchedSession struct {
	runner.Session
	watch *watch
}

func (s *watchedSession) Apply(ctx context.Context, b *runner.Batch) error {
	if err := s.Session.Apply(ctx, b); err != nil {
		return err
	}
	recorded := make([]time.Time, len(b.Events))
	for i := range b.Events {
		recorded[i] = b.Events[i].RecordedTime
	}
	s.watch.seen(recorded)
	return nil
}
