package dirlock

import (
	"fmt"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

const holdEnv = "DIRLOCK_TEST_HOLD"

// TestMain is also the child that holds a lock until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(holdEnv); dir != "" {
		if _, err := Acquire(dir, "lock"); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println("held")
		select {}
	}
	os.Exit(m.Run())
}

func TestOneHolder(t *testing.T) {
	dir := t.TempDir()
	first, err := Acquire(dir, "lock")
	require.NoError(t, err)

	_, err = Acquire(dir, "lock")
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, fmt.Sprint(os.Getpid()), "the message says who holds it")

	require.NoError(t, first.Release())
	second, err := Acquire(dir, "lock")
	require.NoError(t, err)
	require.NoError(t, second.Release())
}

func TestKilledHolderLeavesNoLock(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), holdEnv+"="+dir)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	buf := make([]byte, 4)
	_, err = out.Read(buf)
	require.NoError(t, err)
	require.Equal(t, "held", string(buf))

	_, err = Acquire(dir, "lock")
	require.ErrorIs(t, err, ErrLocked, "another process holds it")

	require.NoError(t, child.Process.Kill())
	_ = child.Wait()
	lock, err := Acquire(dir, "lock")
	require.NoError(t, err)
	require.NoError(t, lock.Release())
}

func TestMissingDirectory(t *testing.T) {
	_, err := Acquire(t.TempDir()+"/missing", "lock")
	require.ErrorIs(t, err, os.ErrNotExist)
}
