package robustness_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/integration/containers"
	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/integration/robustness/faults"
)

// Servers fail while there is work to do: the broker is restarted, PostgreSQL is restarted, Elasticsearch stands still.
// No process of ours ends by that, nothing is lost, and everything catches up.
func TestServersFail(t *testing.T) {
	b := makeBusy(t, 10_000, 300)
	r := faults.Random(t)
	ctx := t.Context()
	postgres, elasticsearch, kafka := containers.Postgres(t), containers.Elasticsearch(t), containers.Kafka(t)
	pids := map[string]int{}
	for name, p := range b.roles {
		pids[name] = p.PID()
	}
	// reach waits until the projection has done a share of the events.
	reach := func(what string, share float64, done func() (int64, error)) int64 {
		t.Helper()
		var n int64
		harness.Eventually(t, 2*harness.Patience, what+" gets on", func() (err error) {
			if n, err = done(); err == nil && float64(n) < share*float64(b.orderEvents()) {
				err = fmt.Errorf("%d of %d", n, b.orderEvents())
			}
			return err
		})
		if n >= b.orderEvents() {
			t.Fatalf("%s was done with %d events before its server failed", what, n)
		}
		return n
	}
	events := func() (int64, error) { return b.progress.Ends(ctx, "order.events") }
	sql := func() (int64, error) { return b.progress.SQL(ctx, "orders") }
	search := func() (int64, error) { return b.progress.Search(ctx) }
	moments := faults.Moments(r, 3, 0.05, 0.6)

	at := reach("the import", moments[0], events)
	if err := kafka.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("Kafka was restarted at %d of %d", at, b.orderEvents())

	at = reach("SQL", moments[1], sql)
	if err := postgres.Restart(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("PostgreSQL was restarted at %d of %d", at, b.orderEvents())

	at = reach("search", moments[2], search)
	if err := elasticsearch.Pause(ctx); err != nil {
		t.Fatal(err)
	}
	stood := time.Now()
	harness.Eventually(t, 2*harness.Patience, "SQL completes without Elasticsearch", func() error {
		n, err := sql()
		if err == nil && n < b.orderEvents() {
			err = fmt.Errorf("%d of %d", n, b.orderEvents())
		}
		return err
	})
	if err := elasticsearch.Unpause(ctx); err != nil {
		t.Fatal(err)
	}
	t.Logf("Elasticsearch stood still for %v, at %d of %d", time.Since(stood), at, b.orderEvents())

	b.finish()
	for name, p := range b.roles {
		if !p.Running() || p.PID() != pids[name] {
			t.Errorf("%s has ended", name)
		}
		p.Stop(t)
	}
}
