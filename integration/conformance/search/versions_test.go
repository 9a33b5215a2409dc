package search_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/query/search"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// upTo says that the log of partition 0 ends there.
func upTo(end int64) rebuild.Ends {
	return func(context.Context) ([]runner.End, error) {
		return []runner.End{{Partition: partition(0), End: end}}, nil
	}
}

// testDrop: only the event that was refused is given up, and what follows it is applied over the gap.
func testDrop(t *testing.T, b *backend) {
	s := open(t, b, 0)
	s.place(order{id: "o", customer: "c"})
	s.apply()
	s.pay("o")
	s.annotate("o", "second")
	s.annotate("o", "third")
	all := s.pending
	parked := s.batch()
	parked.Events = nil
	for _, e := range all {
		parked.Park = append(parked.Park, runner.Pointer{Stream: "o", Offset: e.Offset, Reason: "no", ParkedAt: epoch})
	}
	require.NoError(t, s.session.Apply(t.Context(), parked))
	s.at, s.pending = parked.To, nil
	n, err := b.drop(t.Context(), "o")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	pointers, err := s.session.Parked(t.Context())
	require.NoError(t, err)
	require.Len(t, pointers, 3)
	for i, p := range pointers {
		require.Equal(t, i == 0, p.Dropped, "%+v", p)
		require.Equal(t, i > 0, p.Retry, "%+v", p)
	}
	drain := &runner.Batch{Partition: partition(0), From: s.at, To: s.at, Events: all[1:], Unpark: []int64{all[0].Offset, all[1].Offset, all[2].Offset}}
	require.ErrorIs(t, s.session.Apply(t.Context(), drain), event.ErrCorrupt, "a gap that nobody allows")
	drain.Gaps = map[event.StreamID]bool{"o": true}
	require.NoError(t, s.session.Apply(t.Context(), drain))
	got, err := b.reader.Get(t.Context(), "o")
	require.NoError(t, err)
	require.EqualValues(t, 4, got.Version)
	require.Equal(t, "placed", got.Status, "the payment was given up")
	require.Len(t, got.Notes, 2)
	s.versions["o"] = 4
	s.annotate("o", "fourth")
	require.NoError(t, s.try())
}

// deleting deletes an order when it is cancelled.
func deleting(d *searchindex.Document, e *event.Recorded) error {
	if err := searchindex.Orders(d, e); err != nil {
		return err
	}
	switch e.Body.(type) {
	case *orderv1.OrderCancelled:
		d.Deleted = true
	case *orderv1.OrderPlaced:
		d.Deleted = false
	}
	return nil
}

// testTombstones: what is deleted is found by nothing, counted by nothing, and not brought back by what came before.
func testTombstones(t *testing.T, b *backend) {
	s := open(t, b, 0)
	s.sink = b.evolving(deleting)
	s.reopen()
	s.place(order{id: "gone", customer: "ada", notes: "needle"})
	s.place(order{id: "stays", customer: "ada", notes: "needle"})
	before := s.pending
	s.apply()
	s.add("gone", &orderv1.OrderCancelled{Reason: "needle"})
	end := s.pending
	s.apply()
	invisible := func(want ...string) {
		t.Helper()
		for _, r := range []search.Request{{}, {Q: "needle"}, {Q: "nee*"}, {Q: "ada"}, {Customer: "ada"}, {Status: "placed"}, {Q: "needle", Customer: "ada"}} {
			r.Facets = []string{search.FacetStatus, search.FacetCustomer}
			ids, found := find(t, b, r)
			require.ElementsMatch(t, want, ids, "%+v", r)
			require.EqualValues(t, len(want), found.Total, "%+v", r)
			counts := []search.FacetCount{}
			if len(want) > 0 {
				counts = []search.FacetCount{{Value: "ada", Count: int64(len(want))}}
			}
			require.Equal(t, counts, found.Facets[search.FacetCustomer], "%+v", r)
		}
		ids, _ := find(t, b, search.Request{Status: "cancelled"})
		require.Empty(t, ids)
	}
	invisible("stays")
	_, err := b.reader.Get(t.Context(), "gone")
	require.ErrorIs(t, err, event.ErrNotFound)

	// Delivered again, by a session that remembers nothing.
	s.reopen()
	for _, again := range [][]event.Recorded{before, end} {
		s.pending = again
		s.apply()
		invisible("stays")
	}
	s.annotate("gone", "needle") // after the end
	s.apply()
	invisible("stays")
	s.add("stays", &orderv1.OrderCancelled{Reason: "x"})
	s.apply()
	invisible()
	s.place(order{id: "gone", customer: "ada", notes: "needle"}) // a fold may take it back
	s.apply()
	invisible("gone")
}

