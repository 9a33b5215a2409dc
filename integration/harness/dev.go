package harness

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cqrsflow/cqrsflow/internal/devfile"
)

// Dev is a data directory with `cqrsflow dev` on it, which keeps its addresses over restarts.
type Dev struct {
	*Process
	Dir string

	args []string
	http string
	ops  string
}

// NewDev chooses a directory and addresses; Launch starts it. flags are for every start.
func NewDev(t testing.TB, flags ...string) *Dev {
	t.Helper()
	d := &Dev{Dir: t.TempDir(), http: FreeAddr(t), ops: FreeAddr(t)}
	d.args = append([]string{"dev", "--data", d.Dir, "--http", d.http, "--ops", d.ops, "--kafka", FreeAddr(t), "--partitions", "4"}, flags...)
	// The embedded PostgreSQL ends by itself soon after a dev that was killed; before the directory is removed.
	t.Cleanup(func() {
		Eventually(t, Patience, "the embedded PostgreSQL ends", func() error {
			if _, err := os.Stat(filepath.Join(d.Dir, "postgres", "postmaster.pid")); !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("postmaster.pid: %w", err)
			}
			return nil
		})
	})
	return d
}

// Launch starts the process and does not wait for it to be ready.
func (d *Dev) Launch(t testing.TB, flags ...string) {
	t.Helper()
	// Whoever publishes to Kafka itself signs nothing: over HTTP nobody is anonymous.
	settings := []string{"CQRSFLOW_TOKEN=" + Token, "CQRSFLOW_POLICY_ANONYMOUS_ROLES=admin"}
	d.Process = Start(t, "dev", settings, append(d.args[:len(d.args):len(d.args)], flags...)...)
}

// Start starts the process and waits for it to be ready.
func (d *Dev) Start(t testing.TB, flags ...string) Target {
	t.Helper()
	d.Launch(t, flags...)
	d.AwaitReady(t)
	return d.Target(t)
}

// AwaitReady waits until the process says that it is ready.
func (d *Dev) AwaitReady(t testing.TB) { awaitReady(t, d.Process, "http://"+d.ops) }

// Target is how the running dev is reached: its dev.json says so.
func (d *Dev) Target(t testing.TB) Target {
	t.Helper()
	var f *devfile.File
	Eventually(t, Patience, "dev.json", func() (err error) {
		if !d.Running() {
			t.Fatalf("dev has ended: %s\n%s", d.state(), tail(d.Stderr.String()))
		}
		if f, err = devfile.Find(d.Dir); err == nil && (f == nil || f.PID != d.PID()) {
			err = errors.New("there is none yet")
		}
		return err
	})
	return Target{API: f.Server, Ops: f.Ops, Brokers: f.Kafka, Prefix: f.Prefix, Postgres: f.Postgres, Settings: []string{"CQRSFLOW_DATA=" + d.Dir}}
}

// awaitReady waits until the operations port says that the process is ready; it fails at once if that ends.
func awaitReady(t testing.TB, p *Process, ops string) {
	t.Helper()
	Eventually(t, Patience, p.Name+" becomes ready", func() error {
		if !p.Running() {
			t.Fatalf("%s has ended: %s\n%s", p.Name, p.state(), tail(p.Stderr.String()))
		}
		return readyAt(t.Context(), ops)
	})
}
