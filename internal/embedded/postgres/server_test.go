//go:build unix

package postgres

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/internal/embedded/dirlock"
)

func TestRestartKeepsData(t *testing.T) {
	needServer(t)
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) })
	dir := t.TempDir()
	s := serve(t, dir)
	exec1(t, s.URL(), "CREATE TABLE orders (id text PRIMARY KEY); INSERT INTO orders VALUES ('1')")
	require.Equal(t, "cqrsflow", query[string](t, s.URL(), "SELECT current_database()"))
	require.Equal(t, "UTF8", query[string](t, s.URL(), "SELECT current_setting('server_encoding')"))
	require.Equal(t, "on off", query[string](t, s.URL(), "SELECT current_setting('fsync') || ' ' || current_setting('synchronous_commit')"))
	socket := socketDir(t, dir)
	require.NoError(t, s.Close())
	require.NoError(t, s.Close(), "a second Close")
	<-s.Done()
	_, err := os.Stat(socket)
	require.ErrorIs(t, err, os.ErrNotExist, "the socket's directory is removed")

	s = serve(t, dir)
	require.Equal(t, "1", query[string](t, s.URL(), "SELECT id FROM orders"))
	require.NoError(t, s.Close())
}

// Nothing listens on a port, and nobody else can enter the directory of the socket.
func TestOnlyReachableByThisUser(t *testing.T) {
	dir := dataDir(t)
	s := serve(t, dir)
	require.Empty(t, query[string](t, s.URL(), "SELECT current_setting('listen_addresses')"))
	info, err := os.Stat(socketDir(t, dir))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), info.Mode().Perm())
}

// Root's directory below one that nobody else can enter.
func TestRootsPrivateDirectory(t *testing.T) {
	needServer(t)
	needRoot(t)
	private := filepath.Join(t.TempDir(), "private")
	require.NoError(t, os.Mkdir(private, 0o700))
	dir := filepath.Join(private, "app", ".cqrsflow")
	for range 2 {
		s := serve(t, dir)
		exec1(t, s.URL(), "CREATE TABLE IF NOT EXISTS t (id int); INSERT INTO t VALUES (1); CHECKPOINT")
		exec1(t, s.URL(), "SELECT pg_reload_conf()") // reads its files again, by the path it was given
		conn := connect(t, s.URL())
		var uid int
		if info, err := os.Stat("/proc/" + strconv.Itoa(postmaster(t, dir))); err == nil {
			uid = int(info.Sys().(*syscall.Stat_t).Uid)
			require.NotZero(t, uid, "not as root")
		}
		// A new connection is a new child, which opens its files anew.
		var n int
		require.NoError(t, conn.QueryRow(testContext(t), "SELECT count(*) FROM t").Scan(&n))
		require.NotZero(t, n)
		require.NoError(t, s.Close())
	}
}

// The same code as an ordinary user.
func TestOrdinaryUser(t *testing.T) {
	bin := needServer(t)
	needRoot(t)
	const nobody = 65534
	base := t.TempDir()
	require.NoError(t, os.Chmod(filepath.Dir(base), 0o755))
	require.NoError(t, os.Chown(base, nobody, nobody))
	// The test binary is in a directory of root's.
	binary := filepath.Join(base, "test")
	raw, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(binary, raw, 0o755))
	dir := filepath.Join(base, "data")
	asNobody := func(cmd *exec.Cmd) {
		cmd.Path, cmd.Dir = binary, base
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	}
	for range 2 {
		c := startChild(t, dir, asNobody, binDirEnv+"="+bin)
		exec1(t, c.url, "CREATE TABLE IF NOT EXISTS t (id int); INSERT INTO t VALUES (1)")
		require.NoError(t, c.stdin.Close())
		require.NoError(t, c.cmd.Wait())
	}
	// Root continues as the directory's owner.
	s := serve(t, dir)
	require.Equal(t, 2, query[int](t, s.URL(), "SELECT count(*) FROM t"))
	require.NoError(t, s.Close())
}

func TestTwoAtOnce(t *testing.T) {
	a, b := serve(t, dataDir(t)), serve(t, t.TempDir())
	exec1(t, a.URL(), "CREATE TABLE only_in_a ()")
	require.False(t, query[bool](t, b.URL(), "SELECT to_regclass('only_in_a') IS NOT NULL"))
	require.NoError(t, a.Close())
	require.Equal(t, 1, query[int](t, b.URL(), "SELECT 1"))
}