// testHeal: documents that are wrong are made anew from all their events; the others are not touched.
func testHeal(t *testing.T, b *backend) {
	s := open(t, b, 0)
	s.sink = b.evolving(func(d *searchindex.Document, e *event.Recorded) error {
		err := searchindex.Orders(d, e)
		d.Customer = "wrong"
		return err
	})
	s.reopen()
	for _, id := range []string{"a", "b", "ahead", "extra"} {
		s.place(order{id: id, customer: "right"})
		s.pay(id)
	}
	all := s.pending
	s.apply()
	of := func(ids ...event.StreamID) (out []event.Recorded) {
		for _, e := range all {
			for _, id := range ids {
				if e.Stream == id && (id != "ahead" || e.Version == 1) {
					out = append(out, e)
				}
			}
		}
		return out
	}
	s.sink = b.sink
	s.reopen()
	require.NoError(t, b.versions.Heal(t.Context(), "order", 1, []event.StreamID{"a", "ahead", "bad", "extra"}))
	healer := s.session.(runner.Healer)
	marked, err := healer.ToHeal(t.Context(), 10)
	require.NoError(t, err)
	require.ElementsMatch(t, []event.StreamID{"a", "ahead", "bad", "extra"}, marked)
	v, err := b.versions.Versions(t.Context())
	require.NoError(t, err)
	require.Equal(t, 4, v[0].Healing)

	batch := &runner.Batch{Partition: partition(0), From: s.at, To: s.at, Events: of("a", "ahead"),
		Heal: []runner.Healing{{Stream: "a"}, {Stream: "ahead"}, {Stream: "extra"}, {Stream: "bad", Failed: "it cannot be read"}}}
	require.NoError(t, s.session.Apply(t.Context(), batch))
	left, err := b.versions.Healing(t.Context())
	require.NoError(t, err)
	failed := map[event.StreamID]string{}
	for _, h := range left {
		require.Equal(t, "order", h.Aggregate)
		require.NotEmpty(t, h.Failed)
		failed[h.Stream] = h.Failed
	}
	require.Equal(t, "it cannot be read", failed["bad"])
	get := func(id event.StreamID) string {
		o, err := b.reader.Get(t.Context(), id)
		if errors.Is(err, event.ErrNotFound) {
			return "none"
		}
		require.NoError(t, err)
		return fmt.Sprint(o.Version, o.Customer)
	}
	require.Equal(t, "2right", get("a"))
	require.Equal(t, "2wrong", get("b"))
	if b.rewinds {
		require.Len(t, failed, 1)
		require.Equal(t, "1right", get("ahead"))
		require.Equal(t, "none", get("extra"))
	} else {
		require.Len(t, failed, 3)
		require.Contains(t, failed["ahead"], "rebuild")
		require.Contains(t, failed["extra"], "rebuild")
	}
	s.annotate("a", "after") // goes on from what was healed, not from what was wrong
	s.apply()
	require.Equal(t, "3right", get("a"))
}

