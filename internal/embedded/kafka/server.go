package kafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/cqrsflow/cqrsflow/internal/embedded/dirlock"
)

// Names inside DataDir. kfake has a directory of its own below it.
const (
	lockName    = "lock"
	cleanName   = "clean-shutdown"
	journalName = "endtxn.journal"
	brokerDir   = "broker"
)

// Config configures Start.
type Config struct {
	// Addr is the TCP address to listen on and to advertise, as host:port; port 0 picks a free port. An
	// unspecified host (":9092", "0.0.0.0:9092") listens everywhere and advertises 127.0.0.1. Required.
	Addr string
	// DataDir is where the log, the offsets and the transaction state live; it is made, mode 0700, when it is
	// missing. One process at a time: a second one gets an error wrapping dirlock.ErrLocked. Required.
	DataDir string
	// Logger receives the broker's own warnings; nil is slog.Default().
	Logger *slog.Logger
}

func (c Config) validate() error {
	if c.Addr == "" {
		return errors.New(`embedded kafka: Addr is "": it must be host:port`)
	}
	if c.DataDir == "" {
		return errors.New(`embedded kafka: DataDir is "": it must name a directory`)
	}
	return nil
}

// Server is a running embedded broker. Its methods may be called concurrently.
type Server struct {
	addr    string
	dataDir string
	logger  *logger
	cluster *kfake.Cluster
	journal *journal
	lock    *dirlock.Lock
	close   func() error
}

// Start opens the broker in cfg.DataDir and serves until Close. After an end without Close, such as
// kill -9, it first repairs what that left (see the package's comment).
//
// Errors wrap AddrInUseError when the port is taken, and dirlock.ErrLocked when another process has
// DataDir open. ctx bounds nothing but the wait to begin: loading cannot be interrupted.
func Start(ctx context.Context, cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("start embedded kafka: %w", err)
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("start embedded kafka: make data directory: %w", err)
	}
	lock, err := dirlock.Acquire(cfg.DataDir, lockName)
	if err != nil {
		return nil, fmt.Errorf("start embedded kafka: %w", err)
	}
	s, err := open(cfg, lock)
	if err != nil {
		_ = lock.Release()
		return nil, fmt.Errorf("start embedded kafka: %w", err)
	}
	return s, nil
}

// open does what Start does once the lock is held, and gives back everything but the lock on an error.
func open(cfg Config, lock *dirlock.Lock) (_ *Server, err error) {
	log := newLogger(cfg.Logger)

	// The port comes first: it is the likeliest thing to be wrong, and cheaper to find out than loading.
	ln, err := listen(cfg.Addr)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = ln.Close()
		}
	}()

	if err := recoverDir(cfg.DataDir, log.slog); err != nil {
		return nil, fmt.Errorf("recover %s: %w", cfg.DataDir, err)
	}
	// From here until Close has saved everything, the directory counts as not closed.
	if err := os.Remove(filepath.Join(cfg.DataDir, cleanName)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	jour, err := openJournal(filepath.Join(cfg.DataDir, journalName))
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = jour.close()
		}
	}()

	cluster, err := kfake.NewCluster(brokerOptions(ln, filepath.Join(cfg.DataDir, brokerDir), log)...)
	if err != nil {
		return nil, err
	}
	jour.attach(cluster)
	ln.open()

	s := &Server{addr: ln.Addr().String(), dataDir: cfg.DataDir, logger: log, cluster: cluster, journal: jour, lock: lock}
	s.close = sync.OnceValue(s.shutdown)
	return s, nil
}

// Addr is the advertised address, host:port, with the port that was picked when the configured one was 0.
func (s *Server) Addr() string { return s.addr }

// Close stops serving, saves all state and lets the directory go. Clients should have left before:
// transactions that are open are saved as open, and end by their timeout after the next start. It is safe
// to call more than once; later calls return the first one's error.
func (s *Server) Close() error { return s.close() }

func (s *Server) shutdown() error {
	s.logger.collectErrors()
	s.cluster.Close()
	errs := []error{s.logger.collected(), s.journal.close()}
	if errors.Join(errs...) == nil {
		errs = append(errs, os.WriteFile(filepath.Join(s.dataDir, cleanName), []byte(time.Now().UTC().Format(time.RFC3339)+"\n"), 0o600))
	}
	errs = append(errs, s.lock.Release())
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close embedded kafka: %w", err)
	}
	return nil
}

// brokerOptions are kfake's settings; where they differ from its defaults, it is so that nothing is ever
// deleted behind the user's back (see the package's comment) and one broker is enough.
func brokerOptions(ln *listener, dir string, log *logger) []kfake.Opt {
	const never = "3153600000000" // 100 years, in milliseconds
	return []kfake.Opt{
		kfake.Ports(ln.port()), // one port is one broker
		kfake.ListenFn(ln.hand),
		kfake.DataDir(dir),
		kfake.ClusterID(newClusterID()), // a new directory's; an existing one keeps its own
		kfake.WithLogger(log),
		kfake.BrokerConfigs(map[string]string{
			"default.replication.factor": "1",
			"log.cleaner.backoff.ms":     never,
			"offsets.retention.minutes":  "52560000", // 100 years
		}),
	}
}

func newClusterID() string {
	var id [16]byte
	_, _ = rand.Read(id[:])
	return base64.RawURLEncoding.EncodeToString(id[:])
}
