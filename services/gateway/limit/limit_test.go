package limit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/embedded/postgres"
	"github.com/cqrsflow/cqrsflow/services/gateway"
)

var server *postgres.Server

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "embedded PostgreSQL for tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "cqrsflow-limit-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // binaries may have to be fetched
	defer cancel()
	if server, err = postgres.Start(ctx, postgres.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return 1, err
	}
	if err := Migrate(ctx, server.URL()); err != nil {
		return 1, errors.Join(err, server.Close())
	}
	around := goleak.IgnoreCurrent()
	code = m.Run()
	if leaked := goleak.Find(around); leaked != nil && code == 0 {
		err, code = leaked, 1
	}
	return code, errors.Join(err, server.Close())
}

func store(t *testing.T) *Postgres {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return NewPostgres(pool, slog.New(slog.DiscardHandler))
}

// clock is moved by hand.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time          { return time.Unix(0, c.at.Load()) }
func (c *clock) forward(d time.Duration) { c.at.Add(int64(d)) }
func (c *clock) elapsed() time.Duration  { return time.Duration(c.at.Load()) }
func requests(n int) gateway.Limit       { return gateway.Limit{Name: "x", Requests: n, Window: time.Minute} }

// exceeds returns a window in which more than n were allowed; times are sorted.
func exceeds(times []time.Duration, n int, window time.Duration) (from, to time.Duration, bad bool) {
	for i := range times {
		if j := i + n; j < len(times) && times[j]-times[i] < window {
			return times[i], times[j], true
		}
	}
	return 0, 0, false
}

// However requests come, no window has more than the limit. Whoever waits as long as Reset says gets in.
func TestNoWindowHasMoreThanTheLimit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &clock{}
		l := NewLocal(c.now)
		limit := gateway.Limit{Requests: rapid.IntRange(1, 20).Draw(t, "requests"), Window: time.Duration(rapid.Int64Range(1e6, 1e9).Draw(t, "window"))}
		var allowed []time.Duration
		for range rapid.IntRange(1, 200).Draw(t, "n") {
			c.forward(time.Duration(rapid.Int64Range(0, int64(limit.Window)/4).Draw(t, "wait")))
			d, err := l.Take(t.Context(), "k", limit)
			if err != nil {
				t.Fatal(err)
			}
			if d.Allowed {
				allowed = append(allowed, c.elapsed())
			} else if d.Remaining != 0 || d.Reset <= 0 || d.Reset > limit.Window+2*limit.Window/slots {
				t.Fatalf("refused: %+v", d)
			}
			if from, to, bad := exceeds(allowed, limit.Requests, limit.Window); bad {
				t.Fatalf("more than %d from %v to %v, which is less than %v", limit.Requests, from, to, limit.Window)
			}
			if !d.Allowed && rapid.Bool().Draw(t, "come back") {
				c.forward(d.Reset)
				if d, err := l.Take(t.Context(), "k", limit); err != nil || !d.Allowed {
					t.Fatalf("after Reset: %+v, %v", d, err)
				}
				allowed = append(allowed, c.elapsed())
			}
		}
	})
}

// burst has everybody ask at once, and counts who was allowed.
func burst(t *testing.T, n int, take func(i int) (gateway.Decision, error)) int {
	t.Helper()
	var allowed atomic.Int64
	var wg sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-begin
			d, err := take(i)
			if err != nil {
				t.Error(err)
			}
			if d.Allowed {
				allowed.Add(1)
			}
		})
	}
	close(begin)
	wg.Wait()
	return int(allowed.Load())
}

func TestOneGatewayAllowsExactlyTheLimitAtOnce(t *testing.T) {
	c := &clock{}
	l := NewLocal(c.now)
	for _, key := range []string{"a", "b"} {
		if got := burst(t, 500, func(int) (gateway.Decision, error) { return l.Take(t.Context(), key, requests(100)) }); got != 100 {
			t.Errorf("%s: %d of 500 at once, want 100", key, got)
		}
	}
	c.forward(59 * time.Second)
	if d, err := l.Take(t.Context(), "a", requests(100)); err != nil || d.Allowed {
		t.Errorf("before the window is over: %+v, %v", d, err)
	}
	c.forward(time.Second + time.Minute/slots)
	if got := burst(t, 300, func(int) (gateway.Decision, error) { return l.Take(t.Context(), "a", requests(100)) }); got != 100 {
		t.Errorf("in the next window: %d, want 100", got)
	}
}

