package rebuild_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/consumers/history"
	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/internal/pgtest"
	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/shop"
	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const partitions = 3

// bed is a log, and a database with all read models.
type bed struct {
	t     *testing.T
	log   *logtest.Log
	url   string
	store *postgres.Store
	n     int // orders in the log
}

func projections() []postgres.Projection { return append(shop.Projections(), history.Projection()) }

func newBed(t *testing.T) *bed {
	t.Helper()
	b := &bed{t: t, log: logtest.New(t, partitions, "order", "customer"), url: pgtest.URL(t)}
	if err := postgres.Migrate(t.Context(), b.url, postgres.Models(projections()...)...); err != nil {
		t.Fatal(err)
	}
	b.store = b.connect()
	return b
}

func (b *bed) connect() *postgres.Store {
	b.t.Helper()
	store, err := postgres.Open(b.t.Context(), postgres.Config{URL: b.url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(store.Close)
	return store
}

// sell appends n paid orders and their customers' purchases.
func (b *bed) sell(n int) {
	b.t.Helper()
	usd := &typev1.Money{Amount: "1.00", Currency: "USD"}
	var orders, customers []logtest.Command
	for range n {
		id := fmt.Sprint("o-", b.n)
		b.n++
		day := timestamppb.New(logtest.Epoch)
		orders = append(orders, logtest.Command{Stream: id, Outcome: "c-" + id, Events: events(
			&orderv1.OrderPlaced{Customer: "ada", Total: usd, PlacedAt: day, Lines: []*orderv1.LineItem{{Sku: "cd", Quantity: 1, Total: usd}}},
			&orderv1.OrderPaid{Customer: "ada", Total: usd, Units: 1, PaidAt: day})})
		customers = append(customers, logtest.One("ada", &customerv1.PurchaseRecorded{Order: id, Total: usd, Units: 1, PurchasedAt: day}))
	}
	b.log.Append(b.t, "order", orders...)
	b.log.Append(b.t, "customer", customers...)
}

// process is the drivers of all projections in one process; stop ends it in order.
type process struct {
	drivers map[string]*rebuild.Driver
	stop    func()
}

func (b *bed) process() *process { return b.program(projections()...) }

// program is a process with other read models than today's.
func (b *bed) program(projections ...postgres.Projection) *process {
	b.t.Helper()
	store := b.connect()
	client, err := kgo.NewClient(b.log.Client()...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(client.Close)
	p := &process{drivers: map[string]*rebuild.Driver{}}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = store.Run(ctx) })
	for _, projection := range projections {
		versions, err := store.Versions(projection.Model)
		if err != nil {
			b.t.Fatal(err)
		}
		config, err := projection.Config(runner.Config{Client: b.log.Client(), Aggregates: logtest.Types(b.t, "order", "customer"),
			BatchRecords: 20, ParkedEvery: 20 * time.Millisecond, EndsEvery: 50 * time.Millisecond, RetryMin: 5 * time.Millisecond,
			SessionTimeout: 6 * time.Second, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			b.t.Fatal(err)
		}
		d, err := rebuild.New(rebuild.Config{Runner: config, Shape: projection.Model.Shape(), Store: versions, Admin: kadm.NewClient(client), Every: 20 * time.Millisecond})
		if err != nil {
			b.t.Fatal(err)
		}
		p.drivers[projection.Model.Name()] = d
		wg.Go(func() {
			if err := d.Run(ctx); err != nil {
				b.t.Error(err)
			}
		})
	}
	var once sync.Once
	p.stop = func() { once.Do(func() { cancel(); wg.Wait() }) }
	b.t.Cleanup(p.stop)
	return p
}

func (p *process) await(t *testing.T) {
	t.Helper()
	logtest.Until(t, "everything is ready", func() bool {
		for _, d := range p.drivers {
			if ok, _ := d.Ready(); !ok {
				return false
			}
		}
		return true
	})
}

func (b *bed) versions(name string) *postgres.Versions {
	b.t.Helper()
	for _, p := range projections() {
		if p.Model.Name() == name {
			v, err := b.store.Versions(p.Model)
			if err != nil {
				b.t.Fatal(err)
			}
			return v
		}
	}
	b.t.Fatal("no projection", name)
	return nil
}

// rebuild asks for new versions, and awaits returns when readers see them.
func (b *bed) rebuild(names ...string) (await func()) {
	b.t.Helper()
	want := map[string]int{}
	for _, name := range names {
		v, _, err := b.versions(name).Begin(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		want[name] = v.Number
	}
	return func() {
		b.t.Helper()
		for _, name := range names {
			logtest.Until(b.t, name+" is rebuilt", func() bool {
				v, err := b.store.ActiveVersion(b.t.Context(), name)
				if err != nil {
					b.t.Fatal(err)
				}
				return v == want[name]
			})
		}
	}
}

func (b *bed) ints(sql string, n int) []int64 {
	b.t.Helper()
	out := make([]int64, n)
	into := make([]any, n)
	for i := range out {
		into[i] = &out[i]
	}
	if err := b.store.Pool().QueryRow(b.t.Context(), sql).Scan(into...); err != nil {
		b.t.Fatal(err)
	}
	return out
}

// totals are what all read models say together; each must count every order once.
const totals = `SELECT (SELECT count(*) FROM orders), (SELECT count(*) FROM order_lines), (SELECT coalesce(sum(version), 0) FROM orders),
	(SELECT coalesce(sum(orders), 0)::bigint FROM customers), (SELECT coalesce(sum(orders), 0)::bigint FROM daily_sales),
	(SELECT count(*) FROM history_events WHERE aggregate = 'order'), (SELECT count(*) FROM history_outcomes)`

func (b *bed) exact(when string) {
	b.t.Helper()
	n := int64(b.n)
	want := []int64{n, n, 2 * n, n, n, 2 * n, n}
	logtest.Until(b.t, "the totals are there "+when, func() bool {
		got := b.ints(totals, len(want))
		for i := range got {
			if got[i] > want[i] {
				b.t.Fatalf("%s: %v, want %v", when, got, want)
			}
		}
		return cmp.Equal(got, want)
	})
}

var everything = []string{"orders", "customers", "daily_sales", "history"}

// Two processes, writes and reads going on, one process stopped and another begun in the middle: nobody sees less than
// what has been there, and everything is counted once.
func TestRebuildUnderLoad(t *testing.T) {
	b := newBed(t)
	b.sell(300)
	one, two := b.process(), b.process()
	one.await(t)
	two.await(t)
	b.exact("before")

	reading, stopReading := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	readers.Go(func() {
		last := make([]int64, 7)
		for reading.Err() == nil {
			got := b.ints(totals, len(last))
			for i := range got {
				if got[i] < last[i] {
					t.Errorf("readers saw %v, and then %v", last, got)
					return
				}
			}
			last = got
		}
	})
	await := b.rebuild(everything...)
	one.stop()
	b.sell(100)
	three := b.process()
	b.sell(100)
	await()
	b.sell(100)
	b.exact("after")
	stopReading()
	readers.Wait()
	two.await(t)
	three.await(t)
	for _, d := range two.drivers {
		logtest.Until(t, "the old version's runner has ended", func() bool { return len(d.Runners()) == 1 && d.Runners()[2] != nil })
	}
	for _, name := range everything {
		if err := b.versions(name).Drop(t.Context(), 1); err != nil {
			t.Error(err)
		}
	}
	b.sell(10)
	b.exact("after dropping")
}

// A projection that has stopped, because its checkpoint contradicts the log, is repaired by a rebuild.
func TestRebuildRepairsAStoppedProjection(t *testing.T) {
	b := newBed(t)
	b.sell(50)
	p := b.process()
	p.await(t)
	p.stop()
	// Partitions with nothing but an aborted transaction have an end, too.
	for i := range 10 {
		b.log.Abort(t, "customer", logtest.One(fmt.Sprint("c-", i), &customerv1.PurchaseRecorded{}))
	}
	for _, damage := range []string{"next_offset = next_offset + 1000", "topic_id = '00000000-0000-0000-0000-000000000001'"} {
		if _, err := b.store.Pool().Exec(t.Context(), `UPDATE cqrsflow.checkpoints c SET `+damage+` FROM cqrsflow.projections p
			WHERE p.projection = c.projection AND p.active_version = c.version`); err != nil {
			t.Fatal(err)
		}
		if _, err := b.store.Pool().Exec(t.Context(), `DELETE FROM orders`); err != nil {
			t.Fatal(err)
		}
		p := b.process()
		logtest.Until(t, "the projections have stopped", func() bool {
			for _, d := range p.drivers {
				if ok, why := d.Ready(); ok || !contains(why, "stopped") {
					return false
				}
			}
			return true
		})
		b.rebuild(everything...)()
		p.await(t)
		b.sell(10)
		b.exact("after the rebuild")
		p.stop()
	}
}

// Cancelled half-way, nothing of it is left, and nothing else has noticed.
func TestCancelledWhileItRuns(t *testing.T) {
	b := newBed(t)
	b.sell(20)
	p := b.process()
	p.await(t)
	v := b.versions("orders")
	// It cannot catch up: its tables refuse everything.
	if _, err := b.store.Pool().Exec(t.Context(), `CREATE SCHEMA orders_v2; CREATE TABLE orders_v2.orders ()`); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	logtest.Until(t, "the driver has tried", func() bool {
		p.drivers["orders"].Wake()
		return b.ints(`SELECT count(*) FROM pg_tables WHERE schemaname = 'orders_v2'`, 1)[0] > 1 || len(p.drivers["orders"].Runners()) > 0
	})
	if _, err := v.Cancel(t.Context()); err != nil {
		t.Fatal(err)
	}
	logtest.Until(t, "only the active version is fed", func() bool {
		r := p.drivers["orders"].Runners()
		return len(r) == 1 && r[1] != nil
	})
	b.sell(5)
	b.exact("after cancelling")
	p.await(t)
}

// Marked streams are made anew by the workers that own them; what readers see is right afterwards.
func TestHealing(t *testing.T) {
	b := newBed(t)
	b.sell(40)
	one, two := b.process(), b.process()
	one.await(t)
	two.await(t)
	b.exact("before")
	if _, err := b.store.Pool().Exec(t.Context(), `UPDATE orders SET status = 'cancelled', version = 9 WHERE id = 'o-1'; DELETE FROM orders WHERE id = 'o-2';
		DELETE FROM order_lines WHERE order_id = 'o-3'; UPDATE customers SET orders = orders + 7; UPDATE history_events SET data = '\x00' WHERE stream = 'o-4';
		INSERT INTO order_lines (order_id, position, sku, name, quantity, total_cents) VALUES ('o-nobody', 1, '', '', 1, 1)`); err != nil {
		t.Fatal(err)
	}
	for name, marks := range map[string][]event.StreamID{"orders": {"o-1", "o-2", "o-3", "o-nobody"}, "history": {"o-4"}} {
		if err := b.versions(name).Heal(t.Context(), "order", partitions, marks); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.versions("customers").Heal(t.Context(), "customer", partitions, []event.StreamID{"ada"}); err != nil {
		t.Fatal(err)
	}
	b.sell(10)
	for _, name := range []string{"orders", "customers", "history"} {
		logtest.Until(t, name+" is healed", func() bool {
			left, err := b.versions(name).Healing(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range left {
				if h.Failed != "" {
					t.Fatalf("%+v", h)
				}
			}
			return len(left) == 0
		})
	}
	b.exact("after healing")
	if n := b.ints(`SELECT count(*) FROM history_events WHERE data = '\x00'`, 1)[0]; n != 0 {
		t.Error("history was not healed")
	}
	if err := b.versions("daily_sales").Heal(t.Context(), "order", partitions, []event.StreamID{"o-1"}); err == nil || !contains(err.Error(), "rebuild daily_sales") {
		t.Errorf("sums: %v", err)
	}
}

// A stream that cannot be read is not healed, and says so; others are.
func TestHealingWhatCannotBeRead(t *testing.T) {
	b := newBed(t)
	b.sell(3)
	p := b.process()
	p.await(t)
	bad := b.log.Append(t, "order", logtest.Raw("o-0", "order.v1.OrderShipped", []byte{0xff}))[0]
	v := b.versions("orders")
	logtest.Until(t, "it is parked", func() bool {
		return b.ints(`SELECT count(*) FROM cqrsflow.parked WHERE projection = 'orders'`, 1)[0] == 1
	})
	// Parked: what stands before the event is made anew.
	if _, err := b.store.Pool().Exec(t.Context(), `DELETE FROM orders`); err != nil {
		t.Fatal(err)
	}
	healed := func() []rebuild.Healing {
		if err := v.Heal(t.Context(), "order", partitions, []event.StreamID{"o-0", "o-1", "o-2"}); err != nil {
			t.Fatal(err)
		}
		var left []rebuild.Healing
		logtest.Until(t, "nothing waits", func() bool {
			var err error
			if left, err = v.Healing(t.Context()); err != nil {
				t.Fatal(err)
			}
			for _, h := range left {
				if h.Failed == "" {
					return false
				}
			}
			return true
		})
		return left
	}
	if left := healed(); len(left) != 0 {
		t.Errorf("%+v", left)
	}
	if n := b.ints(`SELECT count(*) FROM orders`, 1)[0]; n != 3 {
		t.Errorf("%d orders", n)
	}
	// Given up, and the gap passed: the log has what the row must not.
	if _, err := b.store.Drop(t.Context(), postgres.Selection{Projection: "orders", Stream: "o-0"}); err != nil {
		t.Fatal(err)
	}
	b.log.Append(t, "order", logtest.One("o-0", &orderv1.OrderDelivered{}))
	logtest.Until(t, "the gap is passed", func() bool {
		return b.ints(`SELECT count(*) FROM cqrsflow.dropped`, 1)[0] == 0 && b.ints(`SELECT max(version) FROM orders`, 1)[0] == 4
	})
	left := healed()
	if len(left) != 1 || left[0].Stream != "o-0" || !contains(left[0].Failed, fmt.Sprintf("offset %d", bad.Offset)) {
		t.Errorf("%+v", left)
	}
	if n := b.ints(`SELECT max(version) FROM orders`, 1)[0]; n != 4 {
		t.Errorf("the stream that could not be healed is at version %d", n)
	}
}

// later is the read model orders of a program that makes its rows otherwise.
type later struct{ shop.Orders }

func (later) Shape() int { return 2 }

func (l later) Apply(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	if err := l.Orders.Apply(ctx, tx, b); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE orders SET cancel_reason = 'later'`)
	return err
}

// A program with a later shape starts beside the one of before: readers see the old rows, which that goes on to feed, until
// the new ones are complete. Then the old program does nothing any more, and says how to go back to it; so it is done.
func TestNewProgramBuildsItsOwnShape(t *testing.T) {
	b := newBed(t)
	b.sell(50)
	before := b.process()
	before.await(t)
	projection := projections()[0]
	projection.Model = later{}
	if err := postgres.Migrate(t.Context(), b.url, projection.Model); err != nil {
		t.Fatal(err)
	}
	b.sell(5)
	b.exact("before the new program runs")
	after := b.program(projection)
	after.await(t)
	b.exact("after the switch")
	if n := b.ints(`SELECT count(*) FROM orders WHERE cancel_reason <> 'later'`, 1)[0]; n != 0 {
		t.Errorf("%d rows are of the old shape", n)
	}
	logtest.Until(t, "the old program has noticed", func() bool {
		ok, why := before.drivers["orders"].Ready()
		return !ok && contains(why, "later program") && contains(why, "rebuild orders") && len(before.drivers["orders"].Runners()) == 0
	})
	b.sell(5)
	b.exact("fed by the new program")

	after.stop()
	b.rebuild("orders")() // asked for by the old program
	before.await(t)
	b.exact("fed by the old program")
	if n := b.ints(`SELECT count(*) FROM orders WHERE cancel_reason = 'later'`, 1)[0]; n != 0 {
		t.Errorf("%d rows are of the later shape", n)
	}
}

// Those who wait for positions, and ask what is parked, follow a switch.
func TestQueriesFollowASwitch(t *testing.T) {
	b := newBed(t)
	b.sell(10)
	p := b.process()
	p.await(t)
	waiter, err := query.NewWaiter(query.WaiterConfig{Pool: b.store.Pool(), Recheck: time.Minute, IdleRecheck: time.Minute, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- waiter.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	parked := query.NewParked(b.store.Pool())
	isParked := func() bool {
		ok, err := parked.ParkedStream(t.Context(), "orders", "order", "o-1")
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if _, err := b.store.Pool().Exec(t.Context(), `INSERT INTO cqrsflow.parked (projection, version, aggregate, source, partition, "offset", stream, reason, attempts, parked_at)
		VALUES ('orders', 1, 'order', 'events', 9, 1, 'o-1', 'no', 1, now())`); err != nil {
		t.Fatal(err)
	}
	if !isParked() {
		t.Error("what the active version has parked is not seen")
	}
	b.rebuild("orders")()
	if isParked() {
		t.Error("what a retired version has parked is still seen")
	}
	// Nothing is read again but for a notification: the new version's reach the waiter.
	e := b.log.Append(t, "order", logtest.One("o-1", &orderv1.OrderShipped{}))[0]
	waiting, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	through, err := waiter.Wait(waiting, query.OrdersModel, []event.Position{e.Position()})
	if err != nil || len(through) == 0 {
		t.Errorf("%v, %v", through, err)
	}
	if v := b.ints(`SELECT version FROM orders WHERE id = 'o-1'`, 1)[0]; v != 3 {
		t.Errorf("the order is at version %d", v)
	}
}
