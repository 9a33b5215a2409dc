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

// OrdersModel is the read model of Orders.
var OrdersModel = Model{Name: "orders", Aggregates: []string{"order"}}

// Order is a row of the read model orders. Times are in UTC with microseconds.
type Order struct {
	ID      string
	Version event.Version
	// Status is placed, paid, shipped, delivered or cancelled.
	Status   string
	Customer string
	// Lines are in the order in which they were added.
	Lines []OrderLine
	Total Money
	// Notes are oldest first.
	Notes        []OrderNote
	PlacedAt     time.Time
	PaidAt       *time.Time
	ShippedAt    *time.Time
	DeliveredAt  *time.Time
	CancelledAt  *time.Time
	CancelReason string
	// Parked says that the row does not follow its stream at the moment.
	Parked bool
}

// OrderLine is a line of an order, in the order's currency.
type OrderLine struct {
	SKU        string `json:"sku"`
	Name       string `json:"name"`
	Quantity   int64  `json:"quantity"`
	TotalCents int64  `json:"total_cents"`
}

// OrderNote is a note on an order.
type OrderNote struct {
	Text    string    `json:"text"`
	NotedAt time.Time `json:"notedAt"`
	// Author is the principal who noted it; may be empty.
	Author string `json:"author"`
}

// OrderFilter chooses orders. The zero value chooses all, sorted by ID.
type OrderFilter struct {
	Customer string
	Status   string
	// PlacedFrom and PlacedBefore bound when the order was placed: from, inclusive, and before, exclusive.
	PlacedFrom   time.Time
	PlacedBefore time.Time
	// MinCents is the least total; 0 is none.
	MinCents int64
	// Sort is id, placedAt or total, with a leading "-" for descending; empty is id. Totals are compared
	// as numbers, whatever their currency.
	Sort string
	// Limit is how many to return at most. It must be positive.
	Limit int
	// Cursor is from the page before, with the same filters and order; empty starts.
	Cursor string
}

var orderSorts = map[string]sortKey{
	"id":       {column: "o.id"},
	"placedAt": {column: "o.placed_at", cast: "timestamptz"},
	"total":    {column: "o.total_cents", cast: "bigint"},
}

// Orders reads the read model orders.
type Orders struct{ pool *pgxpool.Pool }

// NewOrders reads through the pool.
func NewOrders(pool *pgxpool.Pool) *Orders { return &Orders{pool: pool} }

// An order and its lines are read by one statement: by two, they could be of different versions.
var orderSelect = `
SELECT o.id, o.version, o.status, o.customer, o.total_cents, o.currency, o.notes,
       o.placed_at, o.paid_at, o.shipped_at, o.delivered_at, o.cancelled_at, coalesce(o.cancel_reason, ''),
       coalesce((SELECT json_agg(json_build_object('sku', l.sku, 'name', l.name, 'quantity', l.quantity, 'total_cents', l.total_cents)
                                 ORDER BY l.position)
                 FROM order_lines l WHERE l.order_id = o.id), '[]'),
       ` + fmt.Sprintf(parkedIn, "'orders'", "o.id", "'order'") + `
FROM orders o `

// Get returns an order, or event.ErrNotFound. Where a customer is given, it must be theirs.
func (q *Orders) Get(ctx context.Context, id event.StreamID, customer string) (Order, error) {
	rows, err := q.read(ctx, orderSelect+`WHERE o.id = $1 AND ($2 = '' OR o.customer = $2)`, string(id), customer)
	switch {
	case err != nil:
		return Order{}, fmt.Errorf("order %s: %w", id, err)
	case len(rows) == 0:
		return Order{}, fmt.Errorf("order %s: %w", id, event.ErrNotFound)
	}
	return rows[0], nil
}

// List returns a page of orders. A sort order that there is not is a *BadSortError, a cursor from elsewhere ErrBadCursor.
func (q *Orders) List(ctx context.Context, f OrderFilter) (Page[Order], error) {
	if f.Sort == "" {
		f.Sort = "id"
	}
	by, err := parseSort(f.Sort, orderSorts)
	if err != nil {
		return Page[Order]{}, err
	}
	hash := fingerprint("orders", f.Sort, f.Customer, f.Status, f.PlacedFrom, f.PlacedBefore, f.MinCents)
	var w where
	if f.Customer != "" {
		w.add("o.customer = ?", f.Customer)
	}
	if f.Status != "" {
		w.add("o.status = ?", f.Status)
	}
	if !f.PlacedFrom.IsZero() {
		w.add("o.placed_at >= ?", f.PlacedFrom)
	}
	if !f.PlacedBefore.IsZero() {
		w.add("o.placed_at < ?", f.PlacedBefore)
	}
	if f.MinCents > 0 {
		w.add("o.total_cents >= ?", f.MinCents)
	}
	if f.Cursor != "" {
		c, err := parseCursor(f.Cursor, hash, by.key)
		if err != nil {
			return Page[Order]{}, err
		}
		by.after(c, "o.id", &w)
	}
	sql := fmt.Sprintf("%s %s ORDER BY %s LIMIT %s", orderSelect, &w, by.by("o.id"), w.arg(f.Limit+1))
	rows, err := q.read(ctx, sql, w.args...)
	if err != nil {
		return Page[Order]{}, fmt.Errorf("list orders: %w", err)
	}
	return page(rows, f.Limit, hash, func(o Order) (string, string) {
		switch by.key.cast {
		case "timestamptz":
			return o.PlacedAt.UTC().Format(time.RFC3339Nano), o.ID
		case "bigint":
			return fmt.Sprint(o.Total.Cents), o.ID
		}
		return "", o.ID
	}), nil
}

func (q *Orders) read(ctx context.Context, sql string, args ...any) ([]Order, error) {
	rows, _ := q.pool.Query(ctx, sql, args...) // its error comes back from CollectRows
	out, err := pgx.CollectRows(rows, scanOrder)
	return out, storeError(ctx, "read rows", err)
}

func scanOrder(row pgx.CollectableRow) (Order, error) {
	var o Order
	var notes, lines []byte
	err := row.Scan(&o.ID, &o.Version, &o.Status, &o.Customer, &o.Total.Cents, &o.Total.Currency, &notes,
		&o.PlacedAt, &o.PaidAt, &o.ShippedAt, &o.DeliveredAt, &o.CancelledAt, &o.CancelReason, &lines, &o.Parked)
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(lines, &o.Lines); err != nil {
		return o, fmt.Errorf("lines of order %s: %w", o.ID, err)
	}
	if len(notes) > 0 {
		if err := json.Unmarshal(notes, &o.Notes); err != nil {
			return o, fmt.Errorf("notes of order %s: %w", o.ID, err)
		}
	}
	return o, nil
}
