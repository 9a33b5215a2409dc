// Package pgtest gives tests databases of their own on one embedded PostgreSQL a test binary.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/internal/embedded/postgres"
)

var (
	server    *postgres.Server
	databases atomic.Int64
)

// Main runs a package's tests around one server, and checks that they leave no goroutine behind. TestMain calls it.
func Main(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "embedded PostgreSQL for tests:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "cqrsflow-pgtest-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // binaries may have to be fetched
	defer cancel()
	server, err = postgres.Start(ctx, postgres.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 1, err
	}
	around := goleak.IgnoreCurrent()
	code = m.Run()
	if leaked := goleak.Find(around); leaked != nil && code == 0 {
		err, code = leaked, 1
	}
	return code, errors.Join(err, server.Close())
}

// URL makes an empty database and returns its URL.
func URL(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if _, err := conn.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}