func TestKeysThatAreIdleAreForgotten(t *testing.T) {
	c := &clock{}
	l := NewLocal(c.now)
	for i := range 100_000 {
		if _, err := l.Take(t.Context(), fmt.Sprint("first ", i), requests(1)); err != nil {
			t.Fatal(err)
		}
	}
	c.forward(3 * time.Minute)
	for i := range 100_000 {
		if _, err := l.Take(t.Context(), fmt.Sprint("second ", i), requests(1)); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for i := range l.shards {
		n += len(l.shards[i].entries)
	}
	if n > 110_000 {
		t.Errorf("%d keys are kept", n)
	}
}

func TestALimitThatIsNone(t *testing.T) {
	for _, bad := range []gateway.Limit{{}, {Requests: -1, Window: time.Second}, {Requests: 1, Window: time.Microsecond}} {
		if d, err := NewLocal(nil).Take(t.Context(), "k", bad); !errors.Is(err, event.ErrInvalid) || d.Allowed {
			t.Errorf("%+v: %+v, %v", bad, d, err)
		}
	}
	if _, err := NewLeased(LeasedConfig{}); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
}

// gateways are several that share a store.
func gateways(t *testing.T, n int, s Store) []*Leased {
	t.Helper()
	var out []*Leased
	for range n {
		l, err := NewLeased(LeasedConfig{Store: s, Timeout: 30 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, l)
	}
	return out
}

// Three gateways allow no more than the limit together, and at most a leased block each fewer; whoever is refused by all of them
// has used up what there was but for what the others hold.
func TestThreeGatewaysShareALimit(t *testing.T) {
	const n = 100
	three := gateways(t, 3, store(t))
	key, limit := t.Name(), gateway.Limit{Requests: n, Window: 10 * time.Minute}
	got := burst(t, 600, func(i int) (gateway.Decision, error) { return three[i%3].Take(t.Context(), key, limit) })
	if least := n - 3*Block(n); got > n || got < least {
		t.Errorf("%d of 600 at once, want %d to %d", got, least, n)
	}
	one := gateways(t, 1, store(t))
	if got := burst(t, 300, func(int) (gateway.Decision, error) { return one[0].Take(t.Context(), key+"1", limit) }); got != n {
		t.Errorf("one gateway: %d at once, want %d", got, n)
	}
}

// On the real clock, with a window that is short, no window has more than the limit.
func TestLeasedWindows(t *testing.T) {
	const n, window = 40, time.Second
	three := gateways(t, 3, store(t))
	limit := gateway.Limit{Requests: n, Window: window}
	began := time.Now()
	var mu sync.Mutex
	var before, after []time.Duration
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for time.Since(began) < 3*window {
				from := time.Since(began)
				d, err := three[i%3].Take(t.Context(), t.Name(), limit)
				to := time.Since(began)
				if err != nil {
					t.Error(err)
					return
				}
				if d.Allowed {
					mu.Lock()
					before, after = append(before, from), append(after, to)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	// Each was counted between the two times: those that surely lie within less than a window are too many, if more than n.
	for i := range before {
		in := 0
		for j := range before {
			if before[j] >= before[i] && after[j] < before[i]+window {
				in++
			}
		}
		if in > n {
			t.Fatalf("%d within a window from %v", in, before[i])
		}
	}
	if len(before) <= n {
		t.Errorf("%d in three windows: nothing comes back", len(before))
	}
}

// What is leased and not used is given back with the next lease: who asks seldom does not use up a limit by asking.
func TestUnusedTokensAreGivenBack(t *testing.T) {
	s, key := store(t), t.Name()
	ask := Lease{Key: key, Most: 100, Window: 10 * time.Minute, Block: 5}
	for range 60 { // each uses one of five
		g, err := s.Lease(t.Context(), ask)
		if err != nil || g.Tokens != 5 {
			t.Fatalf("%+v, %v", g, err)
		}
		ask.Unused, ask.Slot = g.Tokens-1, g.Slot
	}
	g, err := s.Lease(t.Context(), ask)
	if err != nil || g.Left != 100-60-5 {
		t.Errorf("%+v, %v: 60 were used and 5 are held", g, err)
	}
}

// failing is a store that is down.
type failing struct{}

func (failing) Lease(ctx context.Context, _ Lease) (Grant, error) {
	<-ctx.Done()
	return Grant{}, fmt.Errorf("%w: %w", event.ErrUnavailable, ctx.Err())
}

func TestWithoutAStoreNobodyIsCounted(t *testing.T) {
	l, err := NewLeased(LeasedConfig{Store: failing{}, Timeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if d, err := l.Take(t.Context(), "k", requests(1)); !errors.Is(err, event.ErrUnavailable) || d.Allowed {
		t.Errorf("%+v, %v", d, err)
	}
	pool, err := pgxpool.New(t.Context(), "postgres://127.0.0.1:1/x?connect_timeout=1")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := NewPostgres(pool, slog.New(slog.DiscardHandler)).Lease(t.Context(), Lease{Key: "k", Most: 1, Window: time.Second, Block: 1}); !errors.Is(err, event.ErrUnavailable) {
		t.Error(err)
	}
	if err := Migrate(t.Context(), "postgres://127.0.0.1:1/x"); !errors.Is(err, event.ErrUnavailable) {
		t.Error(err)
	}
}

func TestMigrateAgain(t *testing.T) {
	if err := Migrate(t.Context(), server.URL()); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "SELECT * FROM limits.lease('m', 1, 1000, 8, 1, 0, 0)"); err != nil {
		t.Error(err)
	}
}
