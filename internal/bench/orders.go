package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// Orders says what log of orders the benchmarks of read models project. Zero values mean the defaults
// beside them.
type Orders struct {
	// Count of orders (100,000) on Partitions (8), each placed with one to three lines, then paid.
	Count, Partitions int
	// Batch is the most events that are applied at once; 5,000, as the runner's.
	Batch int
	// Apart is the most orders of a partition that are placed between an order and its payment; 1,000. So
	// many rows and documents are written twice, as their payment comes in a later batch.
	Apart int
	// Rounds are how often each side projects all of it; 5. None begins after Limit; 3 minutes.
	Rounds int
	Limit  time.Duration
}

func (o Orders) withDefaults() Orders {
	def(&o.Count, 100_000)
	def(&o.Partitions, 8)
	def(&o.Batch, 5_000)
	def(&o.Apart, 1_000)
	def(&o.Rounds, 5)
	def(&o.Limit, 3*time.Minute)
	return o
}

func (o Orders) inputs(log [][]batch) map[string]any {
	events, writes := 0, 0
	for _, part := range log {
		for i := range part {
			events, writes = events+len(part[i].events), writes+len(part[i].rows)
		}
	}
	return map[string]any{"orders": o.Count, "events": events, "writes": writes, "partitions": o.Partitions, "batch": o.Batch, "apart": o.Apart, "rounds": o.Rounds}
}

// forget drops the rows, which the garbage collector would go over again and again while ours is measured.
func forget(log [][]batch) {
	for _, part := range log {
		for i := range part {
			part[i].rows = nil
		}
	}
}

// order is an order as it is after a batch.
type order struct {
	id, customer string
	cents        int64
	units        int64
	notes        string
	lines        []*orderv1.LineItem
	lineCents    []int64
	placed, paid time.Time
	version      event.Version
	recorded     time.Time
	// fresh: it was placed in this batch, so that its lines are written.
	fresh bool
}

// batch is what is applied at once: events, and what the rows of their orders are after it, by ID.
type batch struct {
	events []event.Envelope
	rows   []order
	to     runner.Checkpoint
}

var (
	start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	words = strings.Fields("amber birch cedar delta ember fjord grove harbor indigo juniper kelp linen maple north olive pine quartz river slate timber")
)

// log makes the batches of each partition, the same each time.
func (o Orders) log() ([][]batch, error) {
	parts := make([][]batch, o.Partitions)
	for p := range parts {
		part, err := o.part(p)
		if err != nil {
			return nil, err
		}
		parts[p] = part
	}
	return parts, nil
}

func (o Orders) part(p int) ([]batch, error) {
	w := partWriter{p: p, batchSize: o.Batch, rand: rand.New(rand.NewPCG(uint64(p), 3)), current: map[int]bool{}}
	due := map[int][]int{} // orders to be paid, by the step at which they are
	n := (o.Count + o.Partitions - 1 - p) / o.Partitions
	w.orders = make([]order, 0, n)
	for step := 0; step < n+o.Apart; step++ {
		if step < n {
			if err := w.place(); err != nil {
				return nil, err
			}
			at := step + w.rand.IntN(o.Apart)
			due[at] = append(due[at], step)
		}
		for _, i := range due[step] {
			if err := w.pay(i); err != nil {
				return nil, err
			}
		}
		delete(due, step)
	}
	w.cut()
	return w.done, nil
}

type partWriter struct {
	p, batchSize int
	rand         *rand.Rand
	orders       []order
	batch        batch
	current      map[int]bool // orders of the batch
	fresh        int          // the first order that was placed in it
	offset       int64
	done         []batch
}

func (w *partWriter) place() error {
	n := len(w.orders)
	o := order{id: fmt.Sprintf("o-%d-%06d", w.p, n), customer: fmt.Sprintf("c-%05d", w.rand.IntN(20_000)), placed: start.Add(time.Duration(n) * time.Second)}
	for i := range 1 + w.rand.IntN(3) {
		quantity, cents := 1+w.rand.IntN(4), int64(100+w.rand.IntN(10_000))
		word := func() string { return words[w.rand.IntN(len(words))] }
		o.lines = append(o.lines, &orderv1.LineItem{Sku: fmt.Sprintf("sku-%d-%04d", i, w.rand.IntN(10_000)), Name: word() + " " + word(),
			Quantity: int32(quantity), Total: money(cents)})
		o.lineCents = append(o.lineCents, cents)
		o.cents, o.units = o.cents+cents, o.units+int64(quantity)
	}
	if w.rand.IntN(5) == 0 {
		o.notes = "please leave it at the " + words[w.rand.IntN(len(words))] + " door"
	}
	w.orders = append(w.orders, o)
	return w.event(n, "order.v1.OrderPlaced", o.placed,
		&orderv1.OrderPlaced{Customer: o.customer, Lines: o.lines, Total: money(o.cents), Notes: o.notes, PlacedAt: timestamppb.New(o.placed)})
}

