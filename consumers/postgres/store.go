package postgres

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/event"
)

// Config says where the read models are. URL is required.
type Config struct {
	// URL of the database, as libpq takes it.
	URL string
	// MaxConns (default 16) bounds connections, and so the batches that are applied at the same time.
	MaxConns int32
	// AsyncCommit lets transactions return before their log is on disk. A crash of the server may then
	// take the last ones back, checkpoint and all; they are applied again. Nothing is lost, but a read
	// may see less after the crash than before it.
	AsyncCommit bool
	// Logger defaults to slog.Default().
	Logger *slog.Logger
}

// Store is a database with read models. It is safe for concurrent use.
type Store struct {
	pool   *pgxpool.Pool
	cfg    *pgx.ConnConfig
	notify *notifier
	log    *slog.Logger
}

// stuck is how long a transaction of a process that stopped in its middle may hold its locks.
const stuck = 20 * time.Second

// Open connects. Errors wrap event.ErrConfig, or event.ErrUnavailable naming the server.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if _, err := parseURL(cfg.URL); err != nil {
		return nil, err
	}
	pc, err := pgxpool.ParseConfig(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("%w: the Postgres URL (--postgres-url, CQRSFLOW_POSTGRES_URL): %w", event.ErrConfig, err)
	}
	if cfg.MaxConns < 0 {
		return nil, fmt.Errorf("%w: MaxConns is %d; it must be 1 or more", event.ErrConfig, cfg.MaxConns)
	}
	pc.MaxConns = 16
	if cfg.MaxConns > 0 {
		pc.MaxConns = cfg.MaxConns
	}
	params := pc.ConnConfig.RuntimeParams
	if params["application_name"] == "" {
		params["application_name"] = "cqrsflow-projections"
	}
	// A process that is paused in a transaction would keep the new owner of its partition waiting.
	params["idle_in_transaction_session_timeout"] = strconv.FormatInt(stuck.Milliseconds(), 10)
	if cfg.AsyncCommit {
		params["synchronous_commit"] = "off"
	}
	log := cfg.Logger
	if log == nil {
		log = slog.Default()
	}
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("%w: PostgreSQL pool: %w", event.ErrConfig, err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, unreachable(pc.ConnConfig, err)
	}
	return &Store{pool: pool, cfg: pc.ConnConfig.Copy(), log: log, notify: newNotifier(pc.ConnConfig, log)}, nil
}

// Run tells waiting readers about new checkpoints until ctx ends. Without it the sinks work, and
// readers find out when they look again.
func (s *Store) Run(ctx context.Context) error { return s.notify.run(ctx) }

// Pool is the pool of connections.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Close closes the connections once the transactions in progress have ended.
func (s *Store) Close() { s.pool.Close() }
