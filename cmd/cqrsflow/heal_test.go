package main

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
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
	if out := d.client(0, "projection", "rebuild", "--all", "--json"); strings.Count(out, `"active"`) != 5 {
		t.Errorf("rebuild --all: %s", out)
	}
	if out := d.client(0, "projection", "list"); !strings.Contains(out, "cqrsflow.orders_search.v2  Stable") || !strings.Contains(out, "daily_sales    2        retired") {
		t.Errorf("projection list: %s", out)
	}
	d.client(0, "projection", "verify")
}
