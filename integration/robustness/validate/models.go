package validate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/integration/robustness/model"
)

// Everything compares the log, the SQL read models, history and search with what must have come about, and checks
// the log by itself. Nothing may be on its way any more.
func Everything(ctx context.Context, g harness.Target, want model.Shop) error {
	l, err := ReadLog(ctx, g)
	if err != nil {
		return err
	}
	var all []error
	part := func(name string, err error) {
		if err != nil {
			all = append(all, fmt.Errorf("%s:\n%w", name, err))
		}
	}
	part("the log", l.Check())
	shop, err := l.Shop()
	part("orders folded from the log", errors.Join(err, differ(want, shop)))
	customers, err := l.Customers()
	part("customers folded from the log", errors.Join(err, differ(want.Customers(), customers)))
	part("SQL", SQL(ctx, g, want))
	part("history", l.history(ctx, g))
	part("search", Search(ctx, g, want))
	return errors.Join(all...)
}

// differ compares two maps and lists the first differences.
func differ[V comparable](want, got map[string]V) error {
	p := &problems{}
	keys := maps.Clone(want)
	maps.Copy(keys, got)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		w, wanted := want[k]
		g, there := got[k]
		switch {
		case !there:
			p.add("%s is missing", k)
		case !wanted:
			p.add("%s should not be there: %+v", k, g)
		case w != g:
			p.add("%s is %+v, want %+v", k, g, w)
		}
	}
	return p.join()
}

// rows reads a map out of a query whose first column is the key.
func rows[V any](ctx context.Context, c *pgx.Conn, sql string, scan func(*V) []any) (map[string]V, error) {
	found, err := c.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	defer found.Close()
	out := map[string]V{}
	for found.Next() {
		var key string
		var v V
		if err := found.Scan(append([]any{&key}, scan(&v)...)...); err != nil {
			return nil, err
		}
		if _, ok := out[key]; ok {
			return nil, fmt.Errorf("%s is there twice", key)
		}
		out[key] = v
	}
	return out, found.Err()
}

