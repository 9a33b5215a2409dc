package shop

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
)

// Customers is the read model customers: one row a customer.
type Customers struct{}

var _ postgres.Healable = Customers{}

// Name is "customers".
func (Customers) Name() string { return "customers" }

// Shape is 1.
func (Customers) Shape() int { return 1 }

// Migrations make the table.
func (Customers) Migrations() fs.FS { return files("customers_v1") }

// Views are customers.
func (Customers) Views() map[string]string { return map[string]string{"customers": "customers"} }

// customer is a row while a batch is folded into it.
type customer struct {
	id          string
	version     event.Version
	stored      event.Version
	orders      int64
	units       int64
	spentCents  int64
	currency    string
	other       []spent
	first, last time.Time
}

// spent is what was spent in one of the further currencies.
type spent struct {
	Currency string `json:"currency"`
	Cents    int64  `json:"cents"`
}

// Forget removes customers.
func (Customers) Forget(ctx context.Context, tx pgx.Tx, _ string, streams []string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM customers WHERE id = ANY($1)`, streams); err != nil {
		return fmt.Errorf("forget customers: %w", err)
	}
	return nil
}

// Apply folds the batch.
func (Customers) Apply(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	rows, err := loadCustomers(ctx, tx, b)
	if err != nil {
		return err
	}
	for i := range b.Events {
		e := &b.Events[i]
		c := rows[e.Stream]
		next, err := b.Follows(e, c.version)
		if err != nil {
			return err
		}
		if !next {
			continue
		}
		if err := c.evolve(e); err != nil {
			return runner.Refuse(e, err)
		}
		c.version = e.Version
	}
	return storeCustomers(ctx, tx, rows)
}

func (c *customer) evolve(e *event.Recorded) error {
	p, ok := e.Body.(*customerv1.PurchaseRecorded)
	if !ok {
		return fmt.Errorf("%w: the read model customers does not know %s", event.ErrUnknownType, e.Type)
	}
	total, err := cents(p.GetTotal())
	if err != nil {
		return fmt.Errorf("total of order %s: %w", p.GetOrder(), err)
	}
	bought := day(at(p.GetPurchasedAt(), e))
	if c.orders == 0 || bought.Before(c.first) {
		c.first = bought
	}
	if c.orders == 0 || bought.After(c.last) {
		c.last = bought
	}
	if c.orders == 0 {
		c.currency = p.GetTotal().GetCurrency()
	}
	c.orders++
	c.units += int64(p.GetUnits())
	c.spend(p.GetTotal().GetCurrency(), total)
	return nil
}

func (c *customer) spend(currency string, total int64) {
	if currency == c.currency {
		c.spentCents = add(c.spentCents, total)
		return
	}
	i := slices.IndexFunc(c.other, func(s spent) bool { return s.Currency == currency })
	if i < 0 {
		i = len(c.other)
		c.other = append(c.other, spent{Currency: postgres.Text(currency)})
	}
	c.other[i].Cents = add(c.other[i].Cents, total)
}

func loadCustomers(ctx context.Context, tx pgx.Tx, b *runner.Batch) (map[event.StreamID]*customer, error) {
	rows := make(map[event.StreamID]*customer, len(b.Events))
	ids := make([]string, 0, len(b.Events))
	for i := range b.Events {
		id := b.Events[i].Stream
		if rows[id] == nil {
			rows[id] = &customer{id: string(id)}
			ids = append(ids, string(id))
		}
	}
	slices.Sort(ids)
	stored, _ := tx.Query(ctx, `SELECT id, version, orders, units, spent_cents, currency, spent_other, first_purchase, last_purchase
		FROM customers WHERE id = ANY($1)`, ids)
	var read customer
	var other []byte
	_, err := pgx.ForEachRow(stored, []any{&read.id, &read.version, &read.orders, &read.units, &read.spentCents, &read.currency, &other,
		&read.first, &read.last}, func() error {
		c := rows[event.StreamID(read.id)]
		*c = read
		c.stored, c.other = read.version, nil
		if len(other) > len("[]") {
			return json.Unmarshal(other, &c.other)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load customers: %w", err)
	}
	return rows, nil
}

func storeCustomers(ctx context.Context, tx pgx.Tx, rows map[event.StreamID]*customer) error {
	changed := make([]*customer, 0, len(rows))
	for _, c := range rows {
		if c.version > c.stored {
			changed = append(changed, c)
		}
	}
	n := len(changed)
	if n == 0 {
		return nil
	}
	slices.SortFunc(changed, func(a, b *customer) int { return cmp.Compare(a.id, b.id) })
	ids, versions, orders, units := make([]string, n), make([]int64, n), make([]int64, n), make([]int64, n)
	cents, currencies, others := make([]int64, n), make([]string, n), make([]string, n)
	first, last := make([]time.Time, n), make([]time.Time, n)
	for i, c := range changed {
		ids[i], versions[i], orders[i], units[i] = c.id, int64(c.version), c.orders, c.units
		cents[i], currencies[i], first[i], last[i] = c.spentCents, postgres.Text(c.currency), c.first, c.last
		others[i] = "[]"
		if len(c.other) > 0 {
			text, err := json.Marshal(c.other)
			if err != nil {
				return fmt.Errorf("currencies of customer %s: %w", c.id, err)
			}
			others[i] = string(text)
		}
	}
	if _, err := tx.Exec(ctx, `INSERT INTO customers (id, version, orders, units, spent_cents, currency, spent_other, first_purchase, last_purchase)
		SELECT id, version, orders, units, spent_cents, currency, spent_other::jsonb, first_purchase, last_purchase
		FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[], $8::date[], $9::date[])
			AS u (id, version, orders, units, spent_cents, currency, spent_other, first_purchase, last_purchase)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, orders = excluded.orders, units = excluded.units,
			spent_cents = excluded.spent_cents, currency = excluded.currency, spent_other = excluded.spent_other,
			first_purchase = excluded.first_purchase, last_purchase = excluded.last_purchase`,
		ids, versions, orders, units, cents, currencies, others, first, last); err != nil {
		return fmt.Errorf("store customers: %w", err)
	}
	return nil
}
