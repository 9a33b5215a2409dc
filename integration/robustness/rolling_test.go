package robustness_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"testing"

	"github.com/cqrsflow/cqrsflow/integration/harness"
)

// second starts another processor beside that of a busy system.
func (b *busy) second(flags ...string) *harness.Role {
	b.t.Helper()
	r := b.Serve(b.t, "command", append([]string{"--processor-instance", "second", "--data", b.t.TempDir()}, flags...)...)
	r.AwaitReady(b.t)
	return r
}

var restores = regexp.MustCompile(`(?m)^cqrsflow_restore_seconds_count\{[^}]*\} (\d+)$`)

// restored is how many partitions a processor has restored since it started: one for each that it was given.
func restored(t *testing.T, r *harness.Role) (n int) {
	t.Helper()
	a, err := harness.Ask(t.Context(), http.MethodGet, r.Ops+"/metrics", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range restores.FindAllSubmatch(a.Body, -1) {
		one, err := strconv.Atoi(string(m[1]))
		if err != nil {
			t.Fatal(err)
		}
		n += one
	}
	return n
}

// begun waits until the work has begun.
func (b *busy) begun() {
	b.t.Helper()
	b.begin()
	harness.Eventually(b.t, harness.Patience, "orders are placed", func() error { return b.web.AtLeast(10) })
}

// A rolling update while there is work to do: every process ends at SIGTERM with code 0, having finished what it had taken, and
// another takes its place. Members of the processor's group are static, so neither restart moves a partition of the other one.
func TestRollingUpdate(t *testing.T) {
	static := []string{"--processor-static", "--processor-session-timeout", "60s"}
	b := newBusy(t, 10_000, 100, append([]string{"--processor-instance", "first"}, static...)...)
	first, second := b.roles["command"], b.second(static...)
	harness.Eventually(t, harness.Patience, "both have partitions", func() error {
		if f, s := restored(t, first), restored(t, second); f == 0 || s == 0 {
			return fmt.Errorf("they have restored %d and %d", f, s)
		}
		return nil
	})
	first.AwaitReady(t)
	b.begun()
	for _, pair := range [][2]*harness.Role{{first, second}, {second, first}} {
		restarted, other := pair[0], pair[1]
		before := restored(t, other)
		restarted.Terminate(t)
		restarted.Start(t)
		restarted.AwaitReady(t)
		if got := restored(t, restarted); got == 0 {
			t.Error("what was restarted has no partitions of its own")
		}
		if got := restored(t, other); got != before {
			t.Errorf("the restart moved %d partitions to the other processor", got-before)
		}
	}
	for _, role := range harness.AllRoles {
		if role != "command" {
			b.roles[role].Terminate(t)
			b.roles[role].Start(t)
			b.roles[role].AwaitReady(t)
		}
	}
	b.finish()
	second.Terminate(t)
	for _, p := range b.roles {
		p.Terminate(t)
	}
}

// A processor that is killed for good: the other one takes its partitions over once the session timeout has passed, and
// with them what was on its way.
func TestTakeover(t *testing.T) {
	b := newBusy(t, 10_000, 100, "--processor-instance", "first", "--processor-static")
	second := b.second("--processor-static")
	harness.Eventually(t, harness.Patience, "the second has partitions", func() error {
		if restored(t, second) == 0 {
			return fmt.Errorf("none")
		}
		return nil
	})
	b.roles["command"].AwaitReady(t)
	b.begun()
	before := restored(t, second)
	if err := b.roles["command"].Kill9(); err != nil {
		t.Fatal(err)
	}
	b.finish()
	if restored(t, second) <= before {
		t.Error("the second processor has taken no partition over")
	}
	second.Terminate(t)
}
