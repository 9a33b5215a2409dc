// Package pgmigrate brings a schema of PostgreSQL up to date, one process at a time: for those that have one schema of their
// own. Read models, which have versions, do it in consumers/postgres.
package pgmigrate

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/cqrsflow/cqrsflow/event"
)

// Schema is what is migrated.
type Schema struct {
	// Name of the schema, and For what it is, in errors: "the keys".
	Name, For string
	// Lock is the key of the advisory lock that lets one process migrate at a time.
	Lock int64
	// Files has the folder "migrations", with goose's files.
	Files fs.FS
}

// Up makes the schema's tables, or brings them up to date. It changes nothing where all is done, and waits for another process
// that is at it. Errors wrap event.ErrConfig for a URL that is none, and event.ErrUnavailable where the server cannot be reached.
func (s Schema) Up(ctx context.Context, url string) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("%w: the Postgres URL of %s: %w", event.ErrConfig, s.For, err) // pgx redacts the password
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%w: PostgreSQL at %s:%d, database %s, for %s: %w", event.ErrUnavailable, cfg.Host, cfg.Port, cfg.Database, s.For, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // its lock goes with it
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", s.Lock); err != nil {
		return fmt.Errorf("wait for another process that migrates: %w", err)
	}
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+s.Name); err != nil {
		return fmt.Errorf("create schema %s: %w", s.Name, err)
	}
	files, err := fs.Sub(s.Files, "migrations")
	if err != nil {
		return err
	}
	inside := cfg.Copy()
	inside.RuntimeParams["search_path"] = s.Name
	db := stdlib.OpenDB(*inside)
	defer func() { _ = db.Close() }()
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName("migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate schema %s: %w", s.Name, err)
	}
	return nil
}
