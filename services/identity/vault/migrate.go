package vault

import (
	"context"
	"embed"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/cqrsflow/cqrsflow/event"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Schema holds the keys and nothing else: who backs up or reads the rest of the database need not have it.
const Schema = "keys"

// migrationLock is the key of the advisory lock that lets one process migrate at a time.
const migrationLock = 0x637172736b // "cqrsk"

// Migrate makes the table, or brings it up to date. It changes nothing where all is done, and waits for another process that is
// at it. Errors wrap event.ErrConfig for a URL that is none, and event.ErrUnavailable where the server cannot be reached.
func Migrate(ctx context.Context, url string) error {
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return fmt.Errorf("%w: the Postgres URL of the keys: %w", event.ErrConfig, err) // pgx redacts the password
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return fmt.Errorf("%w: PostgreSQL at %s:%d, database %s, for the keys: %w", event.ErrUnavailable, cfg.Host, cfg.Port, cfg.Database, err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // its lock goes with it
	if _, err := conn.Exec(ctx, "SELECT pg_advisory_lock($1)", int64(migrationLock)); err != nil {
		return fmt.Errorf("wait for another process that migrates: %w", err)
	}
	if _, err := conn.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+Schema); err != nil {
		return fmt.Errorf("create schema %s: %w", Schema, err)
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	inside := cfg.Copy()
	inside.RuntimeParams["search_path"] = Schema
	db := stdlib.OpenDB(*inside)
	defer func() { _ = db.Close() }()
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithTableName("migrations"), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate schema %s: %w", Schema, err)
	}
	return nil
}