// testRebuild: a version is filled beside the one that is read, and readers go over to it without seeing anything in
// between; waiting, positions and what is parked go with them.
func testRebuild(t *testing.T, b *backend) {
	const n = 50
	s := open(t, b, 0)
	for i := range n {
		s.place(order{id: name("o-%d", i), customer: "old", notes: "needle"})
	}
	all := s.pending
	s.apply()
	parked := s.batch()
	parked.Park = []runner.Pointer{{Stream: "o-1", Offset: 1, Reason: "no", ParkedAt: epoch}}
	require.NoError(t, s.session.Apply(t.Context(), parked))

	v, began, err := b.versions.Begin(t.Context())
	require.NoError(t, err)
	require.True(t, began)
	again, began, err := b.versions.Begin(t.Context())
	require.NoError(t, err)
	require.False(t, began, "asked twice")
	require.Equal(t, v.Number, again.Number)
	sink, err := b.versions.Prepare(t.Context(), v.Number)
	require.NoError(t, err)
	next := &shop{t: t, b: b, sink: sink, versions: s.versions}
	next.reopen()

	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	sees := func() string {
		found, err := b.reader.Search(t.Context(), search.Request{Q: "needle", Facets: []string{search.FacetCustomer}, Limit: 1})
		if err != nil || found.Total < n {
			t.Errorf("a reader sees %d orders: %v", found.Total, err)
			return ""
		}
		if _, err := b.reader.Get(t.Context(), "o-7"); err != nil {
			t.Error(err)
		}
		if at, err := b.reader.Positions(t.Context()); err != nil || len(at) != 1 || at[0].Offset < n-1 {
			t.Errorf("positions %v: %v", at, err)
		}
		return found.Hits[0].Order.Customer
	}
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil && !t.Failed() {
				sees()
			}
		})
	}
	switchTo := func(end int64) bool {
		ok, err := b.versions.Switch(t.Context(), v.Number, upTo(end))
		require.NoError(t, err)
		return ok
	}
	next.pending, next.next = all[:n/2], n/2
	require.NoError(t, next.try())
	require.False(t, switchTo(n), "half of it is missing")
	require.Equal(t, "old", sees())
	s.at = parked.To
	s.place(order{id: "late", customer: "old", notes: "needle"}) // the old one goes on
	late := s.pending
	require.NoError(t, s.try())
	next.pending, next.next = append(all[n/2:n:n], late...), n+1
	for i := range next.pending {
		next.pending[i].Body.(*orderv1.OrderPlaced).Customer = "new"
	}
	require.NoError(t, next.try())

	// Somebody waits for what only the new version will have.
	waited := make(chan error, 1)
	last := event.Position{Aggregate: "order", Offset: n + 1}
	go func() {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		_, err := b.reader.Wait(ctx, []event.Position{last})
		waited <- err
	}()
	require.True(t, switchTo(n+1))
	require.True(t, switchTo(n+1), "it is active already")
	next.pay("o-0")
	next.apply()
	require.NoError(t, <-waited)
	stop()
	readers.Wait()
	ids, _ := find(t, b, search.Request{Customer: "new"})
	require.Len(t, ids, n/2+1)
	isParked, err := b.reader.ParkedStream(t.Context(), "o-1")
	require.NoError(t, err)
	require.False(t, isParked, "what is parked is that of the active version")

	require.ErrorIs(t, b.versions.Drop(t.Context(), v.Number), event.ErrInvalid)
	require.NoError(t, b.versions.Drop(t.Context(), 1))
	require.ErrorIs(t, b.versions.Drop(t.Context(), 1), event.ErrNotFound)
	sees()
	third, _, err := b.versions.Begin(t.Context())
	require.NoError(t, err)
	_, err = b.versions.Prepare(t.Context(), third.Number)
	require.NoError(t, err)
	got, err := b.versions.Cancel(t.Context())
	require.NoError(t, err)
	require.Equal(t, third.Number, got)
	_, err = b.versions.Prepare(t.Context(), third.Number)
	require.Error(t, err)
	list, err := b.versions.Versions(t.Context())
	require.NoError(t, err)
	require.Len(t, list, 1)
	require.Equal(t, rebuild.Active, list[0].State)
	sees()
}
