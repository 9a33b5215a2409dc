package shop

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// DailySales is the read model daily_sales: what was paid on a day, by currency. Its rows have no
// version: that an event counts once is the checkpoint's doing. Nor do they tell streams apart: where
// they are wrong, only a rebuild puts them right.
type DailySales struct{}

var _ postgres.ReadModel = DailySales{}

// Name is "daily_sales".
func (DailySales) Name() string { return "daily_sales" }

// Shape is 1.
func (DailySales) Shape() int { return 1 }

// Migrations make the table, and the view that sums the partitions.
func (DailySales) Migrations() fs.FS { return files("daily_sales_v1") }

// Views are daily_sales.
func (DailySales) Views() map[string]string { return map[string]string{"daily_sales": "daily_sales"} }

type salesKey struct {
	day      time.Time
	currency string
}

type sales struct{ orders, units, cents int64 }

// Apply sums the batch and adds the sums.
func (DailySales) Apply(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	sums := map[salesKey]*sales{}
	for i := range b.Events {
		e := &b.Events[i]
		paid, ok := e.Body.(*orderv1.OrderPaid)
		if !ok {
			continue
		}
		total, err := cents(paid.GetTotal())
		if err != nil {
			return runner.Refuse(e, fmt.Errorf("total: %w", err))
		}
		k := salesKey{day(at(paid.GetPaidAt(), e)), postgres.Text(paid.GetTotal().GetCurrency())}
		s := sums[k]
		if s == nil {
			s = &sales{}
			sums[k] = s
		}
		s.orders++
		s.units += int64(paid.GetUnits())
		s.cents = add(s.cents, total)
	}
	return addSales(ctx, tx, b.Partition.Number, sums)
}

func addSales(ctx context.Context, tx pgx.Tx, partition int32, sums map[salesKey]*sales) error {
	if len(sums) == 0 {
		return nil
	}
	keys := make([]salesKey, 0, len(sums))
	for k := range sums {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b salesKey) int { return cmp.Or(a.day.Compare(b.day), cmp.Compare(a.currency, b.currency)) })
	n := len(keys)
	days, currencies := make([]time.Time, n), make([]string, n)
	orders, units, cents := make([]int64, n), make([]int64, n), make([]int64, n)
	for i, k := range keys {
		s := sums[k]
		days[i], currencies[i], orders[i], units[i], cents[i] = k.day, k.currency, s.orders, s.units, s.cents
	}
	if _, err := tx.Exec(ctx, `INSERT INTO partition_sales AS s (day, currency, partition, orders, units, revenue_cents)
		SELECT day, currency, $1, orders, units, revenue_cents
		FROM unnest($2::date[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[]) AS u (day, currency, orders, units, revenue_cents)
		ON CONFLICT (day, currency, partition) DO UPDATE SET orders = s.orders + excluded.orders, units = s.units + excluded.units,
			revenue_cents = s.revenue_cents + excluded.revenue_cents`, partition, days, currencies, orders, units, cents); err != nil {
		return fmt.Errorf("add to daily sales: %w", err)
	}
	return nil
}
