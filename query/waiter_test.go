package query_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
)

func waiter(t *testing.T, cfg query.WaiterConfig) *query.Waiter {
	t.Helper()
	cfg.Logger = slog.New(slog.DiscardHandler)
	w, err := query.NewWaiter(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return w
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

const soon = 20 * time.Second // a bound for what happens at once, on a busy machine

func TestWait(t *testing.T) {
	s, pool := side(t)
	// Rechecks are too rare to help: notifications must do.
	w := waiter(t, query.WaiterConfig{Pool: pool, Recheck: time.Hour, IdleRecheck: time.Hour})
	if through, err := w.Wait(within(t, soon), query.OrdersModel, nil); err != nil || len(through) != 0 {
		t.Errorf("before anything: %v, %v", through, err)
	}
	events, o := s.Decide("order", "o1", place("c1", "1.00"), day(0), day(0))
	tracker := w.Of(query.OrdersModel)
	type result struct {
		through []event.Position
		err     error
	}
	got := make(chan result, 1)
	go func() {
		through, err := tracker.Wait(within(t, soon), []event.Position{o.Position, {Aggregate: "customer", Partition: 1, Offset: 99}, {}})
		got <- result{through, err}
	}()
	if _, err := w.Wait(within(t, 50*time.Millisecond), query.OrdersModel, []event.Position{o.Position}); !errors.Is(err, query.ErrBehind) {
		t.Errorf("before it is applied: %v", err)
	}
	s.Apply("history", events...) // another projection does not help
	s.Apply("orders", events...)
	if r := <-got; r.err != nil || cmp.Diff([]event.Position{o.Position}, r.through) != "" {
		t.Errorf("%v, %v", r.through, r.err)
	}
	if _, err := query.NewOrders(pool).Get(t.Context(), "o1", ""); err != nil {
		t.Errorf("what was waited for is not there: %v", err)
	}
	for name, after := range map[string]event.Position{"a later command": {Aggregate: "order", Partition: 3, Offset: 2}, "another partition": {Aggregate: "order", Partition: 4, Offset: 0}} {
		if _, err := w.Wait(within(t, 50*time.Millisecond), query.OrdersModel, []event.Position{after}); !errors.Is(err, query.ErrBehind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if through, err := w.Wait(within(t, soon), query.HistoryModel, []event.Position{o.Position}); err != nil || len(through) != 1 {
		t.Errorf("history: %v, %v", through, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Wait(ctx, query.SalesModel, []event.Position{o.Position}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestLostNotification moves a checkpoint without telling anybody.
func TestLostNotification(t *testing.T) {
	s, pool := side(t)
	_, o := s.Decide("order", "o1", place("c1", "1.00"), day(0), day(0))
	s.Park("orders", "order", "o0") // the checkpoint is there
	w := waiter(t, query.WaiterConfig{Pool: pool, Recheck: 5 * time.Millisecond})
	got := make(chan error, 1)
	go func() {
		_, err := w.Wait(within(t, soon), query.OrdersModel, []event.Position{o.Position})
		got <- err
	}()
	s.Exec(`UPDATE cqrsflow.checkpoints SET command_offset = $1 WHERE projection = 'orders' AND aggregate = 'order'`, o.Position.Offset)
	if err := <-got; err != nil {
		t.Error(err)
	}
}

// TestInactiveVersionDoesNotCount has a rebuild ahead of what readers see.
func TestInactiveVersionDoesNotCount(t *testing.T) {
	s, pool := side(t)
	w := waiter(t, query.WaiterConfig{Pool: pool, Recheck: time.Millisecond})
	s.Exec(`INSERT INTO cqrsflow.checkpoints (projection, version, aggregate, source, partition, topic_id, next_offset, command_offset)
		VALUES ('orders', 2, 'order', 'events', 3, gen_random_uuid(), 100, 50), ('orders', 1, 'order', 'outcomes', 3, gen_random_uuid(), 100, 50)`)
	after := []event.Position{{Aggregate: "order", Partition: 3, Offset: 50}}
	if _, err := w.Wait(within(t, 100*time.Millisecond), query.OrdersModel, after); !errors.Is(err, query.ErrBehind) {
		t.Errorf("version 2 is not active: %v", err)
	}
	s.Exec(`UPDATE cqrsflow.projections SET active_version = 2 WHERE projection = 'orders'`)
	if _, err := w.Wait(within(t, soon), query.OrdersModel, after); err != nil {
		t.Errorf("version 2 is active: %v", err)
	}
}

// proxy passes connections on until it is cut.
type proxy struct {
	listener net.Listener
	target   [2]string
	mu       struct {
		sync.Mutex
		cut   bool
		conns []net.Conn
	}
}

func newProxy(t *testing.T, network, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: [2]string{network, target}}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.pass(c) })
		}
	})
	t.Cleanup(func() { _ = l.Close(); p.set(true); wg.Wait() })
	return p
}

func (p *proxy) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial(p.target[0], p.target[1])
	if err != nil {
		return
	}
	defer out.Close()
	p.mu.Lock()
	if p.mu.cut {
		p.mu.Unlock()
		return
	}
	p.mu.conns = append(p.mu.conns, in, out)
	p.mu.Unlock()
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(in, out); _ = in.Close() })
	_, _ = io.Copy(out, in)
	_ = out.Close()
	wg.Wait()
}

