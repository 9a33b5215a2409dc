package identity_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/services/identity"
)

// way is on which instances of identity reach their servers; nobody else does.
type way struct{ kafka, postgres line }

func (w *way) pool(t testing.TB, like *pgxpool.Pool) *pgxpool.Pool {
	t.Helper()
	cfg := like.Config()
	cfg.ConnConfig.DialFunc = w.postgres.dial
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	must(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// line is a network that can be cut: open connections break, and there are no new ones.
type line struct {
	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func (l *line) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err == nil {
		l.conns = append(l.conns, conn)
	}
	return conn, err
}

func (l *line) cut(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	for _, conn := range l.conns {
		_ = conn.Close() // most of them are closed already
	}
	l.conns = nil
}

// Kafka or PostgreSQL cannot be reached: everything that needs it is 503, nobody gets in, and when it is back nobody is kept out.
func TestASVS_16_5_1_ServersDown(t *testing.T) {
	w := &way{}
	b, c, id := joined(t, options{way: w, change: func(cfg *identity.Config) { cfg.Timeout = 4 * time.Second }})
	b.pass(time.Minute)
	outer := b.t
	for name, l := range map[string]*line{"Kafka": &w.kafka, "PostgreSQL": &w.postgres} {
		t.Run(name, func(t *testing.T) {
			b.t = t
			defer func() { b.t = outer }()
			l.cut(true)
			anonymous := b.client() // without the cookie of a known device, which no failure would slow down
			for range 2 {           // and two passwords: as many as would slow the account down
				for _, plain := range []string{good, other} {
					a := anonymous.post("/v1/auth/login", object{"email": ada, "password": plain}).is(503, "unavailable")
					if a.header.Get("Retry-After") == "" || strings.Contains(a.text, "refused") || len(a.header.Values("Set-Cookie")) > 0 {
						t.Errorf("%s %v", a.text, a.header)
					}
				}
			}
			anonymous.post("/v1/auth/password/reset", object{"email": ada}).is(503, "unavailable")
			anonymous.post("/v1/auth/register", object{"email": "eve@example.org", "password": good, "name": "Eve"}).is(503, "unavailable")
			if l == &w.kafka {
				c.get("/v1/me").is(503, "unavailable")
				c.post("/v1/auth/refresh", object{"refreshToken": c.refresh}).is(503, "unavailable")
			}
			l.cut(false)
			b.until("the owner gets in", func() bool { return anonymous.login(ada, good).status == 200 })
			c.get("/v1/me").is(200, "")
			b.pass(2 * time.Minute)
			if events := b.stream("user", id); strings.Contains(events, "AttemptFailed") || strings.Contains(events, "AttemptExpired") {
				t.Errorf("an outage counts as failures: %s", events)
			}
		})
	}
}
