//go:build unix

package postgres

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// The test binary, run with this in the environment, is a process with a server on that directory. It
// prints the server's URL, and closes the server when its standard input ends.
const (
	serveEnv   = "EMBEDDED_POSTGRES_TEST_SERVE"
	orphanEnv  = "EMBEDDED_POSTGRES_TEST_ORPHAN" // set: the server survives its starter
	binDirEnv  = "EMBEDDED_POSTGRES_TEST_BINARIES"
	failPrefix = "failed: "
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(serveEnv); dir != "" {
		if os.Getenv(orphanEnv) != "" {
			deathSignal = 0
		}
		os.Exit(serveUntilEOF(dir))
	}
	code := m.Run()
	if commonDir.path != "" { // a test that failed may have left a server
		if cl, err := openCluster(commonDir.path); err == nil {
			_ = cl.endEarlier(context.Background(), quiet)
		}
		_ = os.RemoveAll(commonDir.path)
	}
	os.Exit(code)
}

// commonDir is a data directory for tests that need one and do not care which: making one takes a second
// or more. Such tests must not run in parallel.
var commonDir struct {
	once sync.Once
	path string
	err  error
}

func dataDir(t testing.TB) string {
	t.Helper()
	needServer(t)
	commonDir.once.Do(func() { commonDir.path, commonDir.err = os.MkdirTemp("", "cqrsflow-test-") })
	require.NoError(t, commonDir.err)
	return commonDir.path
}

func serveUntilEOF(dir string) int {
	s, err := Start(context.Background(), Config{DataDir: dir, Logger: quiet, Binaries: os.Getenv(binDirEnv)})
	if err != nil {
		fmt.Println(failPrefix + strings.ReplaceAll(err.Error(), "\n", " "))
		return 1
	}
	fmt.Println(s.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := s.Close(); err != nil {
		fmt.Println(failPrefix + err.Error())
		return 1
	}
	return 0
}

// child is a process that runs a server.
type child struct {
	cmd   *exec.Cmd
	stdin io.Closer
	url   string
}

func startChild(t *testing.T, dir string, prepare func(*exec.Cmd), env ...string) *child {
	t.Helper()
	c := &child{cmd: exec.Command(os.Args[0])}
	c.cmd.Env = append(append(os.Environ(), serveEnv+"="+dir), env...)
	if prepare != nil {
		prepare(c.cmd)
	}
	in, err := c.cmd.StdinPipe()
	require.NoError(t, err)
	c.stdin = in
	out, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() { c.kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	c.url = strings.TrimSpace(line)
	require.NotContains(t, c.url, failPrefix)
	return c
}

// kill is kill -9.
func (c *child) kill() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// needServer skips a test where PostgreSQL is neither installed nor to be fetched: there is nothing to test
// then, which only CI may not accept. It returns the binaries' directory.
func needServer(t testing.TB) string {
	t.Helper()
	acc, err := chooseAccount(filepath.Join(t.TempDir(), "none"))
	require.NoError(t, err)
	bin, err := findBinaries(testContext(t), Config{}, &cluster{account: acc}, quiet)
	if errors.Is(err, ErrNoBinaries) && os.Getenv("CQRSFLOW_INTEGRATION") != "require" {
		t.Skipf("%v", err)
	}
	require.NoError(t, err)
	return bin.dir
}

// serve runs a server on dir until the test ends.
func serve(t testing.TB, dir string) *Server {
	t.Helper()
	s, err := Start(testContext(t), Config{DataDir: dir, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { _ = s.Close() }) // closed by most tests; a second Close does nothing
	return s
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(testContext(t), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func exec1(t testing.TB, url, sql string) {
	t.Helper()
	conn := connect(t, url)
	_, err := conn.Exec(testContext(t), sql)
	require.NoError(t, err)
	require.NoError(t, conn.Close(testContext(t)))
}

func query[T any](t testing.TB, url, sql string) T {
	t.Helper()
	conn := connect(t, url)
	var v T
	require.NoError(t, conn.QueryRow(testContext(t), sql).Scan(&v))
	require.NoError(t, conn.Close(testContext(t)))
	return v
}

// socketDir is the directory of the server's socket.
func socketDir(t testing.TB, dir string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, socketName))
	require.NoError(t, err)
	return string(raw)
}

func postmaster(t testing.TB, dir string) int {
	t.Helper()
	pid := (&cluster{pgdata: filepath.Join(dir, clusterName)}).postmaster()
	require.NotZero(t, pid)
	return pid
}

// running says whether the process exists and is more than a zombie.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}
