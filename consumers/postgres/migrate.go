package postgres

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/event"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema holds what the sinks keep for themselves: checkpoints, pointers, versions.
const Schema = "cqrsflow"

// migrationLock is the key of the advisory lock that lets one process migrate at a time.
const migrationLock = 0x6371727366 // "cqrsf"

// Migrate makes or brings up to date the tables of the sinks and of the read models, and the views that
// readers use. It changes nothing where all is done, and waits for another process that is at it. A
// projection's first version is active at once. Where the active version's shape is older than this
// program's, it asks for a version of that, which a rebuild.Driver fills; readers go on seeing the active
// one. Errors wrap event.ErrUnavailable where the server cannot be reached.
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
	return migrating(ctx, cfg, func(conn *pgx.Conn) error {
		sub, err := fs.Sub(migrations, "migrations")
		if err != nil {
			return err
		}
		if _, err := migrateSchema(ctx, conn, cfg, Schema, sub); err != nil {
			return err
		}
		for _, m := range models {
			if err := migrateModel(ctx, conn, cfg, m); err != nil {
				return err
			}
		}
		return nil
	})
}

// migrating runs f while no other process migrates.
func migrating(ctx context.Context, cfg *pgx.ConnConfig, f func(*pgx.Conn) error) error {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return unreachable(cfg, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // its lock goes with it
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for another process that migrates: %w", err)
	}
	return f(conn)
}

// migrateModel brings up to date the active version, if this program can fill it. One that is being built
// is for Versions.Prepare.
func migrateModel(ctx context.Context, conn *pgx.Conn, cfg *pgx.ConnConfig, m ReadModel) error {
	versions, err := register(ctx, conn, m)
	if err != nil {
		return fmt.Errorf("versions of %s: %w", m.Name(), err)
	}
	for _, v := range versions {
		if v.Shape != m.Shape() || v.State != rebuild.Active {
			continue
		}
		changed, err := migrateSchema(ctx, conn, cfg, SchemaOf(m.Name(), v.Number), m.Migrations())
		if err != nil {
			return err
		}
		if err := publish(ctx, conn, m, v.Number, changed); err != nil {
			return fmt.Errorf("views of %s: %w", m.Name(), err)
		}
	}
	return nil
}

// prepare makes the tables of a version that was asked for.
func prepare(ctx context.Context, cfg *pgx.ConnConfig, m ReadModel, version int) error {
	return migrating(ctx, cfg, func(conn *pgx.Conn) error {
		// Held until the tables are there: who drops the version waits, and drops them, too.
		tx, err := conn.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
		var there bool
		err = tx.QueryRow(ctx, `SELECT true FROM cqrsflow.versions WHERE projection = $1 AND version = $2 FOR SHARE`, m.Name(), version).Scan(&there)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("%w: there is no version %d of %s", event.ErrNotFound, version, m.Name())
		}
		if err != nil {
			return err
		}
		inside, err := pgx.ConnectConfig(ctx, cfg) // the schema must be seen before the transaction ends
		if err != nil {
			return unreachable(cfg, err)
		}
		defer func() { _ = inside.Close(context.WithoutCancel(ctx)) }()
		_, err = migrateSchema(ctx, inside, cfg, SchemaOf(m.Name(), version), m.Migrations())
		return err
	})
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

// register notes a projection's first version as the active one. Where this program has a later shape, it
// asks for a version of that; one of an earlier shape that is not complete is given up for it.
func register(ctx context.Context, conn *pgx.Conn, m ReadModel) (versions []rebuild.Version, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO cqrsflow.projections (projection, active_version, last_version) VALUES ($1, 1, 1)
			ON CONFLICT (projection) DO NOTHING`, m.Name())
		if err != nil {
			return err
		}
		if tag.RowsAffected() > 0 {
			if _, err := tx.Exec(ctx, `INSERT INTO cqrsflow.versions (projection, version, shape, state, switched_at)
				VALUES ($1, 1, $2, 'active', now())`, m.Name(), m.Shape()); err != nil {
				return err
			}
		}
		if versions, err = (&Versions{model: m}).lock(ctx, tx); err != nil {
			return err
		}
		active, _ := rebuild.Of(versions, rebuild.Active)
		building, there := rebuild.Of(versions, rebuild.Building)
		if active.Shape >= m.Shape() || there && building.Shape >= m.Shape() {
			return nil
		}
		if there {
			if err := drop(ctx, tx, m.Name(), building.Number); err != nil {
				return err
			}
		}
		if _, err := begun(ctx, tx, m); err != nil {
			return err
		}
		versions, err = versionsOf(ctx, tx, m.Name())
		return err
	})
	return versions, err
}

// publish makes the active version's views where they are missing, or its tables have changed.
func publish(ctx context.Context, conn *pgx.Conn, m ReadModel, version int, changed bool) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if !changed {
			missing, err := missingViews(ctx, tx, m)
			if err != nil || !missing {
				return err
			}
		}
		return showPatiently(ctx, tx, m, version)
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
