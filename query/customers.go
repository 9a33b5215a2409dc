package query

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/event"
)

// CustomersModel is the read model of Customers.
var CustomersModel = Model{Name: "customers", Aggregates: []string{"customer"}}

// Customer is a row of the read model customers.
type Customer struct {
	ID      string
	Version event.Version
	// Orders is the number of paid orders, Units the sum of their quantities.
	Orders int64
	Units  int64
	// Spent is what was paid in the currency of the first purchase, SpentOther in further ones.
	Spent      Money
	SpentOther []Money
	// FirstPurchase and LastPurchase are dates: midnight UTC.
	FirstPurchase time.Time
	LastPurchase  time.Time
	// Parked says that the row does not follow its stream at the moment.
	Parked bool
}

// CustomerFilter chooses customers. The zero value chooses all, sorted by ID.
type CustomerFilter struct {
	// ID is that of the only one; empty for all.
	ID string
	// Sort is id, spent, orders, units, firstPurchase or lastPurchase, with a leading "-" for descending;
	// empty is id. What was spent is compared as numbers, in the currency of the first purchase.
	Sort string
	// Limit is how many to return at most. It must be positive.
	Limit int
	// Cursor is from the page before, with the same order; empty starts.
	Cursor string
}

var customerSorts = map[string]sortKey{
	"id":            {column: "c.id"},
	"spent":         {column: "c.spent_cents", cast: "bigint"},
	"orders":        {column: "c.orders", cast: "bigint"},
	"units":         {column: "c.units", cast: "bigint"},
	"firstPurchase": {column: "c.first_purchase", cast: "date"},
	"lastPurchase":  {column: "c.last_purchase", cast: "date"},
}

// Customers reads the read model customers.
type Customers struct{ pool *pgxpool.Pool }

// NewCustomers reads through the pool.
func NewCustomers(pool *pgxpool.Pool) *Customers { return &Customers{pool: pool} }

var customerSelect = `
SELECT c.id, c.version, c.orders, c.units, c.spent_cents, c.currency, c.spent_other, c.first_purchase, c.last_purchase,
       ` + fmt.Sprintf(parkedIn, "'customers'", "c.id", "'customer'") + `
FROM customers c `

// Get returns a customer, or event.ErrNotFound.
func (q *Customers) Get(ctx context.Context, id event.StreamID) (Customer, error) {
	rows, err := q.read(ctx, customerSelect+`WHERE c.id = $1`, string(id))
	switch {
	case err != nil:
		return Customer{}, fmt.Errorf("customer %s: %w", id, err)
	case len(rows) == 0:
		return Customer{}, fmt.Errorf("customer %s: %w", id, event.ErrNotFound)
	}
	return rows[0], nil
}

// List returns a page of customers. A sort order that there is not is a *BadSortError, a cursor from elsewhere ErrBadCursor.
func (q *Customers) List(ctx context.Context, f CustomerFilter) (Page[Customer], error) {
	if f.Sort == "" {
		f.Sort = "id"
	}
	by, err := parseSort(f.Sort, customerSorts)
	if err != nil {
		return Page[Customer]{}, err
	}
	hash := fingerprint("customers", f.Sort, f.ID)
	var w where
	if f.ID != "" {
		w.add("c.id = ?", f.ID)
	}
	if f.Cursor != "" {
		c, err := parseCursor(f.Cursor, hash, by.key)
		if err != nil {
			return Page[Customer]{}, err
		}
		by.after(c, "c.id", &w)
	}
	sql := fmt.Sprintf("%s %s ORDER BY %s LIMIT %s", customerSelect, &w, by.by("c.id"), w.arg(f.Limit+1))
	rows, err := q.read(ctx, sql, w.args...)
	if err != nil {
		return Page[Customer]{}, fmt.Errorf("list customers: %w", err)
	}
	return page(rows, f.Limit, hash, func(c Customer) (string, string) {
		return customerKey(c, by.key.column), c.ID
	}), nil
}

func customerKey(c Customer, column string) string {
	switch column {
	case "c.spent_cents":
		return fmt.Sprint(c.Spent.Cents)
	case "c.orders":
		return fmt.Sprint(c.Orders)
	case "c.units":
		return fmt.Sprint(c.Units)
	case "c.first_purchase":
		return c.FirstPurchase.Format(time.DateOnly)
	case "c.last_purchase":
		return c.LastPurchase.Format(time.DateOnly)
	}
	return ""
}

func (q *Customers) read(ctx context.Context, sql string, args ...any) ([]Customer, error) {
	rows, _ := q.pool.Query(ctx, sql, args...) // its error comes back from CollectRows
	out, err := pgx.CollectRows(rows, scanCustomer)
	return out, storeError(ctx, "read rows", err)
}

func scanCustomer(row pgx.CollectableRow) (Customer, error) {
	var c Customer
	var other []byte
	err := row.Scan(&c.ID, &c.Version, &c.Orders, &c.Units, &c.Spent.Cents, &c.Spent.Currency, &other,
		&c.FirstPurchase, &c.LastPurchase, &c.Parked)
	if err != nil || len(other) == 0 {
		return c, err
	}
	if err := json.Unmarshal(other, &c.SpentOther); err != nil {
		return c, fmt.Errorf("what customer %s spent: %w", c.ID, err)
	}
	return c, nil
}
