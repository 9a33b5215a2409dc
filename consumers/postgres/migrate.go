package postgres

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/cqrsflow/cqrsflow/event"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema holds what the sinks keep for themselves: checkpoints, pointers, versions.
const Schema = "cqrsflow"

// migrationLock is the key of the advisory lock that lets one process migrate at a time.
const migrationLock = 0x6371727366 // "cqrsf"

// Migrate makes or brings up to date the tables of the sinks and of the read models, and the views that
// readers use. It changes nothing where all is done, and waits for another process that is at it. It
// never switches a projection to another version than the active one; the first version is active at
// once. Errors wrap event.ErrUnavailable where the server cannot be reached.
func Migrate(ctx context.Context, url string, models ...ReadModel) error {
	cfg, err := parseURL(url)
	if err != nil {
		return err
	}
	for _, m := range models {
		if err := checkModel(m); err != nil {
			return err
		}
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return unreachable(cfg, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // its lock goes with it
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for another process that migrates: %w", err)
	}
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	if _, err := migrateSchema(ctx, conn, cfg, Schema, sub); err != nil {
		return err
	}
	for _, m := range models {
		changed, err := migrateSchema(ctx, conn, cfg, SchemaOf(m.Name(), m.Version()), m.Migrations())
		if err != nil {
			return err
		}
		if err := register(ctx, conn, m, changed); err != nil {
			return fmt.Errorf("views of %s: %w", m.Name(), err)
		}
	}
	return nil
}

// migrateSchema reports whether it changed anything.
func migrateSchema(ctx context.Context, conn *pgx.Conn, cfg *pgx.ConnConfig, schema string, files fs.FS) (bool, error) {
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+quote(schema)); err != nil {
		return false, fmt.Errorf("create schema %s: %w", schema, err)
	}
	inside := cfg.Copy()
	inside.RuntimeParams["search_path"] = schema
	db := stdlib.OpenDB(*inside)
	defer func() { _ = db.Close() }()
	changed, err := up(ctx, db, files)
	if err != nil {
		return false, fmt.Errorf("migrate schema %s: %w", schema, err)
	}
	return changed, nil
}

func up(ctx context.Context, db *sql.DB, files fs.FS) (bool, error) {
	p, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName("migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return false, err
	}
	results, err := p.Up(ctx)
	return len(results) > 0, err
}

// register notes a projection's first version as the active one, and makes the active version's views.
func register(ctx context.Context, conn *pgx.Conn, m ReadModel, changed bool) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO cqrsflow.projections (projection, active_version) VALUES ($1, $2)
			ON CONFLICT (projection) DO NOTHING`, m.Name(), m.Version()); err != nil {
			return err
		}
		var active int
		if err := tx.QueryRow(ctx, `SELECT active_version FROM cqrsflow.projections WHERE projection = $1`, m.Name()).Scan(&active); err != nil {
			return err
		}
		if active != m.Version() {
			return nil
		}
		if !changed {
			missing, err := missingViews(ctx, tx, m)
			if err != nil || !missing {
				return err
			}
		}
		return show(ctx, tx, m)
	})
}

func missingViews(ctx context.Context, tx pgx.Tx, m ReadModel) (bool, error) {
	var there int
	names := viewNames(m)
	err := tx.QueryRow(ctx, `SELECT count(*) FROM pg_views WHERE schemaname = 'public' AND viewname = ANY($1)`, names).Scan(&there)
	return there < len(names), err
}

func viewNames(m ReadModel) []string {
	var names []string
	for view := range m.Views() {
		names = append(names, view)
	}
	slices.Sort(names)
	return names
}

// show makes the model's views, in place of those of another version. Readers see the one or the
// other: it is all one transaction.
func show(ctx context.Context, tx pgx.Tx, m ReadModel) error {
	schema := SchemaOf(m.Name(), m.Version())
	for _, view := range viewNames(m) {
		// Not CREATE OR REPLACE: another version may have other columns.
		if _, err := tx.Exec(ctx, "DROP VIEW IF EXISTS public."+quote(view)); err != nil {
			return fmt.Errorf("view %s: %w", view, err)
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("CREATE VIEW public.%s AS SELECT * FROM %s.%s", quote(view), quote(schema), quote(m.Views()[view]))); err != nil {
			return fmt.Errorf("view %s: %w", view, err)
		}
	}
	return nil
}

func parseURL(url string) (*pgx.ConnConfig, error) {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		// pgx redacts the password.
		return nil, fmt.Errorf("%w: the Postgres URL (--postgres-url, CQRSFLOW_POSTGRES_URL): %w", event.ErrConfig, err)
	}
	return cfg, nil
}

func unreachable(cfg *pgx.ConnConfig, err error) error {
	return fmt.Errorf("%w: PostgreSQL at %s:%d, database %s (--postgres-url, CQRSFLOW_POSTGRES_URL): %w",
		event.ErrUnavailable, cfg.Host, cfg.Port, cfg.Database, err)
}
