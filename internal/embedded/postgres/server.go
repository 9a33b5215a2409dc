//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cqrsflow/cqrsflow/internal/embedded/dirlock"
)

// Names inside DataDir.
const (
	lockName    = "lock"
	logName     = "postgres.log"
	socketName  = "socket"     // holds the path of the socket's directory
	clusterName = "pgdata"     // PGDATA: made by initdb, owned by the server's user
	newName     = "pgdata.new" // a PGDATA that initdb has not finished
)

// Server is a running embedded server. Its methods may be called concurrently.
type Server struct {
	url     string
	proc    *process
	cluster *cluster
	logger  *slog.Logger
	lock    *dirlock.Lock
	close   func() error
}

// Start starts a server on cfg.DataDir, making the database on first use, and returns when it answers. A
// server that an earlier process left running there is ended first. ctx bounds Start alone.
//
// Errors wrap ErrNoBinaries, ErrOtherVersion and dirlock.ErrLocked.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	logger := cfg.Logger
	if logger == nil {
		logger = slog.Default()
	}
	logger = logger.With("component", "embedded-postgres")
	dir, err := filepath.Abs(cfg.DataDir)
	if err != nil {
		return nil, fmt.Errorf("start embedded postgres: %w", err)
	}
	cfg.DataDir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start embedded postgres: make data directory: %w", err)
	}
	lock, err := dirlock.Acquire(dir, lockName)
	if err != nil {
		return nil, fmt.Errorf("start embedded postgres: %w", err)
	}
	s, err := start(ctx, cfg, logger)
	if err != nil {
		_ = lock.Release()
		return nil, fmt.Errorf("start embedded postgres: %w", err)
	}
	s.lock = lock
	s.close = sync.OnceValue(s.shutdown)
	return s, nil
}

// start does what Start does once the directory is locked.
func start(ctx context.Context, cfg Config, logger *slog.Logger) (_ *Server, err error) {
	began := time.Now()
	cl, err := openCluster(cfg.DataDir)
	if err != nil {
		return nil, err
	}
	if err := cl.endEarlier(ctx, logger); err != nil {
		return nil, fmt.Errorf("end the server that an earlier process left running: %w", err)
	}
	bin, err := findBinaries(ctx, cfg, cl, logger)
	if err != nil {
		return nil, err
	}
	first := !cl.exists()
	if first {
		if err := cl.init(ctx, bin); err != nil {
			return nil, err
		}
	}

	socket, err := cl.makeSocketDir()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			cl.removeSocketDir()
		}
	}()
	proc, err := cl.run(bin, socket)
	if err != nil {
		return nil, err
	}
	if err := waitReady(ctx, proc, socket); err != nil {
		if !proc.hasEnded() { // else err says so
			err = errors.Join(err, proc.stop(logger))
		}
		return nil, err
	}
	logger.Info("PostgreSQL is ready", "version", bin.version, "binaries", bin.dir, "dir", cfg.DataDir,
		"first_start", first, "took", time.Since(began).Round(time.Millisecond))
	return &Server{url: socketURL(socket, databaseName), proc: proc, logger: logger, cluster: cl}, nil
}

// URL is a connection URL for pgx: the database "cqrsflow" over a Unix socket that only this user (and
// root) can reach. It changes with every start.
func (s *Server) URL() string { return s.url }

// Done is closed when the server process has ended, whether by Close or on its own.
func (s *Server) Done() <-chan struct{} { return s.proc.done }

// Close shuts the server down (fast: open transactions are rolled back, connections ended), waits until it
// has ended and lets the directory go. It is an error if the server had ended on its own. It is safe to
// call more than once; later calls return the first one's error.
func (s *Server) Close() error { return s.close() }

func (s *Server) shutdown() error {
	err := s.proc.stop(s.logger)
	s.cluster.removeSocketDir()
	err = errors.Join(err, s.lock.Release())
	if err != nil {
		return fmt.Errorf("close embedded postgres: %w", err)
	}
	return nil
}
