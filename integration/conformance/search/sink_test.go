package search_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/query/search"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

// conformance runs the suite; fresh makes an empty backend.
func conformance(t *testing.T, fresh func(t *testing.T) *backend) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *backend)
	}{
		{"Document", testDocument},
		{"RefoldOnlyNewEvents", testRefold},
		{"Checkpoint", testCheckpoint},
		{"TakenOver", testTakenOver},
		{"StaleBatch", testStaleBatch},
		{"Poison", testPoison},
		{"Parking", testParking},
		{"Gap", testGap},
		{"Drop", testDrop},
		{"Tombstones", testTombstones},
		{"Heal", testHeal},
		{"Rebuild", testRebuild},
		{"LargeBatch", testLargeBatch},
		{"Wait", testWait},
		{"OtherPartitions", testOtherPartitions},
		{"NotFound", testNotFound},
		{"Empty", testEmpty},
		{"Words", testWords},
		{"Unicode", testUnicode},
		{"Ranking", testRanking},
		{"Highlights", testHighlights},
		{"FiltersAndFacets", testFacets},
		{"Order", testOrder},
		{"CursorOverTies", testCursorTies},
		{"CursorWhileWriting", testCursorWriting},
		{"BadRequests", testBadRequests},
		{"BeyondTenThousand", testBeyondTenThousand},
		{"Model", testModel},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, fresh(t)) })
	}
}

// testDocument: a whole life of an order, in one batch and event by event, is the same document.
func testDocument(t *testing.T, b *backend) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 678_900_000, time.UTC)
	life := func(s *shop, id string) {
		s.place(order{id: id, customer: "c-7", at: when, notes: "ring twice", lines: []*orderv1.LineItem{line("A-1", "Blue Shirt"), line("B-2", "Hat")}})
		s.add(id, &orderv1.LineAdded{Line: &orderv1.LineItem{Sku: "C-3", Name: "Belt", Quantity: 3, Total: usd("12.5")}, OrderTotal: usd("32.40")})
		s.add(id, &orderv1.LineRemoved{Sku: "B-2", OrderTotal: usd("22.45")})
		s.add(id, &orderv1.OrderPaid{Customer: "c-7", Total: usd("22.45"), Units: 4, PaidAt: timestamppb.New(when.Add(time.Hour))})
		s.add(id, &orderv2.OrderAnnotated{Note: &orderv2.Note{Text: "paid in cash", NotedAt: timestamppb.New(when.Add(2 * time.Hour)), Author: "clerk"}})
		s.add(id, &orderv1.OrderShipped{ShippedAt: timestamppb.New(when.Add(3 * time.Hour))})
		s.add(id, &orderv1.OrderDelivered{DeliveredAt: timestamppb.New(when.Add(4 * time.Hour))})
	}
	s := open(t, b, 0)
	life(s, "at-once")
	s.apply()
	life(s, "one-by-one")
	events := s.pending
	for i := range events {
		s.pending = events[i : i+1]
		batch := s.batch()
		batch.To.Next, batch.To.CommandOffset = events[i].Offset+1, events[i].CommandOffset
		require.NoError(t, s.session.Apply(t.Context(), batch))
		s.at = batch.To
	}
	s.pending = nil
	s.add("cancelled", &orderv1.OrderPlaced{Customer: "c-8", Total: usd("0"), PlacedAt: timestamppb.New(when)})
	s.add("cancelled", &orderv1.OrderCancelled{Reason: "changed my mind", CancelledAt: timestamppb.New(when.Add(time.Minute))})
	s.apply()

	want := search.Order{
		ID: "at-once", Version: 7, Status: "delivered", Customer: "c-7", TotalCents: 2245, Currency: "USD",
		Lines:    []searchindex.Line{{SKU: "A-1", Name: "Blue Shirt", Quantity: 1, TotalCents: 995}, {SKU: "C-3", Name: "Belt", Quantity: 3, TotalCents: 1250}},
		Notes:    []searchindex.Note{{Text: "ring twice", NotedAt: when}, {Text: "paid in cash", NotedAt: when.Add(2 * time.Hour), Author: "clerk"}},
		PlacedAt: when, PaidAt: when.Add(time.Hour), ShippedAt: when.Add(3 * time.Hour), DeliveredAt: when.Add(4 * time.Hour),
		UpdatedAt: epoch.Add(6 * time.Minute),
	}
	got, err := b.reader.Get(t.Context(), "at-once")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(want, got))
	_, found := find(t, b, search.Request{Q: "shirt"})
	require.Len(t, found.Hits, 2)
	for _, h := range found.Hits {
		want.ID, want.UpdatedAt = h.Order.ID, h.Order.UpdatedAt
		require.Empty(t, cmp.Diff(want, h.Order), "found as it was folded")
	}
	got, err = b.reader.Get(t.Context(), "cancelled")
	require.NoError(t, err)
	require.Equal(t, "cancelled", got.Status)
	require.Equal(t, "changed my mind", got.CancelReason)
	ids, _ := find(t, b, search.Request{Q: "hat"})
	require.Empty(t, ids, "a line that was removed is not found")
}