func (w *partWriter) pay(n int) error {
	o := &w.orders[n]
	o.paid = o.placed.Add(time.Minute)
	return w.event(n, "order.v1.OrderPaid", o.paid,
		&orderv1.OrderPaid{Customer: o.customer, Total: money(o.cents), Units: int32(o.units), PaidAt: timestamppb.New(o.paid)})
}

func (w *partWriter) event(n int, typ string, at time.Time, body proto.Message) error {
	data, err := proto.Marshal(body)
	if err != nil {
		return err
	}
	o := &w.orders[n]
	o.version++
	o.recorded = at.Add(time.Millisecond)
	w.current[n] = true
	w.batch.events = append(w.batch.events, event.Envelope{Aggregate: "order", Stream: event.StreamID(o.id), Version: o.version, Type: typ, Time: at,
		RecordedTime: o.recorded, CausationID: fmt.Sprintf("%s-%d", o.id, o.version), CommandOffset: w.offset, LastOfCommand: true,
		Partition: int32(w.p), Offset: w.offset, ContentType: record.Protobuf, Data: data})
	w.offset++
	if len(w.batch.events) == w.batchSize {
		w.cut()
	}
	return nil
}

// cut ends the batch.
func (w *partWriter) cut() {
	if len(w.batch.events) == 0 {
		return
	}
	for n := range w.current {
		o := w.orders[n]
		o.fresh = n >= w.fresh
		w.batch.rows = append(w.batch.rows, o)
	}
	slices.SortFunc(w.batch.rows, func(a, b order) int { return strings.Compare(a.id, b.id) })
	w.batch.to = runner.Checkpoint{TopicID: topicID, Next: w.offset, CommandOffset: w.offset - 1}
	w.done = append(w.done, w.batch)
	w.batch = batch{}
	w.fresh = len(w.orders)
	clear(w.current)
}

func money(cents int64) *typev1.Money {
	return &typev1.Money{Amount: fmt.Sprintf("%d.%02d", cents/100, cents%100), Currency: "USD"}
}

var topicID = [16]byte{'b', 'e', 'n', 'c', 'h'}

func partition(p int) runner.Partition {
	return runner.Partition{Aggregate: "order", Source: runner.Events, Topic: "cqrsflow.order.events", TopicID: topicID, Number: int32(p)}
}

// project applies the log to a sink as the runner does: a session a partition, all at the same time, each
// event's body decoded when its batch is made.
func project(ctx context.Context, sink runner.Sink, log [][]batch) (time.Duration, error) {
	typ, ok := aggregates.Lookup("order")
	if !ok {
		return 0, fmt.Errorf("%w: there is no aggregate type order", event.ErrConfig)
	}
	sessions := make([]runner.Session, len(log))
	for p := range log {
		s, err := sink.Open(ctx, partition(p))
		if err != nil {
			return 0, err
		}
		defer func() { _ = s.Close() }()
		sessions[p] = s
	}
	began := time.Now()
	err := each(ctx, len(log), func(ctx context.Context, p int) error { return projectPart(ctx, typ, sessions[p], p, log[p]) })
	return time.Since(began), err
}

func projectPart(ctx context.Context, typ *decider.Type, s runner.Session, p int, part []batch) error {
	b := runner.Batch{Partition: partition(p), To: runner.Checkpoint{TopicID: topicID, CommandOffset: -1}}
	for i := range part {
		b.Events = b.Events[:0]
		for j := range part[i].events {
			body, err := typ.Codec.DecodeEvent(&part[i].events[j])
			if err != nil {
				return err
			}
			b.Events = append(b.Events, event.Recorded{Envelope: part[i].events[j], Body: body})
		}
		b.From, b.To = b.To, part[i].to
		if err := s.Apply(ctx, &b); err != nil {
			return err
		}
	}
	return nil
}
