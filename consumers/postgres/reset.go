package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Reset empties a version of a projection: its tables, checkpoints and pointers. A runner that runs
// finds its checkpoint gone and starts again from the log's start.
func (s *Store) Reset(ctx context.Context, m ReadModel, version int) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err := forget(ctx, tx, m.Name(), version); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, `SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
			WHERE schemaname = $1 AND tablename <> 'migrations'`, SchemaOf(m.Name(), version))
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil || len(tables) == 0 {
			return err
		}
		_, err = tx.Exec(ctx, "TRUNCATE "+strings.Join(tables, ", "))
		return err
	})
	if err != nil {
		return s.failed(fmt.Sprintf("empty projection %s version %d", m.Name(), version), err)
	}
	return nil
}
