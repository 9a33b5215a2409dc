package app

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/catchup"
	"github.com/cqrsflow/cqrsflow/internal/cdnow"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/devfile"
	"github.com/cqrsflow/cqrsflow/internal/embedded/dirlock"
	"github.com/cqrsflow/cqrsflow/internal/embedded/kafka"
	"github.com/cqrsflow/cqrsflow/internal/embedded/postgres"
	"github.com/cqrsflow/cqrsflow/internal/lifecycle"
	"github.com/cqrsflow/cqrsflow/internal/progress"
)

// DevOptions are what `cqrsflow dev` is told besides its settings.
type DevOptions struct {
	// Reset deletes what is in the data directory first.
	Reset bool
	// Import are purchases to import once everything is ready.
	Import []cdnow.Purchase
	Stdout io.Writer
	Stderr io.Writer
}

// allRoles are what dev serves.
var allRoles = []string{config.RoleCommand, config.RoleQuery, config.RoleProjectSQL, config.RoleProjectSearch, config.RoleHistory,
	config.RoleReact, config.RoleIdentity, config.RoleGateway}

// Names in the data directory; only these are ever deleted.
const (
	kafkaDir    = "kafka"
	postgresDir = "postgres"
	searchDir   = "search"
	commandDir  = "command"
	identityDir = "identity"
	outboxDir   = "outbox"
	lockFile    = "dev.lock"
)

// Dev runs all roles on embedded servers until ctx ends. The data stays; the next start goes on with it.
func Dev(ctx context.Context, cfg *config.Settings, o DevOptions) error {
	began := time.Now()
	saveMemory()
	if err := makeWritable(cfg.General.Data); err != nil {
		return err
	}
	dir, err := filepath.Abs(cfg.General.Data)
	if err != nil {
		return err
	}
	cfg.General.Data = dir
	lock, err := dirlock.Acquire(dir, lockFile)
	if errors.Is(err, dirlock.ErrLocked) {
		return fmt.Errorf("%w: another cqrsflow dev runs on %s; stop it, or choose another directory with %s", event.ErrConfig, dir, config.Name("data"))
	}
	if err != nil {
		return err
	}
	defer func() { _ = lock.Release() }()

	display := progress.New(o.Stderr)
	d := &dev{cfg: cfg, opts: o, display: display, log: displayLogger(cfg, display, o.Stderr)}
	return d.run(ctx, began)
}

// saveMemory has the garbage collector run earlier than it does by default: everything is in this one process, on a
// machine that has other things to do. Whoever sets GOGC or GOMEMLIMIT has decided otherwise.
func saveMemory() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(50)
	}
}

type dev struct {
	cfg     *config.Settings
	opts    DevOptions
	display *progress.Display
	log     *slog.Logger
	http    *publicPort
	ops     net.Listener
	// sql is nil where a PostgreSQL of the user's own is used.
	sql *postgres.Server
}

func (d *dev) run(ctx context.Context, began time.Time) (err error) {
	if d.http, err = listenPublic(ctx, d.cfg, d.log); err != nil {
		return err
	}
	defer func() { _ = d.http.Close() }() // it is closed by then, unless the start failed
	if d.ops, err = listen(d.cfg.Roles.Ops, "ops.addr"); err != nil {
		return err
	}
	defer func() { _ = d.ops.Close() }()
	if d.opts.Reset {
		if err := d.reset(ctx); err != nil {
			return err
		}
	}
	// Servers close last, PostgreSQL at the very end: the group's closers run in reverse.
	servers := lifecycle.New(lifecycle.Config{Logger: d.log})
	if err := d.startServers(ctx, servers); err != nil {
		return stopServers(servers, err)
	}
	return stopServers(servers, d.serve(ctx, began))
}

// stopServers closes the servers after everything else, and adds what went wrong to err.
func stopServers(servers *lifecycle.Group, err error) error {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	return errors.Join(err, servers.Wait(ended))
}

// startServers starts PostgreSQL and Kafka side by side: each takes about as long as the other.
func (d *dev) startServers(ctx context.Context, servers *lifecycle.Group) error {
	var sql *postgres.Server
	var broker *kafka.Server
	var starting errgroup.Group
	if d.cfg.Postgres.URL == "" {
		if r := d.cfg.Dev.PostgresRepository; r != "" {
			if err := os.Setenv(postgres.RepositoryEnv, r); err != nil {
				return err
			}
		}
		starting.Go(func() (err error) {
			sql, err = postgres.Start(ctx, postgres.Config{DataDir: filepath.Join(d.cfg.General.Data, postgresDir), Logger: d.log})
			return err
		})
	}
	starting.Go(func() (err error) {
		broker, err = kafka.Start(ctx, kafka.Config{Addr: d.cfg.Dev.Kafka, DataDir: filepath.Join(d.cfg.General.Data, kafkaDir), Logger: d.log})
		if taken := (*kafka.AddrInUseError)(nil); errors.As(err, &taken) {
			return fmt.Errorf("%w: address %s is in use: stop what listens there, or choose another with %s", event.ErrConfig, taken.Addr, config.Name("dev.kafka"))
		}
		return err
	})
	err := starting.Wait()
	if sql != nil {
		servers.OnClose("PostgreSQL", sql.Close)
		d.sql = sql
		d.cfg.Postgres.URL = sql.URL()
	}
	if broker != nil {
		servers.OnClose("Kafka", broker.Close)
		d.cfg.Kafka.Brokers = []string{broker.Addr()}
	}
	return err
}