// set cuts all connections and lets no new ones through, or lets them through again.
func (p *proxy) set(cut bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.cut = cut
	for _, c := range p.mu.conns {
		_ = c.Close()
	}
	p.mu.conns = nil
}

// TestPostgresGoesAway cuts the waiter off and lets it come back.
func TestPostgresGoesAway(t *testing.T) {
	s, direct := side(t)
	cfg := direct.Config().Copy()
	network, address := "tcp", ""
	if host := cfg.ConnConfig.Host; host != "" && host[0] == '/' {
		network, address = "unix", host+"/.s.PGSQL."+strconv.Itoa(int(cfg.ConnConfig.Port))
	} else {
		address = net.JoinHostPort(host, strconv.Itoa(int(cfg.ConnConfig.Port)))
	}
	p := newProxy(t, network, address)
	cfg.ConnConfig.DialFunc = func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", p.listener.Addr().String())
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w := waiter(t, query.WaiterConfig{Pool: pool, Recheck: 10 * time.Millisecond, IdleRecheck: 20 * time.Millisecond})
	o := s.Command("order", "o1", place("c1", "1.00"), day(0))
	if _, err := w.Wait(within(t, soon), query.OrdersModel, []event.Position{o.Position}); err != nil {
		t.Fatal(err)
	}
	p.set(true)
	later := event.Position{Aggregate: "order", Partition: 3, Offset: o.Position.Offset + 1}
	var got error
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); { // until the waiter has noticed
		if _, got = w.Wait(within(t, 50*time.Millisecond), query.OrdersModel, []event.Position{later}); errors.Is(got, event.ErrUnavailable) {
			break
		}
	}
	if !errors.Is(got, event.ErrUnavailable) {
		t.Errorf("while Postgres is away: %v", got)
	}
	if _, err := query.NewOrders(pool).Get(t.Context(), "o1", ""); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("a query while Postgres is away: %v", err)
	}
	p.set(false)
	events, o := s.Decide("order", "o2", place("c1", "1.00"), day(0), day(0))
	s.Apply("orders", events...)
	if _, err := w.Wait(within(t, soon), query.OrdersModel, []event.Position{o.Position}); err != nil {
		t.Errorf("after it came back: %v", err)
	}
}

func TestWaiterConfig(t *testing.T) {
	_, pool := side(t)
	for name, cfg := range map[string]query.WaiterConfig{"no pool": {}, "recheck": {Pool: pool, Recheck: 1}, "idle": {Pool: pool, Recheck: 10 * time.Second}} {
		if _, err := query.NewWaiter(cfg); !errors.Is(err, event.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := query.Open(t.Context(), "postgres://nobody@127.0.0.1:1/x?connect_timeout=1", 0); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("an unreachable server: %v", err)
	}
	if _, err := query.Open(t.Context(), "postgres://a:b:c/%", 0); !errors.Is(err, event.ErrConfig) {
		t.Errorf("a bad URL: %v", err)
	}
}
