//go:build unix

package postgres

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// cluster is a data directory, in PostgreSQL's word for it.
type cluster struct {
	dir     string   // Config.DataDir
	pgdata  string   // below dir
	account *account // whose it is
	major   int      // the PostgreSQL that made it; 0 when it does not exist yet
}

func openCluster(dir string) (*cluster, error) {
	cl := &cluster{dir: dir, pgdata: filepath.Join(dir, clusterName)}
	var err error
	if cl.account, err = chooseAccount(cl.pgdata); err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(cl.pgdata, "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		return cl, nil
	}
	if err != nil {
		return nil, err
	}
	if cl.major, err = strconv.Atoi(strings.TrimSpace(string(raw))); err != nil {
		return nil, fmt.Errorf("%s/PG_VERSION: %w", cl.pgdata, err)
	}
	return cl, nil
}

func (cl *cluster) exists() bool { return cl.major != 0 }

// init makes PGDATA, beside its final place, so that an initdb that was cut short is never taken for one.
// initdb syncs what it wrote once, at its end.
func (cl *cluster) init(ctx context.Context, bin *binaries) error {
	fresh := filepath.Join(cl.dir, newName)
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := os.Mkdir(fresh, 0o700); err != nil {
		return err
	}
	if err := cl.account.own(fresh); err != nil {
		return err
	}
	args := append([]string{
		"--username=" + userName, "--encoding=UTF8", "--auth-local=trust", "--auth-host=reject", "--no-instructions",
	}, bin.localeArgs()...)
	cmd, done, err := cl.command(ctx, bin.path("initdb"), fresh, args...)
	if err != nil {
		return err
	}
	defer done()
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb as %s: %w\n%s", cl.account, err, lastLines(string(out), 15))
	}
	if err := os.Rename(fresh, cl.pgdata); err != nil {
		return err
	}
	cl.major = bin.major
	return nil
}

// localeArgs select Unicode semantics with code point order, which needs nothing from the operating
// system's locales where the server brings its own (from version 17 on), and is nearly everywhere on Linux.
func (b *binaries) localeArgs() []string {
	switch {
	case b.major >= 17:
		return []string{"--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"}
	case runtime.GOOS == "linux":
		return []string{"--locale=C.UTF-8"}
	default:
		return []string{"--locale=C"}
	}
}

// command prepares initdb or postgres, with pgdata as its data directory and run by the cluster's account.
// The returned function must be called when the process was started, or not.
//
// The account may not be able to walk the path to pgdata (below root's home, say), so it gets the
// directory itself, as an inherited file, and refers to it as /proc/self/fd/3. Every path that PostgreSQL
// makes from that still works in its children, which inherit the file as well. The working directory is /
// because before version 16 the programs leave and return to it, which fails in one that is out of reach.
func (cl *cluster) command(ctx context.Context, path, pgdata string, args ...string) (*exec.Cmd, func(), error) {
	cmd := exec.CommandContext(ctx, path)
	cmd.Dir = "/"
	cmd.Env = environment()
	// A process group of its own: Ctrl-C in a terminal must not end the server before its clients.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: cl.account.credential()}
	done := func() {}
	if cl.account != nil && runtime.GOOS == "linux" {
		f, err := os.Open(pgdata)
		if err != nil {
			return nil, nil, err
		}
		cmd.ExtraFiles = []*os.File{f}
		pgdata = "/proc/self/fd/3"
		done = func() { _ = f.Close() }
	}
	cmd.Args = append([]string{path, "-D", pgdata}, args...)
	return cmd, done, nil
}

// environment is this process's, without what would redirect PostgreSQL, and with messages in English.
func environment() []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "PG") && !strings.HasPrefix(kv, "LC_") && !strings.HasPrefix(kv, "LANG") {
			env = append(env, kv)
		}
	}
	return append(env, "LC_ALL=C", "PWD=/")
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
