package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/internal/app"
)

// rebuildAndHeal spoils the read models and has them put right, by healing and by rebuilding.
func rebuildAndHeal(t *testing.T, d *running) {
	t.Helper()
	sql, err := pgx.Connect(t.Context(), d.file().Postgres)
	if err != nil {
		t.Fatal(err)
	}
	defer sql.Close(t.Context())
	if _, err := sql.Exec(t.Context(), `UPDATE orders SET customer = 'eve'; DELETE FROM history_events; INSERT INTO daily_sales_v1.partition_sales VALUES ('2000-01-01', 'USD', 0, 1, 1, 1)`); err != nil {
		t.Fatal(err)
	}
	d.client(1, "projection", "verify", "orders")
	if out := d.client(1, "projection", "verify", "--heal"); !strings.Contains(out, "orders: o-1 was healed") || !strings.Contains(out, "history of order: o-1 was healed") ||
		!strings.Contains(out, "cqrsflow projection rebuild daily_sales") {
		t.Errorf("verify --heal: %s", out)
	}
	d.client(0, "projection", "verify", "orders", "history", "orders_search", "--heal")
	if out := d.client(0, "rebuild", "daily_sales"); !strings.Contains(out, "daily_sales: readers see version 2 now") {
		t.Errorf("rebuild: %s", out)
	}
	d.client(0, "projection", "verify", "daily_sales")
	d.client(1, "projection", "cancel", "orders")
	d.client(1, "projection", "drop", "daily_sales", "--version", "2")
	d.client(0, "projection", "drop", "daily_sales", "--version", "1")
	if out := d.client(0, "projection", "rebuild", "--all", "--json"); strings.Count(out, `"active"`) != projections {
		t.Errorf("rebuild --all: %s", out)
	}
	if out := d.client(0, "projection", "list"); !strings.Contains(out, "cqrsflow.orders_search.v2  Stable") || !strings.Contains(out, "daily_sales    2        retired") {
		t.Errorf("projection list: %s", out)
	}
	d.client(0, "projection", "verify")
}

// projections are how many dev has.
const projections = 9

// Killed in the middle of a rebuild, dev goes on with it when it is started again; asked for once more, it is the same one.
func TestDevKilledWhileRebuilding(t *testing.T) {
	const n = 4000
	dir := filepath.Join(t.TempDir(), "data")
	d := spawnDev(t, dir, "--import", cdnowFile(t, n))
	d.await("All read models are complete")
	if out := d.client(0, "rebuild", "--all", "--no-wait"); strings.Count(out, "version 2 is being built") != projections {
		t.Errorf("rebuild: %s", out)
	}
	d.kill()
	d.wait()

	d = spawnDev(t, dir)
	d.await("Ctrl-C stops")
	if versions := versionsOf(t, d); len(versions) != 2*projections {
		t.Errorf("%+v", versions)
	}
	for _, projection := range []string{"orders", "customers", "daily_sales", "orders_search", "history"} {
		for deadline := time.Now().Add(time.Minute); !slices.ContainsFunc(versionsOf(t, d), func(v app.ProjectionVersion) bool {
			return v.Projection == projection && v.Version == 2 && v.State == rebuild.Active
		}); {
			if time.Now().After(deadline) {
				t.Fatalf("%s is not rebuilt: %+v", projection, versionsOf(t, d))
			}
		}
	}
	d.client(0, "projection", "verify")
	var sales struct {
		Total struct {
			Orders int `json:"orders"`
		} `json:"total"`
	}
	if d.get("/v1/sales/daily", &sales); sales.Total.Orders != n {
		t.Errorf("%d orders were sold, want %d", sales.Total.Orders, n)
	}
	d.stop()
	if code := d.wait(); code != 0 {
		t.Errorf("dev ended with %d\n%s", code, d.stderr)
	}
}

func versionsOf(t *testing.T, d *running) (versions []app.ProjectionVersion) {
	t.Helper()
	if err := json.Unmarshal([]byte(d.client(0, "projection", "list", "--json")), &versions); err != nil {
		t.Fatal(err)
	}
	return versions
}