// testRefold: events that are delivered again change nothing, alone or with new ones.
func testRefold(t *testing.T, b *backend) {
	s := open(t, b, 0)
	s.place(order{id: "o", customer: "c", lines: []*orderv1.LineItem{line("a", "first")}})
	s.annotate("o", "second")
	old := s.pending
	s.apply()
	s.annotate("o", "third")
	third := s.pending
	s.apply()
	before, err := b.reader.Get(t.Context(), "o")
	require.NoError(t, err)
	require.EqualValues(t, 3, before.Version)

	s.next++ // something else moved the checkpoint
	s.pending = old
	s.apply()
	after, err := b.reader.Get(t.Context(), "o")
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(before, after), "old events alone")

	s.pending = append(append([]event.Recorded{}, old...), third...)
	s.annotate("o", "fourth")
	s.apply()
	after, err = b.reader.Get(t.Context(), "o")
	require.NoError(t, err)
	require.EqualValues(t, 4, after.Version)
	require.Len(t, after.Notes, 3)
	require.Equal(t, "fourth", after.Notes[2].Text)
	_, found := find(t, b, search.Request{})
	require.EqualValues(t, 1, found.Total, "one document a stream")
}

func testCheckpoint(t *testing.T, b *backend) {
	session, err := b.sink.Open(t.Context(), partition(3))
	require.NoError(t, err)
	_, found := session.Checkpoint()
	require.False(t, found, "never processed")
	require.NoError(t, session.Close())

	s := open(t, b, 3)
	_, found = s.session.Checkpoint()
	require.False(t, found, "opening is not processing")
	s.place(order{id: "o", customer: "c"})
	s.apply()
	// An event that is not its command's last moves the offset, not the command offset.
	s.place(order{id: "p", customer: "c"})
	batch := s.batch()
	batch.To.CommandOffset = s.at.CommandOffset
	require.NoError(t, s.session.Apply(t.Context(), batch))
	want := runner.Checkpoint{TopicID: topicID, Next: 2, CommandOffset: 0}
	got, found := s.session.Checkpoint()
	require.True(t, found)
	require.Equal(t, want, got)

	s.reopen()
	got, found = s.session.Checkpoint()
	require.True(t, found)
	require.Equal(t, want, got)
}

// testTakenOver: who opened the partition last is its owner; the one before it acknowledges nothing more.
func testTakenOver(t *testing.T, b *backend) {
	zombie := open(t, b, 0)
	zombie.place(order{id: "o", customer: "c"})
	zombie.apply()

	owner := open(t, b, 0)
	owner.next, owner.versions["o"] = 1, 1
	zombie.pay("o")
	require.ErrorIs(t, zombie.try(), event.ErrFenced)
	_, err := zombie.session.Parked(t.Context())
	require.ErrorIs(t, err, event.ErrFenced)
	at, _ := owner.session.Checkpoint()
	require.EqualValues(t, 1, at.Next, "the zombie moved nothing")

	owner.pay("o")
	owner.apply()
	require.ErrorIs(t, zombie.try(), event.ErrFenced)
	got, err := b.reader.Get(t.Context(), "o")
	require.NoError(t, err)
	require.EqualValues(t, 2, got.Version)

	require.NoError(t, owner.session.Close())
	owner.annotate("o", "too late")
	require.ErrorIs(t, owner.try(), event.ErrFenced, "nothing is acknowledged after Close")
}

// testStaleBatch: a batch that does not follow from the checkpoint fails whole.
func testStaleBatch(t *testing.T, b *backend) {
	s := open(t, b, 0)
	s.place(order{id: "o", customer: "c"})
	s.apply()
	s.pay("o")
	for _, from := range []runner.Checkpoint{
		{TopicID: topicID, Next: 0, CommandOffset: -1},
		{TopicID: topicID, Next: 2, CommandOffset: 0},
		{TopicID: topicID, Next: 1, CommandOffset: 5},
		{TopicID: [16]byte{9}, Next: 1, CommandOffset: 0},
	} {
		batch := s.batch()
		batch.From = from
		require.ErrorIs(t, s.session.Apply(t.Context(), batch), event.ErrFenced, "%+v", from)
	}
	got, err := b.reader.Get(t.Context(), "o")
	require.NoError(t, err)
	require.EqualValues(t, 1, got.Version)
	s.apply() // the right one still goes
}

