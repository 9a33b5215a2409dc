package search_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/query/search"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

// backend is one store with its sink and its reader, empty at first.
type backend struct {
	sink   runner.Sink
	reader search.Searcher
	// mark sets an operator's mark on the parked events of a stream.
	retry, drop func(ctx context.Context, stream event.StreamID) (int, error)
	// versions are those of the read model; the sink and the marks are of the first.
	versions rebuild.Store
	// evolving is the sink of the first version, with another way to change documents.
	evolving func(searchindex.Evolve) runner.Sink
	// rewinds: a document that is ahead of the log can be healed.
	rewinds bool
}

// epoch is when the first event of a shop happens; each further one a minute later.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

var topicID = [16]byte{7, 1}

func partition(n int32) runner.Partition {
	return runner.Partition{Aggregate: "order", Source: runner.Events, Topic: "cqrsflow.order.events", TopicID: topicID, Number: n}
}

// shop writes the log of one partition and applies it to a backend. Every event is a command of its own.
type shop struct {
	t         *testing.T
	b         *backend
	sink      runner.Sink
	partition int32
	session   runner.Session
	at        runner.Checkpoint
	versions  map[event.StreamID]event.Version
	pending   []event.Recorded
	next      int64
}

func open(t *testing.T, b *backend, number int32) *shop {
	t.Helper()
	s := &shop{t: t, b: b, sink: b.sink, partition: number, versions: map[event.StreamID]event.Version{}}
	s.reopen()
	return s
}

// reopen takes the partition over.
func (s *shop) reopen() {
	s.t.Helper()
	session, err := s.sink.Open(s.t.Context(), partition(s.partition))
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, session.Close()) })
	s.session = session
	at, found := session.Checkpoint()
	if !found {
		at = runner.Checkpoint{TopicID: topicID, CommandOffset: -1}
	}
	s.at = at
}

// add appends an event to the log, to be applied.
func (s *shop) add(stream string, body proto.Message) *event.Recorded {
	id := event.StreamID(stream)
	s.versions[id]++
	return s.addAt(stream, s.versions[id], body)
}

func (s *shop) addAt(stream string, v event.Version, body proto.Message) *event.Recorded {
	when := epoch.Add(time.Duration(s.next) * time.Minute)
	s.pending = append(s.pending, event.Recorded{Envelope: event.Envelope{
		Aggregate: "order", Stream: event.StreamID(stream), Version: v, Type: string(body.ProtoReflect().Descriptor().FullName()),
		Time: when, RecordedTime: when, CommandOffset: s.next, LastOfCommand: true, Partition: s.partition, Offset: s.next,
	}, Body: body})
	s.next++
	return &s.pending[len(s.pending)-1]
}

// batch is what is to be applied next.
func (s *shop) batch() *runner.Batch {
	b := &runner.Batch{Partition: partition(s.partition), From: s.at, To: s.at, Events: s.pending}
	if n := len(s.pending); n > 0 {
		b.To.Next, b.To.CommandOffset = s.next, s.next-1
	}
	return b
}

// try applies what is pending; it stays pending where that fails.
func (s *shop) try() error {
	b := s.batch()
	err := s.session.Apply(s.t.Context(), b)
	if err == nil {
		s.at, s.pending = b.To, nil
	}
	return err
}

// apply applies what is pending and waits until searches see it.
func (s *shop) apply() {
	s.t.Helper()
	require.NoError(s.t, s.try())
	s.see()
}

func (s *shop) see() {
	s.t.Helper()
	if p := s.position(); !p.IsZero() {
		ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
		defer cancel()
		_, err := s.b.reader.Wait(ctx, []event.Position{p})
		require.NoError(s.t, err)
	}
}

func (s *shop) position() event.Position {
	if s.at.CommandOffset < 0 {
		return event.Position{}
	}
	return event.Position{Aggregate: "order", Partition: s.partition, Offset: s.at.CommandOffset}
}

// order describes an order to be placed.
type order struct {
	id, customer string
	lines        []*orderv1.LineItem
	notes        string
	at           time.Time
}

func (s *shop) place(o order) {
	body := &orderv1.OrderPlaced{Customer: o.customer, Lines: o.lines, Notes: o.notes, Total: usd("0.00")}
	if len(o.lines) > 0 {
		body.Total = o.lines[0].GetTotal()
	}
	e := s.add(o.id, body)
	if o.at.IsZero() {
		o.at = e.Time
	}
	body.PlacedAt = timestamppb.New(o.at)
}

func (s *shop) pay(id string) {
	s.add(id, &orderv1.OrderPaid{Customer: "c", Total: usd("1.00"), Units: 1, PaidAt: timestamppb.New(epoch)})
}

func (s *shop) annotate(id, text string) {
	s.add(id, &orderv2.OrderAnnotated{Note: &orderv2.Note{Text: text, NotedAt: timestamppb.New(epoch), Author: "clerk"}})
}

func usd(amount string) *typev1.Money { return &typev1.Money{Amount: amount, Currency: "USD"} }

func line(sku, name string) *orderv1.LineItem {
	return &orderv1.LineItem{Sku: sku, Name: name, Quantity: 1, Total: usd("9.95")}
}

// find searches and returns the IDs of the hits, in order.
func find(t *testing.T, b *backend, r search.Request) ([]string, search.Result) {
	t.Helper()
	found, err := b.reader.Search(t.Context(), r)
	require.NoError(t, err)
	ids := make([]string, 0, len(found.Hits))
	for _, h := range found.Hits {
		ids = append(ids, string(h.Order.ID))
	}
	return ids, found
}

// pages searches page by page and returns all IDs, in order.
func pages(t *testing.T, b *backend, r search.Request) []string {
	t.Helper()
	var all []string
	total := int64(-1)
	for {
		ids, found := find(t, b, r)
		if total < 0 {
			total = found.Total
		}
		require.Equal(t, total, found.Total, "the total is the same on every page")
		all = append(all, ids...)
		if found.Cursor == "" {
			require.EqualValues(t, total, len(all), "all pages together are the total")
			return all
		}
		require.Len(t, ids, r.Limit, "only the last page may be short")
		r.Cursor = found.Cursor
		require.LessOrEqual(t, len(all), int(total), "pages go on after the total")
	}
}

func name(format string, args ...any) string { return fmt.Sprintf(format, args...) }
