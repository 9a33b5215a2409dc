package shop_test

import (
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/internal/pgtest"
	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/shop"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// benchBatch places and pays n orders.
func benchBatch(from, n int, next int64) *runner.Batch {
	b := &runner.Batch{Partition: runner.Partition{Aggregate: "order", Source: runner.Events},
		From: runner.Checkpoint{Next: next, CommandOffset: next - 1}, To: runner.Checkpoint{Next: next + int64(2*n), CommandOffset: next + int64(2*n) - 1}}
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for v := event.Version(1); v <= 2; v++ {
		for i := range n {
			e := event.Recorded{Envelope: event.Envelope{Aggregate: "order", Stream: event.StreamID(fmt.Sprintf("cdnow-%d", from+i)), Version: v,
				Offset: next + int64(len(b.Events)), Time: now, RecordedTime: now, Type: "order.v1.OrderPlaced"}}
			customer := fmt.Sprintf("cdnow-%05d", (from+i)%23570)
			if v == 1 {
				e.Body = &orderv1.OrderPlaced{Customer: customer, Total: usd("11.77"), PlacedAt: at(1, 0),
					Lines: []*orderv1.LineItem{{Sku: "cd", Name: "CD", Quantity: 1, Total: usd("11.77")}}}
			} else {
				e.Type, e.Body = "order.v1.OrderPaid", &orderv1.OrderPaid{Customer: customer, Total: usd("11.77"), Units: 1, PaidAt: at(1, 0)}
			}
			b.Events = append(b.Events, e)
		}
	}
	return b
}

func BenchmarkOrdersSink(b *testing.B) {
	url := pgtest.URL(b)
	if err := postgres.Migrate(b.Context(), url, postgres.Models(shop.Projections()...)...); err != nil {
		b.Fatal(err)
	}
	store, err := postgres.Open(b.Context(), postgres.Config{URL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	sink, err := store.Sink(shop.Orders{}, 1)
	if err != nil {
		b.Fatal(err)
	}
	s, err := sink.Open(b.Context(), benchBatch(0, 0, 0).Partition)
	if err != nil {
		b.Fatal(err)
	}
	const n = 2500
	next, i := int64(0), 0
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		batch := benchBatch(i*n, n, next)
		if i == 0 {
			batch.From = runner.Checkpoint{}
		}
		b.StartTimer()
		if err := s.Apply(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
		next, i = batch.To.Next, i+1
	}
	b.ReportMetric(float64(n*i)/b.Elapsed().Seconds(), "rows/s")
}

// BenchmarkBareUpsert writes the same rows, known in advance, with one statement a table.
func BenchmarkBareUpsert(b *testing.B) {
	url := pgtest.URL(b)
	if err := postgres.Migrate(b.Context(), url, postgres.Models(shop.Projections()...)...); err != nil {
		b.Fatal(err)
	}
	store, err := postgres.Open(b.Context(), postgres.Config{URL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer store.Close()
	const n = 2500
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	i := 0
	for b.Loop() {
		b.StopTimer()
		ids, customers, times := make([]string, n), make([]string, n), make([]time.Time, n)
		for k := range n {
			ids[k], customers[k], times[k] = fmt.Sprintf("cdnow-%d", i*n+k), fmt.Sprintf("cdnow-%05d", (i*n+k)%23570), now
		}
		b.StartTimer()
		tx, err := store.Pool().Begin(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := tx.Exec(b.Context(), `INSERT INTO orders_v1.orders (id, version, status, customer, total_cents, currency, units, notes, placed_at, paid_at, cancel_reason, updated_at)
			SELECT u.id, 2, 'paid', u.customer, 1177, 'USD', 1, '[]', u.at, u.at, '', u.at FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS u (id, customer, at)
			ON CONFLICT (id) DO UPDATE SET version = excluded.version, status = excluded.status`, ids, customers, times); err != nil {
			b.Fatal(err)
		}
		if _, err := tx.Exec(b.Context(), `INSERT INTO orders_v1.order_lines SELECT u.id, 1, 'cd', 'CD', 1, 1177 FROM unnest($1::text[]) AS u (id)`, ids); err != nil {
			b.Fatal(err)
		}
		if err := tx.Commit(b.Context()); err != nil {
			b.Fatal(err)
		}
		i++
	}
	b.ReportMetric(float64(n*i)/b.Elapsed().Seconds(), "rows/s")
}