func TestOneProcessADirectory(t *testing.T) {
	dir := dataDir(t)
	s := serve(t, dir)
	_, err := Start(testContext(t), Config{DataDir: dir, Logger: quiet})
	require.ErrorIs(t, err, dirlock.ErrLocked)
	require.ErrorContains(t, err, dir)
	require.Equal(t, 1, query[int](t, s.URL(), "SELECT 1"), "the first one is left alone")
}

// A terminal's Ctrl-C goes to its foreground process group.
func TestOwnProcessGroup(t *testing.T) {
	dir := dataDir(t)
	serve(t, dir)
	pid := postmaster(t, dir)
	group, err := syscall.Getpgid(pid)
	require.NoError(t, err)
	require.Equal(t, pid, group)
}

func TestServerEndsOnItsOwn(t *testing.T) {
	dir := dataDir(t)
	s := serve(t, dir)
	// Without the setting, the last transactions may be lost.
	exec1(t, s.URL(), "SET synchronous_commit = on; CREATE TABLE IF NOT EXISTS kept (id int)")
	require.NoError(t, syscall.Kill(postmaster(t, dir), syscall.SIGQUIT))
	select {
	case <-s.Done():
	case <-testContext(t).Done():
		t.Fatal("Done was not closed")
	}
	require.ErrorContains(t, s.Close(), "had ended")

	s = serve(t, dir)
	require.Zero(t, query[int](t, s.URL(), "SELECT count(*) FROM kept"))
}

// A connection that is in use does not hold Close up.
func TestCloseEndsConnections(t *testing.T) {
	s := serve(t, dataDir(t))
	conn := connect(t, s.URL())
	result := make(chan error, 1)
	tx, err := conn.Begin(testContext(t))
	require.NoError(t, err)
	_, err = tx.Exec(testContext(t), "SET application_name = 'busy'")
	require.NoError(t, err)
	go func() {
		_, err := tx.Exec(context.Background(), "SELECT pg_sleep(600)")
		result <- err
	}()
	waitFor(t, func() bool {
		return query[bool](t, s.URL(), "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'busy' AND wait_event = 'PgSleep')")
	})
	require.NoError(t, s.Close())
	require.Error(t, <-result)
}

func TestUnfinishedInitIsDoneAgain(t *testing.T) {
	needServer(t)
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, newName, "base"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, newName, "PG_VERSION"), []byte("15\n"), 0o600))
	s := serve(t, dir)
	require.Equal(t, 1, query[int](t, s.URL(), "SELECT 1"))
}

func TestCancelledStart(t *testing.T) {
	dir := dataDir(t)
	require.NoError(t, serve(t, dir).Close())
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := Start(ctx, Config{DataDir: dir, Logger: quiet})
	require.ErrorIs(t, err, context.Canceled)
	serve(t, dir)
}

func TestUnusableDataDir(t *testing.T) {
	_, err := Start(testContext(t), Config{})
	require.ErrorContains(t, err, "DataDir")

	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = Start(testContext(t), Config{DataDir: filepath.Join(file, "data"), Logger: quiet})
	require.ErrorContains(t, err, "make data directory")
	require.ErrorIs(t, err, syscall.ENOTDIR)

	unwritable := t.TempDir()
	require.NoError(t, os.Chmod(unwritable, 0o500))
	if os.Geteuid() != 0 { // root may write anyway
		_, err = Start(testContext(t), Config{DataDir: unwritable, Logger: quiet})
		require.ErrorIs(t, err, os.ErrPermission)
		require.ErrorContains(t, err, unwritable)
		return
	}
	base := filepath.Dir(unwritable)
	require.NoError(t, os.Chmod(base, 0o755))
	binary := filepath.Join(base, "test")
	raw, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(binary, raw, 0o755))
	cmd := exec.Command(binary)
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), serveEnv+"="+filepath.Join(unwritable, "data"))
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.Output()
	require.Error(t, err)
	require.Contains(t, string(out), failPrefix)
	require.Contains(t, string(out), "permission denied")
	require.Contains(t, string(out), unwritable)
}

