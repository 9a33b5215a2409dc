package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/internal/embedded/postgres"
)

// server is the PostgreSQL of all tests.
var server *postgres.Server

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "cqrsflow-bench-test-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute) // binaries may have to be fetched
	defer cancel()
	if server, err = postgres.Start(ctx, postgres.Config{DataDir: dir, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return 1, fmt.Errorf("embedded PostgreSQL for tests: %w", err)
	}
	around := goleak.IgnoreCurrent()
	if code = m.Run(); code == 0 {
		if leaked := goleak.Find(around); leaked != nil {
			err, code = leaked, 1
		}
	}
	return code, errors.Join(err, server.Close())
}