// serve runs the roles, with the servers up.
func (d *dev) serve(ctx context.Context, began time.Time) error {
	if d.cfg.Client.Token == "" {
		d.cfg.Client.Token = rand.Text()
	}
	if err := makeIdentity(d.cfg, d.http.url()); err != nil {
		return err
	}
	p, err := newProcess(d.cfg, d.log, true)
	if err != nil {
		return err
	}
	p.serveOps(d.ops)
	if d.sql != nil {
		p.group.Go(lifecycle.Last, "PostgreSQL", func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return nil
			case <-d.sql.Done():
				return errors.New("the embedded server has ended by itself; its log is " + filepath.Join(d.cfg.General.Data, postgresDir, "postgres.log"))
			}
		})
	}
	if err := p.start(ctx, allRoles, d.http); err != nil {
		return p.abandon(err)
	}
	f := devfile.File{PID: os.Getpid(), Server: d.http.url(), Ops: baseURL(d.ops.Addr().String()), Kafka: d.cfg.Kafka.Brokers[0],
		Prefix: d.cfg.General.Prefix, Postgres: d.cfg.Postgres.URL, Token: d.cfg.Client.Token, PrincipalKeys: d.cfg.Principals.Keys, Started: began.UTC()}
	if err := devfile.Write(d.cfg.General.Data, f); err != nil {
		return p.abandon(err)
	}
	defer func() { _ = devfile.Remove(d.cfg.General.Data) }()
	p.group.Task(lifecycle.Intake, "import", func(ctx context.Context) error { return d.afterStart(ctx, p, f, began) })
	return p.group.Wait(ctx)
}

// afterStart waits for readiness, says so, and imports.
func (d *dev) afterStart(ctx context.Context, p *process, f devfile.File, began time.Time) error {
	if err := p.awaitReady(ctx, d.display); err != nil {
		return nil // the end of ctx, which the group knows of
	}
	password, err := p.makeSampleUsers(ctx)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		d.log.Error("sample users could not be made", "error", err)
	}
	d.welcome(f, time.Since(began), password)
	if len(d.opts.Import) == 0 {
		return nil
	}
	report, err := d.importAll(ctx, p)
	if ctx.Err() != nil {
		return nil
	}
	if report != nil {
		fmt.Fprintf(d.opts.Stdout, "import: %s\n", report)
	}
	if err != nil {
		// The import is not the process: what is there can be looked at, and the import repeated.
		fmt.Fprintf(d.opts.Stderr, "import: %v\n", err)
		return nil
	}
	fmt.Fprintf(d.opts.Stdout, "All read models are complete, %.1f s after the start.\n", time.Since(began).Seconds())
	return nil
}

// importAll publishes the purchases and waits until everything that follows from them is done.
func (d *dev) importAll(ctx context.Context, p *process) (*cdnow.Report, error) {
	importing, catching := d.display.Bar("import", int64(2*len(d.opts.Import))), d.display.Bar("projections", 0)
	defer importing.Abandon()
	defer catching.Abandon()
	var published atomic.Bool
	following, ctx := errgroup.WithContext(ctx)
	following.Go(func() error {
		return catchup.Wait(ctx, p.admin, Groups(p.cfg, p.admin), func() bool { return !published.Load() }, catching.Set)
	})
	report, err := cdnow.Import(ctx, p.as(CommandLine), d.opts.Import, importing.Add)
	if err == nil {
		importing.Done()
	}
	importing.Abandon()
	published.Store(true)
	if werr := following.Wait(); werr != nil {
		return &report, errors.Join(err, werr)
	}
	catching.Done()
	return &report, err
}

// reset deletes the data of the embedded servers, and nothing else that may be in the directory.
func (d *dev) reset(ctx context.Context) error {
	sql := filepath.Join(d.cfg.General.Data, postgresDir)
	if _, err := os.Stat(sql); err == nil {
		// A PostgreSQL that outlived its dev still has the files open: starting finds it and ends it.
		s, err := postgres.Start(ctx, postgres.Config{DataDir: sql, Logger: d.log})
		if err == nil {
			err = s.Close()
		}
		if err != nil {
			d.log.Warn("PostgreSQL could not be stopped before its data is deleted", "error", err)
		}
	}
	for _, name := range []string{kafkaDir, postgresDir, searchDir, commandDir, identityDir, outboxDir, devfile.Name} {
		if err := os.RemoveAll(filepath.Join(d.cfg.General.Data, name)); err != nil {
			return fmt.Errorf("reset: %w", err)
		}
	}
	return nil
}

// baseURL is where a listening address is reached from this machine.
func baseURL(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "http://" + addr
	}
	if host == "" || net.ParseIP(host).IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}
