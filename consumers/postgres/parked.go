package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

// Selection chooses parked events. The zero value of a field chooses all.
type Selection struct {
	Projection string
	Version    int
	Aggregate  string
	Stream     event.StreamID
}

// ParkedEvent is an event that a projection has set aside.
type ParkedEvent struct {
	Projection string
	Version    int
	Aggregate  string
	Source     runner.Source
	Partition  int32
	runner.Pointer
}

const selected = ` WHERE ($1 = '' OR projection = $1) AND ($2 = 0 OR version = $2) AND ($3 = '' OR aggregate = $3) AND ($4 = '' OR stream = $4)`

func (s Selection) args() []any {
	return []any{s.Projection, s.Version, s.Aggregate, string(s.Stream)}
}

// Parked lists parked events, those that wait behind a refused one included, stream by stream in order.
func (s *Store) Parked(ctx context.Context, sel Selection) ([]ParkedEvent, error) {
	rows, _ := s.pool.Query(ctx, `SELECT projection, version, aggregate, source, partition, stream, "offset", reason, attempts, retry, parked_at
		FROM cqrsflow.parked`+selected+` ORDER BY projection, version, aggregate, source, partition, stream, "offset"`, sel.args()...)
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (ParkedEvent, error) {
		var p ParkedEvent
		err := row.Scan(&p.Projection, &p.Version, &p.Aggregate, &p.Source, &p.Partition, &p.Stream, &p.Offset, &p.Reason, &p.Attempts, &p.Retry, &p.ParkedAt)
		return p, err
	})
	if err != nil {
		return nil, s.failed("list parked events", err)
	}
	return out, nil
}

// Retry marks parked events; the workers of their partitions try them again, in order. It returns how many it marked.
func (s *Store) Retry(ctx context.Context, sel Selection) (int, error) {
	tag, err := s.pool.Exec(ctx, `UPDATE cqrsflow.parked SET retry = true`+selected, sel.args()...)
	if err != nil {
		return 0, s.failed("mark parked events", err)
	}
	return int(tag.RowsAffected()), nil
}

// Drop gives up the first parked event of each chosen stream, the one that was refused, and marks what
// waits behind it. It needs a projection and a stream. It returns how many events it gave up.
func (s *Store) Drop(ctx context.Context, sel Selection) (int, error) {
	if sel.Projection == "" || sel.Stream == "" {
		return 0, fmt.Errorf("%w: dropping parked events needs a projection and a stream", event.ErrInvalid)
	}
	var dropped int
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `WITH first AS (
				SELECT DISTINCT ON (projection, version, aggregate, source, partition, stream) *
				FROM cqrsflow.parked`+selected+`
				ORDER BY projection, version, aggregate, source, partition, stream, "offset"
			), gone AS (
				DELETE FROM cqrsflow.parked p USING first f
				WHERE (p.projection, p.version, p.aggregate, p.source, p.partition, p."offset")
					= (f.projection, f.version, f.aggregate, f.source, f.partition, f."offset")
				RETURNING p.*
			)
			INSERT INTO cqrsflow.dropped (projection, version, aggregate, source, partition, "offset", stream, reason, attempts)
			SELECT projection, version, aggregate, source, partition, "offset", stream, reason, attempts FROM gone`, sel.args()...)
		if err != nil {
			return err
		}
		dropped = int(tag.RowsAffected())
		_, err = tx.Exec(ctx, `UPDATE cqrsflow.parked SET retry = true`+selected, sel.args()...)
		return err
	})
	if err != nil {
		return 0, s.failed("drop parked events", err)
	}
	return dropped, nil
}

func (s *Store) failed(doing string, err error) error {
	if c := classify(err); c == unavailable || c == again {
		return fmt.Errorf("%w: PostgreSQL: %s: %w", event.ErrUnavailable, doing, err)
	}
	return fmt.Errorf("PostgreSQL: %s: %w", doing, err)
}
