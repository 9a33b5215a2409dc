package query

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SalesModel is the read model of Sales.
var SalesModel = Model{Name: "daily_sales", Aggregates: []string{"order"}}

// DaySales is a row of the read model daily_sales: what was paid on a day in one currency.
type DaySales struct {
	// Day is midnight UTC of the day that the orders were paid on.
	Day     time.Time
	Orders  int64
	Units   int64
	Revenue Money
}

// Sales reads the read model daily_sales.
type Sales struct{ pool *pgxpool.Pool }

// NewSales reads through the pool.
func NewSales(pool *pgxpool.Pool) *Sales { return &Sales{pool: pool} }

// Daily returns the days from and to, both inclusive, by day and currency. A zero time is no bound. Days
// without sales are left out.
func (q *Sales) Daily(ctx context.Context, from, to time.Time) ([]DaySales, error) {
	var w where
	if !from.IsZero() {
		w.add("day >= ?", from)
	}
	if !to.IsZero() {
		w.add("day <= ?", to)
	}
	sql := fmt.Sprintf(`SELECT day, orders, units, revenue_cents, currency FROM daily_sales %s ORDER BY day, currency`, &w)
	rows, _ := q.pool.Query(ctx, sql, w.args...) // its error comes back from CollectRows
	days, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (DaySales, error) {
		var d DaySales
		err := row.Scan(&d.Day, &d.Orders, &d.Units, &d.Revenue.Cents, &d.Revenue.Currency)
		return d, err
	})
	return days, storeError(ctx, "daily sales", err)
}
