package shop_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/internal/pgtest"
	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/shop"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func usd(amount string) *typev1.Money { return &typev1.Money{Amount: amount, Currency: "USD"} }

func eur(amount string) *typev1.Money { return &typev1.Money{Amount: amount, Currency: "EUR"} }

func item(sku string, quantity int32, total string) *orderv1.LineItem {
	return &orderv1.LineItem{Sku: sku, Name: strings.ToUpper(sku), Quantity: quantity, Total: usd(total)}
}

func at(day, hour int) *timestamppb.Timestamp {
	return timestamppb.New(time.Date(2026, 1, day, hour, 0, 0, 0, time.UTC))
}

func migrated(t *testing.T) *postgres.Store {
	t.Helper()
	url := pgtest.URL(t)
	if err := postgres.Migrate(t.Context(), url, postgres.Models(shop.Projections()...)...); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(t.Context(), postgres.Config{URL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// project runs the read models on the log until they have read all of it.
func project(t *testing.T, log *logtest.Log, store *postgres.Store, edit func(*runner.Config)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var runners []*runner.Runner
	var done []chan error
	for _, p := range shop.Projections() {
		base := runner.Config{Client: log.Client(), Aggregates: logtest.Types(t, "order", "customer"), Logger: slog.New(slog.DiscardHandler),
			RetryMin: 5 * time.Millisecond}
		if edit != nil {
			edit(&base)
		}
		r, err := store.Runner(p, 1, base)
		if err != nil {
			t.Fatal(err)
		}
		runners = append(runners, r)
		end := make(chan error, 1)
		go func() { end <- r.Run(ctx) }()
		done = append(done, end)
	}
	defer func() {
		cancel()
		for _, end := range done {
			if err := <-end; err != nil {
				t.Error(err)
			}
		}
	}()
	for _, r := range runners {
		logtest.Until(t, "a projection is ready", func() bool { ok, _ := r.Ready(); return ok })
	}
}

// rows reads a query's rows as JSON objects.
func rows(t *testing.T, store *postgres.Store, sql string) []map[string]any {
	t.Helper()
	r, _ := store.Pool().Query(t.Context(), "SELECT to_jsonb(q) FROM ("+sql+") q")
	out, err := pgx.CollectRows(r, func(row pgx.CollectableRow) (map[string]any, error) {
		var text []byte
		if err := row.Scan(&text); err != nil {
			return nil, err
		}
		var m map[string]any
		return m, json.Unmarshal(text, &m)
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func diff(t *testing.T, what, want string, got []map[string]any) {
	t.Helper()
	var w []map[string]any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(w, got); d != "" {
		t.Errorf("%s: %s", what, d)
	}
}

func TestAnOrdersLife(t *testing.T) {
	log := logtest.New(t, 4, "order", "customer")
	store := migrated(t)
	log.Append(t, "order",
		logtest.One("o-1", &orderv1.OrderPlaced{Customer: "c-1", Lines: []*orderv1.LineItem{item("a", 2, "10.00"), item("b", 1, "1.77")},
			Total: usd("11.77"), Notes: "ring twice\x00", PlacedAt: at(1, 10)}),
		logtest.One("o-1", &orderv1.LineAdded{Line: item("c", 5, "5.00"), OrderTotal: usd("16.77"), AddedAt: at(1, 11)}),
		logtest.One("o-1", &orderv1.LineRemoved{Sku: "a", OrderTotal: usd("6.77"), RemovedAt: at(1, 12)}),
	)
	project(t, log, store, nil)
	log.Append(t, "order",
		logtest.One("o-1", &orderv1.LineAdded{Line: item("d", 1, "0.23"), OrderTotal: usd("7"), AddedAt: at(1, 13)}),
		logtest.One("o-1", &orderv1.OrderPaid{Customer: "c-1", Total: usd("7"), Units: 7, PaidAt: at(2, 1)},
			&orderv2.OrderAnnotated{Note: &orderv2.Note{Text: "paid by card", NotedAt: at(2, 2), Author: "clerk"}}),
		logtest.One("o-1", &orderv1.OrderShipped{ShippedAt: at(3, 1)}),
		logtest.One("o-1", &orderv1.OrderAnnotated{Text: "an old note", AnnotatedAt: at(3, 2)}),
		logtest.One("o-1", &orderv1.OrderDelivered{DeliveredAt: at(4, 1)}),
		logtest.One("o-2", &orderv1.OrderPlaced{Customer: "c-2", Lines: []*orderv1.LineItem{{Sku: "z", Quantity: 3, Total: eur("0")}}, Total: eur("0"), PlacedAt: at(5, 1)}),
		logtest.One("o-2", &orderv1.OrderCancelled{Reason: "changed my mind", CancelledAt: at(5, 2)}),
	)
	project(t, log, store, nil)
	diff(t, "orders", `[
		{"id": "o-1", "version": 9, "status": "delivered", "customer": "c-1", "total_cents": 700, "currency": "USD", "units": 7,
		 "notes": [{"text": "ring twice�", "author": "", "notedAt": "2026-01-01T10:00:00Z"},
		           {"text": "paid by card", "author": "clerk", "notedAt": "2026-01-02T02:00:00Z"},
		           {"text": "an old note", "author": "", "notedAt": "2026-01-03T02:00:00Z"}],
		 "placed_at": "2026-01-01T10:00:00+00:00", "paid_at": "2026-01-02T01:00:00+00:00", "shipped_at": "2026-01-03T01:00:00+00:00",
		 "delivered_at": "2026-01-04T01:00:00+00:00", "cancelled_at": null, "cancel_reason": ""},
		{"id": "o-2", "version": 2, "status": "cancelled", "customer": "c-2", "total_cents": 0, "currency": "EUR", "units": 3, "notes": [],
		 "placed_at": "2026-01-05T01:00:00+00:00", "paid_at": null, "shipped_at": null, "delivered_at": null,
		 "cancelled_at": "2026-01-05T02:00:00+00:00", "cancel_reason": "changed my mind"}]`,
		rows(t, store, `SELECT id, version, status, customer, total_cents, currency, units, notes,
			placed_at, paid_at, shipped_at, delivered_at, cancelled_at, cancel_reason FROM orders ORDER BY id`))
	diff(t, "lines", `[
		{"order_id": "o-1", "sku": "b", "name": "B", "quantity": 1, "total_cents": 177},
		{"order_id": "o-1", "sku": "c", "name": "C", "quantity": 5, "total_cents": 500},
		{"order_id": "o-1", "sku": "d", "name": "D", "quantity": 1, "total_cents": 23},
		{"order_id": "o-2", "sku": "z", "name": "", "quantity": 3, "total_cents": 0}]`,
		rows(t, store, `SELECT order_id, sku, name, quantity, total_cents FROM order_lines ORDER BY order_id, position`))
	diff(t, "sales", `[{"day": "2026-01-02", "currency": "USD", "orders": 1, "units": 7, "revenue_cents": 700}]`,
		rows(t, store, `SELECT day, currency, orders, units, revenue_cents FROM daily_sales`))
}

func TestCustomersCountPurchasesInEveryCurrency(t *testing.T) {
	log := logtest.New(t, 2, "order", "customer")
	store := migrated(t)
	bought := func(order string, total *typev1.Money, units int32, on *timestamppb.Timestamp) logtest.Command {
		return logtest.One("c-1", &customerv1.PurchaseRecorded{Order: order, Total: total, Units: units, PurchasedAt: on})
	}
	log.Append(t, "customer", bought("o-1", usd("10.50"), 2, at(5, 23)), bought("o-2", eur("3"), 1, at(3, 0)))
	project(t, log, store, nil)
	log.Append(t, "customer", bought("o-3", usd("1.5"), 1, at(4, 0)), bought("o-4", eur("0.01"), 1, at(9, 0)))
	project(t, log, store, nil)
	diff(t, "customers", `[{"id": "c-1", "version": 4, "orders": 4, "units": 5, "spent_cents": 1200, "currency": "USD",
		"spent_other": [{"currency": "EUR", "cents": 301}], "first_purchase": "2026-01-03", "last_purchase": "2026-01-09"}]`,
		rows(t, store, `SELECT * FROM customers`))
}

// TestBatchesDoNotShowInTheRows: the same log gives the same rows, whatever its batches were.
func TestBatchesDoNotShowInTheRows(t *testing.T) {
	log := logtest.New(t, 3, "order", "customer")
	random := rand.New(rand.NewPCG(1, 2))
	var commands, purchases []logtest.Command
	lines := map[string]int{}
	for range 600 {
		id := fmt.Sprintf("o-%d", random.IntN(60))
		n := lines[id]
		lines[id]++
		when := at(1+random.IntN(20), random.IntN(24))
		total := fmt.Sprintf("%d.%02d", random.IntN(1000), random.IntN(100))
		var e proto.Message
		switch k := random.IntN(7); {
		case n == 0:
			e = &orderv1.OrderPlaced{Customer: "c-" + id, Lines: []*orderv1.LineItem{item("first", 1, total)}, Total: usd(total), PlacedAt: when}
		case k < 2:
			e = &orderv1.LineAdded{Line: item(fmt.Sprintf("sku-%d", n), int32(n), total), OrderTotal: usd(total)}
		case k == 2:
			e = &orderv1.LineRemoved{Sku: fmt.Sprintf("sku-%d", random.IntN(n)), OrderTotal: usd(total)}
		case k == 3:
			e = &orderv2.OrderAnnotated{Note: &orderv2.Note{Text: total, NotedAt: when}}
		case k == 4:
			e = &orderv1.OrderPaid{Customer: "c-" + id, Total: usd(total), Units: int32(n), PaidAt: when}
		case k == 5:
			e = &orderv1.OrderShipped{ShippedAt: when}
		default:
			e = &orderv1.OrderCancelled{CancelledAt: when, Reason: total}
		}
		commands = append(commands, logtest.Command{Stream: id, Events: []proto.Message{e}, At: when.AsTime()})
		currency := []func(string) *typev1.Money{usd, eur}[random.IntN(2)]
		purchases = append(purchases, logtest.One(fmt.Sprintf("c-%d", random.IntN(30)),
			&customerv1.PurchaseRecorded{Order: id, Total: currency(total), Units: int32(n), PurchasedAt: when}))
	}
	log.Append(t, "order", commands...)
	log.Append(t, "customer", purchases...)

	queries := []string{"SELECT * FROM orders ORDER BY id", "SELECT * FROM order_lines ORDER BY order_id, position",
		"SELECT * FROM customers ORDER BY id", "SELECT * FROM daily_sales ORDER BY day, currency"}
	var want [][]map[string]any
	for _, size := range []int{5000, 1, 7} {
		store := migrated(t)
		project(t, log, store, func(c *runner.Config) {
			c.BatchRecords = size
			c.Prefix = "" // the same topics; each database has checkpoints of its own
		})
		var got [][]map[string]any
		for _, q := range queries {
			got = append(got, rows(t, store, q))
		}
		if want == nil {
			want = got
			for i, q := range queries {
				if len(got[i]) == 0 {
					t.Errorf("%s: no rows", q)
				}
			}
			continue
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("batches of %d: %s", size, d)
		}
	}
}

func TestGapStopsAndRefusedAmountParks(t *testing.T) {
	store := migrated(t)
	for _, p := range shop.Projections() {
		if p.Model.Name() == "daily_sales" {
			continue // its rows have no versions
		}
		sink, err := store.Sink(p.Model, 1)
		if err != nil {
			t.Fatal(err)
		}
		part := runner.Partition{Aggregate: "order", Source: runner.Events, Number: 1}
		s, err := sink.Open(t.Context(), part)
		if err != nil {
			t.Fatal(err)
		}
		body := func(amount string) proto.Message {
			if p.Model.Name() == "orders" {
				return &orderv1.OrderPlaced{Customer: "c", Total: usd(amount), Lines: []*orderv1.LineItem{item("a", 1, amount)}}
			}
			return &customerv1.PurchaseRecorded{Order: "o", Total: usd(amount)}
		}
		batch := func(version event.Version, amount string) *runner.Batch {
			return &runner.Batch{Partition: part, To: runner.Checkpoint{Next: 10}, Events: []event.Recorded{{Body: body(amount),
				Envelope: event.Envelope{Aggregate: "order", Stream: "x", Version: version, Offset: 9, Time: logtest.Epoch, RecordedTime: logtest.Epoch}}}}
		}
		if err := s.Apply(t.Context(), batch(2, "1.00")); !errors.Is(err, event.ErrCorrupt) {
			t.Errorf("%s: a gap: %v", p.Model.Name(), err)
		}
		for _, amount := range []string{"", "-1.00", "1.001", "1_0", "x", "99999999999999999999.00", "1."} {
			var poison *runner.Poison
			if err := s.Apply(t.Context(), batch(1, amount)); !errors.As(err, &poison) || poison.Offset != 9 || poison.Stream != "x" {
				t.Errorf("%s: amount %q: %v", p.Model.Name(), amount, err)
			}
		}
		gap := batch(2, "1.00")
		gap.Gaps = map[event.StreamID]bool{"x": true}
		if err := s.Apply(t.Context(), gap); err != nil {
			t.Errorf("%s: a gap that an operator left: %v", p.Model.Name(), err)
		}
		again := batch(1, "5.00")
		again.From, again.To.Next = runner.Checkpoint{Next: 10}, 11
		if err := s.Apply(t.Context(), again); err != nil {
			t.Errorf("%s: an event from before: %v", p.Model.Name(), err)
		}
	}
	for _, table := range []string{"orders", "customers"} {
		if got := rows(t, store, "SELECT version FROM "+table); len(got) != 1 || got[0]["version"] != 2.0 {
			t.Errorf("%s: %v", table, got)
		}
	}
}

// TestNoPlanOfAnEmptyTableStays: a connection keeps the plans that it makes while a table is nearly empty.
// One that reads the whole table for a batch's keys takes minutes a batch when the table has grown.
func TestNoPlanOfAnEmptyTableStays(t *testing.T) {
	url := pgtest.URL(t)
	if err := postgres.Migrate(t.Context(), url, postgres.Models(shop.Projections()...)...); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(t.Context(), postgres.Config{URL: url, MaxConns: 1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	before := scans(t, store)
	for _, p := range shop.Projections() {
		if p.Model.Name() == "daily_sales" {
			continue // it reads nothing
		}
		sink, err := store.Sink(p.Model, 1)
		if err != nil {
			t.Fatal(err)
		}
		s, err := sink.Open(t.Context(), runner.Partition{Aggregate: "order", Source: runner.Events})
		if err != nil {
			t.Fatal(err)
		}
		var from runner.Checkpoint
		for i := range event.Version(20) { // beyond the five executions after which a plan is kept
			b := &runner.Batch{Partition: runner.Partition{Aggregate: "order", Source: runner.Events}, From: from, To: runner.Checkpoint{Next: int64(i) + 1}}
			var body proto.Message = &customerv1.PurchaseRecorded{Order: "o", Total: usd("1.00")}
			switch {
			case p.Model.Name() == "orders" && i == 0:
				body = &orderv1.OrderPlaced{Customer: "c", Total: usd("1.00"), Lines: []*orderv1.LineItem{item("a", 1, "1.00")}}
			case p.Model.Name() == "orders":
				body = &orderv1.LineAdded{Line: item(fmt.Sprint("sku-", i), 1, "1.00"), OrderTotal: usd("1.00")}
			}
			b.Events = []event.Recorded{{Body: body, Envelope: event.Envelope{Aggregate: "order", Stream: "x", Version: i + 1, Offset: int64(i),
				Time: logtest.Epoch, RecordedTime: logtest.Epoch}}}
			if err := s.Apply(t.Context(), b); err != nil {
				t.Fatal(err)
			}
			from = b.To
			if i == 2 {
				// As autovacuum does: now the planner knows how small they are.
				if _, err := store.Pool().Exec(t.Context(), "ANALYZE"); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if n := scans(t, store) - before; n != 0 {
		t.Errorf("tables were read as a whole %d times", n)
	}
}

// scans is how often tables of the read models were read as a whole.
func scans(t *testing.T, store *postgres.Store) (n int) {
	t.Helper()
	// The only connection publishes its counts at the end of the next transaction.
	for _, sql := range []string{"SELECT pg_stat_force_next_flush()", "SELECT 1"} {
		if _, err := store.Pool().Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	err := store.Pool().QueryRow(t.Context(), `SELECT sum(seq_scan) FROM pg_stat_user_tables
		WHERE relname IN ('orders', 'order_lines', 'customers')`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
