package limit

import (
	"context"
	"embed"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/pgmigrate"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema holds what gateways have leased: nothing that has to be kept.
const Schema = "limits"

// sharedSlots are into how many a window is divided where tokens are leased: a lease lasts as long as one.
const sharedSlots = 8

// migrationLock is the key of the advisory lock that lets one process migrate at a time.
const migrationLock = 0x6371726c // "cqrl"

// Postgres is a Store. Its clock is the server's, so that of gateways does not matter. It is safe for concurrent use.
type Postgres struct {
	pool *pgxpool.Pool
	log  *slog.Logger
}

// NewPostgres leases through the pool, from tables that Migrate has made.
func NewPostgres(pool *pgxpool.Pool, log *slog.Logger) *Postgres { return &Postgres{pool, log} }

// Lease is one statement. Errors wrap event.ErrUnavailable.
func (p *Postgres) Lease(ctx context.Context, l Lease) (Grant, error) {
	var g Grant
	var valid, reset int64
	width := max(1, l.Window.Milliseconds()/sharedSlots)
	if l.Window.Milliseconds()%sharedSlots != 0 {
		width++ // slots that together are shorter than the window would give back too early
	}
	err := p.pool.QueryRow(ctx, "SELECT * FROM "+Schema+".lease($1, $2, $3, $4, $5, $6, $7)", l.Key, l.Most, width, sharedSlots, l.Block, l.Unused, l.Slot).
		Scan(&g.Tokens, &valid, &g.Slot, &g.Left, &reset)
	if err != nil {
		return Grant{}, fmt.Errorf("%w: PostgreSQL: %w", event.ErrUnavailable, err)
	}
	g.Valid, g.Reset = time.Duration(valid)*time.Millisecond, time.Duration(reset)*time.Millisecond
	return g, nil
}

// Run drops what counts no more of keys that nobody uses, until ctx ends.
func (p *Postgres) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Minute)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if _, err := p.pool.Exec(ctx, "DELETE FROM "+Schema+".taken WHERE expires < now()"); err != nil && ctx.Err() == nil {
			p.log.Warn("what is left of old limits cannot be dropped", "error", err)
		}
	}
}

// Migrate makes the table, or brings it up to date. It waits for another process that is at it. Errors wrap event.ErrConfig for
// a URL that is none, and event.ErrUnavailable where the server cannot be reached.
func Migrate(ctx context.Context, url string) error {
	return pgmigrate.Schema{Name: Schema, For: "the limits", Lock: migrationLock, Files: migrations}.Up(ctx, url)
}
