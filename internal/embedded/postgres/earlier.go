//go:build unix

package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// orphanTimeout is how long a server may take to end without a checkpoint.
const orphanTimeout = 2 * time.Second

// endEarlier ends the server, or what is left of it, that runs on the directory although its starter has
// gone: the caller holds the directory's lock, so that no living process wants it. It also removes that
// server's socket directory, and a pid file that would keep PostgreSQL from starting because another
// process has the number by now.
func (cl *cluster) endEarlier(ctx context.Context, logger *slog.Logger) error {
	pid := cl.postmaster()
	if err := cl.endProcesses(ctx, pid, logger); err != nil {
		return err
	}
	cl.removeSocketDir()
	if pid != 0 && alive(pid) {
		logger.Info("removing a stale postmaster.pid", "pid", pid)
		if err := os.Remove(filepath.Join(cl.pgdata, "postmaster.pid")); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// endProcesses ends the server as Close would, and what does not end, harder. Children whose parent has
// gone end on their own, so that those that are still there hang.
func (cl *cluster) endProcesses(ctx context.Context, postmaster int, logger *slog.Logger) error {
	for _, try := range []struct {
		signal  syscall.Signal
		timeout time.Duration
	}{{syscall.SIGINT, fastTimeout}, {syscall.SIGQUIT, orphanTimeout}, {syscall.SIGKILL, immediateTimeout}} {
		pids, err := cl.processes(ctx, postmaster)
		if err != nil {
			return err
		}
		if len(pids) == 0 {
			return nil
		}
		if try.signal == syscall.SIGINT {
			if !slices.Contains(pids, postmaster) {
				continue
			}
			pids = []int{postmaster} // to a child, this signal means: cancel the query
		}
		logger.Warn("ending a PostgreSQL that an earlier process left running", "pids", pids, "signal", try.signal.String())
		for _, pid := range pids {
			if err := syscall.Kill(pid, try.signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("signal process %d: %w", pid, err)
			}
		}
		if err := cl.awaitEnd(ctx, postmaster, try.timeout); err != nil {
			return err
		}
	}
	pids, err := cl.processes(ctx, postmaster)
	if err == nil && len(pids) > 0 {
		err = fmt.Errorf("processes %v do not end", pids)
	}
	return err
}

// awaitEnd returns when no process is left, or the timeout is over.
func (cl *cluster) awaitEnd(ctx context.Context, postmaster int, timeout time.Duration) error {
	deadline := time.NewTimer(timeout)
	defer deadline.Stop()
	for {
		pids, err := cl.processes(ctx, postmaster)
		if err != nil || len(pids) == 0 {
			return err
		}
		// They are not this process's children: there is nothing to wait for but the clock.
		tick := time.NewTimer(10 * time.Millisecond)
		select {
		case <-tick.C:
		case <-deadline.C:
			tick.Stop()
			return nil
		case <-ctx.Done():
			tick.Stop()
			return ctx.Err()
		}
	}
}

// processes lists the server processes that have the directory open: on Linux, those named postgres whose
// working directory it is, as every process of a server's is; elsewhere the one in the pid file, if its
// command line names the directory. A process that merely got the number is not among them.
func (cl *cluster) processes(ctx context.Context, postmaster int) ([]int, error) {
	if runtime.GOOS != "linux" {
		if postmaster == 0 || !alive(postmaster) {
			return nil, nil
		}
		out, err := exec.CommandContext(ctx, "ps", "-ww", "-o", "command=", "-p", strconv.Itoa(postmaster)).Output()
		if err != nil || !bytes.Contains(out, []byte("postgres")) || !bytes.Contains(out, []byte(cl.pgdata)) {
			return nil, ctx.Err() // ps fails for a process that has just ended
		}
		return []int{postmaster}, nil
	}
	pgdata, err := os.Stat(cl.pgdata)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		comm, err := os.ReadFile(filepath.Join("/proc", e.Name(), "comm"))
		if err != nil || !bytes.HasPrefix(comm, []byte("postgres")) {
			continue
		}
		cwd, err := os.Stat(filepath.Join("/proc", e.Name(), "cwd")) // fails for a zombie, and for other users' processes
		if err == nil && os.SameFile(cwd, pgdata) {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// postmaster is the process ID in postmaster.pid; 0 where that is missing or cut short.
func (cl *cluster) postmaster() int {
	raw, err := os.ReadFile(filepath.Join(cl.pgdata, "postmaster.pid"))
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	pid, _ := strconv.Atoi(strings.TrimSpace(line))
	return pid
}

func alive(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}
