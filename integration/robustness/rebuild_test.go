package robustness_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cqrsflow/cqrsflow/integration/harness"
)

// All read models are rebuilt while commands come in and readers ask. In the middle the workers are killed, and so is the
// command that waits for it; asked for again, the same rebuild goes on. No reader sees less than before, and everything
// is counted once.
func TestRebuildUnderLoad(t *testing.T) {
	b := newBusy(t, 15_000, 100)
	ctx := t.Context()
	// A second process of each role that projects: partitions move when the other one is killed.
	others := []*harness.Role{b.Serve(t, "project-sql,history,project-search")}
	for _, p := range others {
		p.AwaitReady(t)
	}
	sql, err := b.SQL(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer sql.Close(context.WithoutCancel(ctx))
	number := func(query string) (n int64) {
		t.Helper()
		if err := sql.QueryRow(ctx, query).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	b.begin()
	harness.Eventually(t, 2*harness.Patience, "there is something to rebuild", func() error {
		if n := number(`SELECT coalesce(sum(version), 0)::bigint FROM orders`); n < b.orderEvents()/2 {
			return fmt.Errorf("%d of %d events", n, b.orderEvents())
		}
		return nil
	})
	stopReading := b.read()

	first := harness.Start(t, "rebuild", b.Settings, "rebuild", "--all")
	const building = `SELECT count(*) FROM cqrsflow.versions WHERE state = 'building' AND projection = 'orders'`
	harness.Eventually(t, harness.Patience, "it is being built", func() error {
		n := number(`SELECT coalesce(sum(c.next_offset), 0)::bigint FROM cqrsflow.checkpoints c JOIN cqrsflow.versions v USING (projection, version)
			WHERE v.state = 'building' AND projection = 'orders'`)
		if n == 0 {
			return fmt.Errorf("version 2 has done nothing yet: %s", first.Stderr.String())
		}
		return nil
	})
	if err := first.Kill9(); err != nil {
		t.Fatal(err)
	}
	for _, role := range []string{"project-sql", "history", "project-search"} {
		if err := b.roles[role].Kill9(); err != nil {
			t.Fatal(err)
		}
	}
	if number(building) == 0 {
		t.Fatal("orders had been rebuilt before its worker was killed")
	}
	for _, role := range []string{"project-sql", "history", "project-search"} {
		b.roles[role].Start(t)
	}
	again := b.Must(t, "rebuild", "--all", "--json")
	var asked []struct {
		Projection string
		Version    int
		State      string
	}
	if err := json.Unmarshal([]byte(again.Stdout), &asked); err != nil {
		t.Fatal(err, again)
	}
	for _, r := range asked {
		// What was complete by then is rebuilt once more: version 2 of orders may have been completed while the roles got ready.
		if r.State != "active" || r.Version < 2 || r.Version > 3 {
			t.Errorf("%+v\n%s", r, again)
		}
	}
	const projections = 9
	if len(asked) != projections {
		t.Errorf("%s", again)
	}
	stopReading()
	b.finish()
	list := b.Must(t, "projection", "list")
	if n := strings.Count(list.Stdout, "active"); n != projections {
		t.Errorf("%s", list)
	}
	for _, p := range append(others, b.roles["project-sql"]) {
		p.Stop(t)
	}
}

// read reads until the returned function is called, and fails the test where a query fails or sees less than one before it.
func (b *busy) read() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	follow := func(path string, count func(body []byte) (int64, error)) {
		wg.Go(func() {
			var last int64
			for ctx.Err() == nil {
				err := b.Get(ctx, path, func(body []byte) error {
					n, err := count(body)
					if err == nil && n < last {
						err = fmt.Errorf("%d after %d", n, last)
					}
					last = n
					return err
				})
				if err != nil && ctx.Err() == nil {
					b.t.Errorf("GET %s: %v", path, err)
					return
				}
			}
			b.t.Logf("%s counts %d", path, last)
		})
	}
	follow("/v1/orders/search?limit=1", func(body []byte) (int64, error) {
		var found struct{ Total int64 }
		err := json.Unmarshal(body, &found)
		return found.Total, err
	})
	follow("/v1/sales/daily", func(body []byte) (int64, error) {
		var sales struct{ Total struct{ Orders int64 } }
		err := json.Unmarshal(body, &sales)
		return sales.Total.Orders, err
	})
	follow("/v1/customers?sort=-orders&limit=1", func(body []byte) (int64, error) {
		var page struct{ Items []struct{ Orders int64 } }
		err := json.Unmarshal(body, &page)
		if len(page.Items) == 0 {
			return 0, err
		}
		return page.Items[0].Orders, err
	})
	stop = func() { cancel(); wg.Wait() }
	b.t.Cleanup(stop)
	return stop
}
