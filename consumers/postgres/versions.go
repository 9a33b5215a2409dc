package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/event"
)

// Activate switches readers to a version of a read model, atomically. Whether it has caught up is the
// caller's to know. Doing it again changes nothing.
func (s *Store) Activate(ctx context.Context, m ReadModel) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO cqrsflow.projections (projection, active_version) VALUES ($1, $2)
			ON CONFLICT (projection) DO UPDATE SET active_version = excluded.active_version`, m.Name(), m.Version()); err != nil {
			return err
		}
		return show(ctx, tx, m)
	})
	if err != nil {
		return s.failed(fmt.Sprintf("switch readers to %s version %d", m.Name(), m.Version()), err)
	}
	s.notify.moved(m.Name())
	return nil
}

// ActiveVersion is the version of a projection that readers see; event.ErrNotFound where there is none.
func (s *Store) ActiveVersion(ctx context.Context, projection string) (int, error) {
	var v int
	err := s.pool.QueryRow(ctx, `SELECT active_version FROM cqrsflow.projections WHERE projection = $1`, projection).Scan(&v)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, fmt.Errorf("projection %s: %w", projection, event.ErrNotFound)
	case err != nil:
		return 0, s.failed("read the active version", err)
	}
	return v, nil
}

// DropVersion removes a version that is not active: its tables, checkpoints and pointers. Its runner
// must have ended.
func (s *Store) DropVersion(ctx context.Context, projection string, version int) error {
	if !identifier.MatchString(projection) {
		return fmt.Errorf("%w: projection name %q", event.ErrInvalid, projection)
	}
	return s.forget(ctx, projection, version, func(tx pgx.Tx) error {
		var active int
		err := tx.QueryRow(ctx, `SELECT active_version FROM cqrsflow.projections WHERE projection = $1 FOR UPDATE`, projection).Scan(&active)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		if active == version {
			return fmt.Errorf("%w: version %d of projection %s is the active one", event.ErrInvalid, version, projection)
		}
		_, err = tx.Exec(ctx, "DROP SCHEMA IF EXISTS "+quote(SchemaOf(projection, version))+" CASCADE")
		return err
	})
}

// Reset empties a version of a projection: its tables, checkpoints and pointers. A runner that runs
// finds its checkpoint gone and starts again from the log's start.
func (s *Store) Reset(ctx context.Context, m ReadModel) error {
	schema := SchemaOf(m.Name(), m.Version())
	return s.forget(ctx, m.Name(), m.Version(), func(tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
			WHERE schemaname = $1 AND tablename <> 'migrations'`, schema)
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(tables) == 0 {
			return err
		}
		_, err = tx.Exec(ctx, "TRUNCATE "+strings.Join(tables, ", "))
		return err
	})
}

// forget removes what the sink keeps of a version of a projection, after what f does, in one
// transaction. The lock waits for batches that are being applied, a partition's first one included,
// whose checkpoint cannot be seen yet, and keeps others from beginning.
func (s *Store) forget(ctx context.Context, projection string, version int, f func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "LOCK TABLE cqrsflow.checkpoints IN SHARE ROW EXCLUSIVE MODE"); err != nil {
			return err
		}
		for _, table := range []string{"checkpoints", "parked", "dropped"} {
			if _, err := tx.Exec(ctx, "DELETE FROM cqrsflow."+table+" WHERE projection = $1 AND version = $2", projection, version); err != nil {
				return err
			}
		}
		return f(tx)
	})
	if err != nil && !errors.Is(err, event.ErrInvalid) {
		return s.failed(fmt.Sprintf("empty projection %s version %d", projection, version), err)
	}
	return err
}
