//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// How long a server may take to end: orderly, which writes a checkpoint, then without one.
	fastTimeout      = 30 * time.Second
	immediateTimeout = 5 * time.Second
)

// settings are given on the command line, so that they hold for directories made by older versions, too.
//
// What is stored can be rebuilt from the log, and a read model and its checkpoint commit together: the last
// transactions may be lost with the machine (synchronous_commit), but nothing may be corrupted (fsync stays
// on).
var settings = []string{
	"listen_addresses=",
	"unix_socket_permissions=0700",
	"fsync=on",
	"full_page_writes=on",
	"synchronous_commit=off",
	"wal_level=minimal",
	"max_wal_senders=0",
	"jit=off",
	"timezone=UTC",
	"log_timezone=UTC",
	"logging_collector=off",
	"log_destination=stderr",
	"cluster_name=cqrsflow",
}

// process is a server process that was started.
type process struct {
	os      *os.Process
	logPath string
	done    chan struct{} // closed when it has ended
	err     error         // how it ended; read after done
}

// run starts the server. Its log starts anew.
func (cl *cluster) run(bin *binaries, socket string) (*process, error) {
	args := []string{"-p", socketPort, "-k", socket}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	cmd, done, err := cl.command(context.Background(), bin.path("postgres"), cl.pgdata, args...)
	if err != nil {
		return nil, err
	}
	defer done()
	p := &process{logPath: filepath.Join(cl.dir, logName), done: make(chan struct{})}
	log, err := os.OpenFile(p.logPath, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	setDeathSignal(cmd.SysProcAttr)

	started := make(chan error, 1)
	go p.attend(cmd, started)
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s as %s: %w", cmd.Path, cl.account, err)
	}
	return p, nil
}

// attend starts the process and waits for its end, on one thread: the death signal comes when the thread
// that started the process ends.
func (p *process) attend(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.os = cmd.Process
	started <- nil
	p.err = cmd.Wait()
	close(p.done)
}

// stop ends the server and waits for it.
func (p *process) stop(logger *slog.Logger) error {
	if p.hasEnded() {
		return fmt.Errorf("the server had ended: %w", p.ended())
	}
	for _, try := range []struct {
		signal  syscall.Signal
		timeout time.Duration
	}{{syscall.SIGINT, fastTimeout}, {syscall.SIGQUIT, immediateTimeout}, {syscall.SIGKILL, immediateTimeout}} {
		if try.signal != syscall.SIGINT {
			logger.Warn("PostgreSQL did not end in time", "next_signal", try.signal.String())
		}
		if err := p.os.Signal(try.signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("signal process %d: %w", p.os.Pid, err)
		}
		timer := time.NewTimer(try.timeout)
		select {
		case <-p.done:
			timer.Stop()
			if try.signal == syscall.SIGINT && p.err != nil {
				return p.ended()
			}
			return nil
		case <-timer.C:
		}
	}
	return fmt.Errorf("process %d does not end", p.os.Pid)
}

func (p *process) hasEnded() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// ended says how the server ended, with the end of its log.
func (p *process) ended() error {
	err := p.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	raw, _ := os.ReadFile(p.logPath)
	return fmt.Errorf("postgres: %w; the end of %s:\n%s", err, p.logPath, lastLines(string(raw), 10))
}

// waitReady returns when the server answers queries and the database exists.
func waitReady(ctx context.Context, p *process, socket string) error {
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		err := ensureDatabase(ctx, socket)
		if err == nil {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-p.done:
			timer.Stop()
			return p.ended()
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("wait until the server answers: %w (last: %w)", ctx.Err(), err)
		}
	}
}

func ensureDatabase(ctx context.Context, socket string) error {
	conn, err := pgx.Connect(ctx, socketURL(socket, databaseName))
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "3D000" { // no such database
		if conn, err = pgx.Connect(ctx, socketURL(socket, "postgres")); err != nil {
			return err
		}
		_, err = conn.Exec(ctx, "CREATE DATABASE "+databaseName)
	}
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}
