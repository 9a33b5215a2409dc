package query

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/event"
)

// DefaultConnections is how many connections a pool for reading has at most.
const DefaultConnections = 16

// statementTimeout ends what would otherwise go on in the server after its caller has given up.
const statementTimeout = "30s"

// Open makes a pool for reading: its transactions cannot write. connections bounds it; 0 is
// DefaultConnections. Errors wrap event.ErrConfig, or event.ErrUnavailable naming the server.
func Open(ctx context.Context, url string, connections int32) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil { // pgx leaves the password out
		return nil, fmt.Errorf("%w: the Postgres URL (--postgres-url, CQRSFLOW_POSTGRES_URL): %w", event.ErrConfig, err)
	}
	if connections < 0 {
		return nil, fmt.Errorf("%w: connections is %d; it must not be negative", event.ErrConfig, connections)
	}
	cfg.MaxConns = cmp.Or(connections, DefaultConnections)
	params := cfg.ConnConfig.RuntimeParams
	params["application_name"] = cmp.Or(params["application_name"], "cqrsflow-query")
	params["default_transaction_read_only"] = "on"
	params["statement_timeout"] = cmp.Or(params["statement_timeout"], statementTimeout)
	params["timezone"] = "UTC" // dates in cursors are compared as the client wrote them
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("%w: PostgreSQL pool: %w", event.ErrConfig, err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("%w: PostgreSQL at %s:%d, database %s (--postgres-url, CQRSFLOW_POSTGRES_URL): %w",
			event.ErrUnavailable, cfg.ConnConfig.Host, cfg.ConnConfig.Port, cfg.ConnConfig.Database, err)
	}
	return pool, nil
}