// SQL compares the SQL read models.
func SQL(ctx context.Context, g harness.Target, want model.Shop) error {
	c, err := g.SQL(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	orders, err := rows(ctx, c, `SELECT id, customer, status, version, units, total_cents, coalesce(to_char(paid_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'), '')
		FROM orders WHERE currency = 'USD'`, func(o *model.Order) []any {
		return []any{&o.Customer, &o.Status, &o.Version, &o.Units, &o.Cents, &o.Day}
	})
	all := []error{err, differ(want, orders)}
	lines, err := rows(ctx, c, `SELECT order_id, sum(quantity)::bigint FROM order_lines GROUP BY order_id`, func(n *int64) []any { return []any{n} })
	units := map[string]int64{}
	for id, o := range want {
		units[id] = o.Units
	}
	all = append(all, err, differ(units, lines))
	customers, err := rows(ctx, c, `SELECT id, orders, units, spent_cents, first_purchase::text, last_purchase::text FROM customers WHERE currency = 'USD'`,
		func(c *model.Customer) []any { return []any{&c.Orders, &c.Units, &c.Cents, &c.First, &c.Last} })
	all = append(all, err, differ(want.Customers(), customers))
	days, err := rows(ctx, c, `SELECT day::text, orders, units, revenue_cents FROM daily_sales WHERE currency = 'USD'`,
		func(d *model.Day) []any { return []any{&d.Orders, &d.Units, &d.Cents} })
	return errors.Join(append(all, err, differ(want.Days(), days))...)
}

// history compares the history of all streams with the log: which events are there and where they stand, and that
// every outcome is there once.
func (l *Log) history(ctx context.Context, g harness.Target) error {
	c, err := g.SQL(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	type place struct {
		Type      string
		Partition int32
		Offset    int64
		Command   int64
	}
	want := map[string]place{}
	for i := range l.Events {
		e := &l.Events[i]
		command, err := e.number("ce_commandoffset")
		if err != nil {
			return err
		}
		want[e.Aggregate+"/"+e.Headers["ce_id"]] = place{e.Headers["ce_type"], e.Partition, e.Offset, command}
	}
	got, err := rows(ctx, c, `SELECT aggregate || '/' || stream || '/' || version, type, partition, event_offset, command_offset FROM history_events WHERE aggregate IN ('order', 'customer')`,
		func(p *place) []any { return []any{&p.Type, &p.Partition, &p.Offset, &p.Command} })
	all := []error{err, differ(want, got)}
	outcomes := map[string]string{}
	for i := range l.Outcomes {
		o := &l.Outcomes[i]
		outcomes[fmt.Sprintf("%s/%d@%d", o.Aggregate, o.Partition, o.Offset)] = o.Headers["ce_causationid"]
	}
	// How many outcomes there are is known from the log only, so that nobody has waited for them yet.
	err = harness.Until(30*time.Second, func() error {
		there, err := rows(ctx, c, `SELECT aggregate || '/' || partition || '@' || outcome_offset, command_id FROM history_outcomes WHERE aggregate IN ('order', 'customer')`,
			func(id *string) []any { return []any{id} })
		return errors.Join(err, differ(outcomes, there))
	})
	return errors.Join(append(all, err)...)
}

// Search pages through all orders that search finds.
func Search(ctx context.Context, g harness.Target, want model.Shop) error {
	got := model.Shop{}
	cursor := ""
	for {
		path := harness.Query("/v1/orders/search", "limit", "200")
		if cursor != "" {
			path = harness.Query("/v1/orders/search", "limit", "200", "cursor", cursor)
		}
		var page struct {
			Hits []struct {
				Order struct {
					ID       string
					Version  int64
					Status   string
					Customer string
					Total    struct{ Amount, Currency string }
					PaidAt   string
					Lines    []struct{ Quantity int64 }
				}
			}
			Total  int64
			Cursor string
		}
		if err := g.Get(ctx, path, func(b []byte) error { return json.Unmarshal(b, &page) }); err != nil {
			return err
		}
		if page.Total != int64(len(want)) {
			return fmt.Errorf("search finds %d orders, want %d", page.Total, len(want))
		}
		for _, h := range page.Hits {
			total, err := cents(h.Order.Total.Amount, h.Order.Total.Currency)
			if err != nil {
				return fmt.Errorf("order %s: %w", h.Order.ID, err)
			}
			o := model.Order{Customer: h.Order.Customer, Status: h.Order.Status, Version: h.Order.Version, Cents: total}
			for _, line := range h.Order.Lines {
				o.Units += line.Quantity
			}
			if h.Order.PaidAt != "" {
				o.Day = h.Order.PaidAt[:len("1997-01-31")]
			}
			if _, ok := got[h.Order.ID]; ok {
				return fmt.Errorf("order %s is on two pages", h.Order.ID)
			}
			got[h.Order.ID] = o
		}
		if cursor = page.Cursor; cursor == "" {
			return differ(want, got)
		}
	}
}

// Complete reports, cheaply, what is still missing until everything has come about: what a test waits for before
// it looks at Everything.
func Complete(ctx context.Context, g harness.Target, want model.Shop) error {
	totals := want.Totals()
	c, err := g.SQL(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	sum := func(what, sql string, want int64) error {
		var n int64
		if err := c.QueryRow(ctx, sql).Scan(&n); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if n != want {
			return fmt.Errorf("%s: %d of %d", what, n, want)
		}
		return nil
	}
	var versions, paid int64
	for _, o := range want {
		versions += o.Version
		if o.Day != "" {
			paid++
		}
	}
	err = errors.Join(
		sum("versions of orders", `SELECT coalesce(sum(version), 0)::bigint FROM orders`, versions),
		sum("orders of customers", `SELECT coalesce(sum(orders), 0)::bigint FROM customers`, paid),
		sum("orders of days", `SELECT coalesce(sum(orders), 0)::bigint FROM daily_sales`, paid),
		sum("events in history", `SELECT count(*) FROM history_events WHERE aggregate IN ('order', 'customer')`, versions+paid))
	if err != nil {
		return err
	}
	for status, n := range statuses(want) {
		var found struct{ Total int64 }
		path := harness.Query("/v1/orders/search", "limit", "1", "status", status)
		if err := g.Get(ctx, path, func(b []byte) error { return json.Unmarshal(b, &found) }); err != nil {
			return err
		}
		if found.Total != n {
			return fmt.Errorf("search finds %d orders that are %s, of %d", found.Total, status, n)
		}
	}
	var sales struct {
		Total struct{ Orders, Units int64 }
	}
	if err := g.Get(ctx, "/v1/sales/daily", func(b []byte) error { return json.Unmarshal(b, &sales) }); err != nil {
		return err
	}
	if sales.Total.Orders != paid {
		return errors.New("the API's daily sales have " + strconv.FormatInt(sales.Total.Orders, 10) + " orders of " + strconv.FormatInt(totals.Orders, 10))
	}
	return nil
}

func statuses(s model.Shop) map[string]int64 {
	out := map[string]int64{}
	for _, o := range s {
		out[o.Status]++
	}
	return out
}