// testPoison: what cannot be indexed names its event; the rest goes when it is taken out.
func testPoison(t *testing.T, b *backend) {
	s := open(t, b, 0)
	s.place(order{id: "good", customer: "c"})
	s.place(order{id: "bad", customer: "c"})
	s.apply()
	s.pay("good")
	s.add("bad", &orderv1.LineAdded{Line: line("x", "x"), OrderTotal: usd("a lot")})
	poisonAt := s.pending[1].Offset
	s.pay("bad")

	var p *runner.Poison
	err := s.try()
	require.ErrorAs(t, err, &p)
	require.Equal(t, event.StreamID("bad"), p.Stream)
	require.Equal(t, poisonAt, p.Offset)
	require.NotErrorIs(t, err, event.ErrCorrupt)
	require.NotErrorIs(t, err, event.ErrUnavailable)
	at, _ := s.session.Checkpoint()
	require.EqualValues(t, 2, at.Next, "nothing is acknowledged")

	s.add("good", &orderv1.OrderShipped{})
	s.pending = []event.Recorded{s.pending[0], s.pending[3]}
	s.apply()
	got, err := b.reader.Get(t.Context(), "good")
	require.NoError(t, err)
	require.Equal(t, "shipped", got.Status)
	got, err = b.reader.Get(t.Context(), "bad")
	require.NoError(t, err)
	require.EqualValues(t, 1, got.Version)
}

func testParking(t *testing.T, b *backend) {
	ctx := t.Context()
	s := open(t, b, 0)
	when := time.Date(2026, 5, 5, 5, 5, 5, 5_000_000, time.UTC)
	pointer := func(stream string, offset int64) runner.Pointer {
		return runner.Pointer{Stream: event.StreamID(stream), Offset: offset, Reason: "no “good”", Attempts: 1, ParkedAt: when}
	}
	parked := func(want ...runner.Pointer) {
		t.Helper()
		got, err := s.session.Parked(ctx)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(want, got, cmp.Transformer("utc", func(t time.Time) int64 { return t.UnixNano() }), equateEmpty))
	}
	isParked := func(stream string, want bool) {
		t.Helper()
		got, err := b.reader.ParkedStream(ctx, event.StreamID(stream))
		require.NoError(t, err)
		require.Equal(t, want, got, stream)
	}
	parked()
	s.place(order{id: "o", customer: "c"})
	s.place(order{id: "p", customer: "c"})
	s.place(order{id: "q", customer: "c"})
	all := s.pending
	s.pending = all[:1]
	batch := s.batch()
	batch.Park = []runner.Pointer{pointer("q", 2), pointer("p", 1)}
	require.NoError(t, s.session.Apply(ctx, batch))
	s.at, s.pending = batch.To, nil
	parked(pointer("p", 1), pointer("q", 2))
	isParked("p", true)
	isParked("q", true)
	isParked("o", false)

	s.reopen()
	parked(pointer("p", 1), pointer("q", 2))

	// An operator marks; the worker sees it, and its next batch still goes through.
	n, err := b.retry(ctx, "p")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = b.drop(ctx, "q")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = b.retry(ctx, "o")
	require.NoError(t, err)
	require.Zero(t, n)
	s.pay("o")
	require.NoError(t, s.try(), "a mark is no other owner")
	p, q := pointer("p", 1), pointer("q", 2)
	p.Retry, q.Dropped = true, true
	parked(p, q)
	isParked("q", false)
	n, err = b.retry(ctx, "q")
	require.NoError(t, err)
	require.Zero(t, n, "what was dropped is given up")

	// The drain: From and To are equal.
	drain := &runner.Batch{Partition: partition(0), From: s.at, To: s.at, Events: all[1:2], Unpark: []int64{1}}
	require.NoError(t, s.session.Apply(ctx, drain))
	parked(q)
	isParked("p", false)
	got, err := b.reader.Get(ctx, "p")
	require.NoError(t, err)
	require.EqualValues(t, 1, got.Version)
	require.ErrorIs(t, s.session.Apply(ctx, drain), event.ErrFenced, "the pointer is gone")

	// Parking the same offset again replaces the pointer.
	again := pointer("q", 2)
	again.Attempts = 2
	require.NoError(t, s.session.Apply(ctx, &runner.Batch{Partition: partition(0), From: s.at, To: s.at, Park: []runner.Pointer{again}}))
	parked(again)
}

