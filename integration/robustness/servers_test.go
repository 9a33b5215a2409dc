package robustness_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/integration/containers"
	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/integration/robustness/faults"
)

// Servers fail while there is work to do. Elasticsearch stands still all the time; the broker is restarted in the middle of
// the import; PostgreSQL is killed in the middle of its part, and comes back when every command has been answered
// without it. No process of ours ends by that, nothing is lost, and everything catches up.
func TestServersFail(t *testing.T) {
	b := newBusy(t, 10_000, 100)
	r := faults.Random(t)
	ctx := t.Context()
	postgres, elasticsearch, kafka := containers.Postgres(t), containers.Elasticsearch(t), containers.Kafka(t)
	pids := map[string]int{}
	for name, p := range b.roles {
		pids[name] = p.PID()
	}
	total := b.orderEvents()
	// reach waits until a share of the events is done, and fails the test where all of them are.
	reach := func(what string, share float64, done func() (int64, error)) (n int64) {
		t.Helper()
		harness.Eventually(t, 2*harness.Patience, what+" gets on", func() (err error) {
			if n, err = done(); err == nil && float64(n) < share*float64(total) {
				err = fmt.Errorf("%d of %d", n, total)
			}
			return err
		})
		if n >= total {
			t.Fatalf("%s had done all of %d events before its server failed", what, n)
		}
		return n
	}
	moments := faults.Moments(r, 2, 0.05, 0.5)

	if err := elasticsearch.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = elasticsearch.Unpause(context.Background()) }) // for other tests, where this one fails
	stood := time.Now()
	b.begin()

	at := reach("the import", moments[0], func() (int64, error) { return b.progress.Ends(ctx, "order.events") })
	if err := kafka.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("Kafka was restarted at %d of %d", at, total)

	at = reach("SQL", moments[1], func() (int64, error) { return b.progress.Orders(ctx) })
	if err := postgres.Kill(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("PostgreSQL was killed at %d of %d", at, total)
	b.worked()
	if err := postgres.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	t.Log("PostgreSQL is back")
	harness.Eventually(t, 2*harness.Patience, "SQL completes without Elasticsearch", func() error {
		n, err := b.progress.Orders(ctx)
		if err == nil && n < total {
			err = fmt.Errorf("%d of %d", n, total)
		}
		return err
	})
	if err := elasticsearch.Unpause(ctx); err != nil {
		t.Fatal(err)
	}
	if n, err := b.progress.Search(ctx); err != nil || n >= total {
		t.Errorf("search had done %d of %d events (%v)", n, total, err)
	}
	t.Logf("Elasticsearch stood still for %v", time.Since(stood))

	b.finish()
	for name, p := range b.roles {
		if !p.Running() || p.PID() != pids[name] {
			t.Errorf("%s has ended", name)
		}
		p.Stop(t)
	}
}
