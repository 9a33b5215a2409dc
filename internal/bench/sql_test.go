package bench

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// noDatabaseIsLeft checks that benchmarks have removed theirs.
func noDatabaseIsLeft(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		ctx := context.Background()
		conn, err := pgx.Connect(ctx, server.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(ctx)
		var n int
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM pg_database WHERE datname LIKE 'cqrsflow_bench%'").Scan(&n); err != nil || n > 0 {
			t.Errorf("%d databases are left, %v", n, err)
		}
	})
}

var few = Orders{Count: 300, Partitions: 3, Batch: 40, Apart: 30, Rounds: 2}

func TestSQL(t *testing.T) {
	noDatabaseIsLeft(t)
	var steps atomic.Int64
	r, err := RunSQL(t.Context(), SQL{Run: quiet(&steps), Orders: few, URL: server.URL()})
	if err != nil {
		t.Fatal(err)
	}
	checkReport(t, r, "sql", map[string]any{"orders": 300.0, "events": 600.0, "rounds": 2.0})
	if writes := r.Inputs["writes"].(int); writes <= 300 || writes >= 600 {
		t.Errorf("%d rows were written: some orders, but not all, should be paid in a later batch", writes)
	}
	if steps.Load() == 0 {
		t.Error("no progress")
	}
}

// TestBothSidesLeaveTheSameRows: else the ratio would compare different work.
func TestBothSidesLeaveTheSameRows(t *testing.T) {
	noDatabaseIsLeft(t)
	var steps atomic.Int64
	c := SQL{Run: quiet(&steps), Orders: few, URL: server.URL()}
	log, err := c.log()
	if err != nil {
		t.Fatal(err)
	}
	d, err := openDatabase(t.Context(), c.Run, c.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	if _, err := d.throughput(t.Context(), c, log); err != nil {
		t.Fatal(err)
	}
	for table, want := range map[string]int{"orders": 300, "order_lines": 300} {
		var n, different int
		err := d.store.Pool().QueryRow(t.Context(), strings.ReplaceAll(`SELECT (SELECT count(*) FROM bare.{T}),
			(SELECT count(*) FROM ((TABLE orders_v1.{T} EXCEPT TABLE bare.{T}) UNION ALL (TABLE bare.{T} EXCEPT TABLE orders_v1.{T})) d)`, "{T}", table)).Scan(&n, &different)
		if err != nil || n < want || different != 0 {
			t.Errorf("%s: %d rows, %d of them different, %v", table, n, different, err)
		}
	}
}

func TestVisible(t *testing.T) {
	noDatabaseIsLeft(t)
	var steps atomic.Int64
	r, err := RunVisible(t.Context(), Visible{Run: quiet(&steps), Kafka: kafka(t), URL: server.URL(), Rate: 400, Count: 200, Partitions: 2, Limit: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	checkReport(t, r, "sql-latency", map[string]any{"rate": 400.0, "commands": 200.0})
}

func TestUnreachablePostgres(t *testing.T) {
	var steps atomic.Int64
	if r, err := RunSQL(t.Context(), SQL{Run: quiet(&steps), Orders: few, URL: "postgres://127.0.0.1:1/none"}); err == nil {
		t.Errorf("%+v", r)
	}
}