func testGap(t *testing.T, b *backend) {
	s := open(t, b, 0)
	s.place(order{id: "o", customer: "c"})
	s.apply()
	s.versions["o"]++ // version 2 was dropped
	s.annotate("o", "after the gap")
	require.ErrorIs(t, s.try(), event.ErrCorrupt)
	s.addAt("new", 5, &orderv1.OrderPaid{Customer: "c", Total: usd("1"), PaidAt: timestamppb.New(epoch)})
	batch := s.batch()
	batch.Gaps = map[event.StreamID]bool{"o": true}
	require.ErrorIs(t, s.session.Apply(t.Context(), batch), event.ErrCorrupt, "the other stream may not jump")
	batch.Gaps["new"] = true
	require.NoError(t, s.session.Apply(t.Context(), batch))
	got, err := b.reader.Get(t.Context(), "o")
	require.NoError(t, err)
	require.EqualValues(t, 3, got.Version)
	got, err = b.reader.Get(t.Context(), "new")
	require.NoError(t, err)
	require.EqualValues(t, 5, got.Version)
	require.Equal(t, "paid", got.Status)
}

// testLargeBatch: more than one request's worth of documents, and of stored ones to read.
func testLargeBatch(t *testing.T, b *backend) {
	const n = 2500
	s := open(t, b, 0)
	for i := range n {
		s.place(order{id: name("o-%d", i), customer: "c", notes: "a note that takes some room in the request"})
	}
	s.apply()
	for i := range n {
		s.annotate(name("o-%d", i), "second")
		s.pay(name("o-%d", i))
	}
	s.apply()
	_, found := find(t, b, search.Request{Q: `"some room" second`, Status: "paid", Limit: 1})
	require.EqualValues(t, n, found.Total)
}

func testWait(t *testing.T, b *backend) {
	s := open(t, b, 1)
	at, err := b.reader.Wait(t.Context(), nil)
	require.NoError(t, err)
	require.Empty(t, at)
	first := event.Position{Aggregate: "order", Partition: 1, Offset: 0}
	behind := func(after ...event.Position) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		_, err := b.reader.Wait(ctx, after)
		require.ErrorIs(t, err, query.ErrBehind)
	}
	behind(first)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.reader.Wait(ended, []event.Position{first})
	require.ErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, query.ErrBehind)

	// Many wait; what they waited for is found when they return.
	errs := make(chan error, 8)
	for range cap(errs) {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			through, err := b.reader.Wait(ctx, []event.Position{first, {Aggregate: "customer", Partition: 1, Offset: 99}})
			if err == nil && (len(through) != 1 || through[0] != first) {
				err = errors.New("read through " + event.FormatPositions(through))
			}
			if err == nil {
				var found search.Result
				if found, err = b.reader.Search(ctx, search.Request{Q: "needle"}); err == nil && found.Total != 1 {
					err = errors.New("the order is not found yet")
				}
			}
			errs <- err
		}()
	}
	s.place(order{id: "o", customer: "c", notes: "needle"})
	require.NoError(t, s.try())
	for range cap(errs) {
		require.NoError(t, <-errs)
	}
	at, err = b.reader.Positions(t.Context())
	require.NoError(t, err)
	require.Equal(t, []event.Position{first}, at)
	behind(event.Position{Aggregate: "order", Partition: 1, Offset: 1})
	behind(first, event.Position{Aggregate: "order", Partition: 0, Offset: 0})
	_, err = b.reader.Wait(t.Context(), []event.Position{{Aggregate: "customer", Partition: 5, Offset: 1 << 40}})
	require.NoError(t, err, "positions of other aggregates are ignored")
}

func testOtherPartitions(t *testing.T, b *backend) {
	var want []event.Position
	for _, number := range []int32{11, 2, 0} {
		s := open(t, b, number)
		s.place(order{id: name("o-%d", number), customer: "c"})
		s.apply()
		want = append([]event.Position{s.position()}, want...)
	}
	at, err := b.reader.Positions(t.Context())
	require.NoError(t, err)
	require.Equal(t, want, at, "ordered by partition")
	_, err = b.sink.Open(t.Context(), runner.Partition{Aggregate: "customer", Source: runner.Events})
	require.ErrorIs(t, err, event.ErrConfig)
	_, err = b.sink.Open(t.Context(), runner.Partition{Aggregate: "order", Source: runner.Outcomes})
	require.ErrorIs(t, err, event.ErrConfig)
}

func testNotFound(t *testing.T, b *backend) {
	open(t, b, 0)
	_, err := b.reader.Get(t.Context(), "nobody")
	require.ErrorIs(t, err, event.ErrNotFound)
	parked, err := b.reader.ParkedStream(t.Context(), "nobody")
	require.NoError(t, err)
	require.False(t, parked)
}