// A directory whose files are damaged: the error has the end of the server's own log.
func TestServerThatCannotStart(t *testing.T) {
	dir := dataDir(t)
	require.NoError(t, serve(t, dir).Close())
	control := filepath.Join(dir, clusterName, "global", "pg_control")
	require.NoError(t, os.Rename(control, control+".away"))
	defer func() { require.NoError(t, os.Rename(control+".away", control)) }()
	t.Setenv("TMPDIR", t.TempDir()) // for the sockets
	require.NoError(t, os.Chmod(filepath.Dir(os.TempDir()), 0o755))

	_, err := Start(testContext(t), Config{DataDir: dir, Logger: quiet})
	require.ErrorContains(t, err, "pg_control")
	entries, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	require.Empty(t, entries, "the socket's directory is removed")
}

// A server whose starter was killed, with a client that is still busy.
func TestOrphanIsEnded(t *testing.T) {
	dir := dataDir(t)
	c := startChild(t, dir, nil, orphanEnv+"=1")
	exec1(t, c.url, "CREATE TABLE orphans (id int); INSERT INTO orphans VALUES (1)")
	busy := connect(t, c.url)
	go busy.Exec(context.Background(), "SELECT pg_sleep(600)") //nolint:errcheck // it ends with the server
	pid := postmaster(t, dir)
	socket := socketDir(t, dir)
	c.kill()
	require.True(t, running(pid), "the server survived its starter")

	s := serve(t, dir)
	require.NotEqual(t, pid, postmaster(t, dir))
	require.False(t, running(pid))
	require.Equal(t, 1, query[int](t, s.URL(), "SELECT id FROM orphans"))
	_, err := os.Stat(socket)
	require.ErrorIs(t, err, os.ErrNotExist, "the orphan's socket directory is removed")
}

// Only children are left: the server itself was killed, and one of them hangs.
func TestOrphanedChildIsEnded(t *testing.T) {
	if _, err := os.Stat("/proc/self/cwd"); err != nil {
		t.Skip("needs /proc to find the children of a server that is gone")
	}
	dir := dataDir(t)
	c := startChild(t, dir, nil, orphanEnv+"=1")
	conn := connect(t, c.url)
	hanging := int(conn.PgConn().PID())
	require.NoError(t, syscall.Kill(hanging, syscall.SIGSTOP)) // it does not see its parent's end
	require.NoError(t, syscall.Kill(postmaster(t, dir), syscall.SIGKILL))
	c.kill()
	require.True(t, running(hanging))

	s := serve(t, dir)
	require.False(t, running(hanging))
	require.Equal(t, 1, query[int](t, s.URL(), "SELECT 1"))
}

func TestDeathSignal(t *testing.T) {
	if deathSignal == 0 {
		t.Skip("this operating system has no death signal")
	}
	dir := dataDir(t)
	c := startChild(t, dir, nil)
	pid := postmaster(t, dir)
	c.kill()
	waitFor(t, func() bool { return !running(pid) })

	socket := socketDir(t, dir)
	serve(t, dir)
	_, err := os.Stat(socket)
	require.ErrorIs(t, err, os.ErrNotExist, "its socket directory is removed at the next start")
}

// The number in a stale postmaster.pid belongs to another process by now.
func TestStalePidFile(t *testing.T) {
	dir := dataDir(t)
	require.NoError(t, serve(t, dir).Close())
	other := exec.Command("sleep", "600")
	if acc, err := chooseAccount(filepath.Join(dir, clusterName)); err == nil && acc != nil {
		// PostgreSQL takes only a process of its own user for a server.
		other.SysProcAttr = &syscall.SysProcAttr{Credential: acc.credential()}
		other.Dir = "/"
	}
	require.NoError(t, other.Start())
	defer func() {
		_ = other.Process.Kill()
		_ = other.Wait()
	}()
	pidfile := filepath.Join(dir, clusterName, "postmaster.pid")
	require.NoError(t, os.WriteFile(pidfile, []byte(strconv.Itoa(other.Process.Pid)+"\n/elsewhere\n"), 0o644))

	s := serve(t, dir)
	require.Equal(t, 1, query[int](t, s.URL(), "SELECT 1"))
	require.True(t, running(other.Process.Pid), "the other process is left alone")
}

func TestURLWithStandardTools(t *testing.T) {
	s := serve(t, dataDir(t))
	cfg, err := pgx.ParseConfig(s.URL())
	require.NoError(t, err)
	require.Equal(t, "cqrsflow", cfg.Database)
	require.True(t, strings.HasPrefix(cfg.Host, "/"))
	require.Less(t, len(cfg.Host)+len("/.s.PGSQL.5432"), 104)
}

func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatal("condition not met in time")
		}
	}
}

var _ io.Closer = (*Server)(nil)
