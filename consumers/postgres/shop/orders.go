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
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

// Orders is the read model orders: one row an order, its lines in a child table.
type Orders struct{}

var _ postgres.Healable = Orders{}

// Name is "orders".
func (Orders) Name() string { return "orders" }

// Shape is 1.
func (Orders) Shape() int { return 1 }

// Migrations make the tables.
func (Orders) Migrations() fs.FS { return files("orders_v1") }

// Views are orders and order_lines.
func (Orders) Views() map[string]string {
	return map[string]string{"orders": "orders", "order_lines": "order_lines"}
}

// Forget removes orders.
func (Orders) Forget(ctx context.Context, tx pgx.Tx, _ string, streams []string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM order_lines WHERE order_id = ANY($1)`, streams); err != nil {
		return fmt.Errorf("forget order lines: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM orders WHERE id = ANY($1)`, streams); err != nil {
		return fmt.Errorf("forget orders: %w", err)
	}
	return nil
}

// Apply folds the batch.
func (Orders) Apply(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	f, err := loadOrders(ctx, tx, b)
	if err != nil {
		return err
	}
	for i := range b.Events {
		e := &b.Events[i]
		o := f.row(e.Stream)
		next, err := b.Follows(e, o.version)
		if err != nil {
			return err
		}
		if !next {
			continue
		}
		if err := o.evolve(e); err != nil {
			return runner.Refuse(e, err)
		}
		o.version, o.updatedAt = e.Version, e.RecordedTime
	}
	return f.store(ctx, tx)
}

// order is a row while a batch is folded into it.
type order struct {
	id           string
	version      event.Version // 0 where there is no row
	stored       event.Version // what the table has
	status       string
	customer     string
	totalCents   int64
	currency     string
	units        int64
	notes        []note // those that the batch adds
	placedAt     time.Time
	paidAt       *time.Time
	shippedAt    *time.Time
	deliveredAt  *time.Time
	cancelledAt  *time.Time
	cancelReason string
	updatedAt    time.Time

	lines   []line // all of them where lined, else unknown
	lined   bool
	relined bool
}

type line struct {
	sku, name  string
	quantity   int32
	totalCents int64
}

type note struct {
	Text    string    `json:"text"`
	NotedAt time.Time `json:"notedAt"`
	Author  string    `json:"author"`
}

func (o *order) evolve(e *event.Recorded) error {
	if o.version == 0 { // of an order whose first event was dropped, this much is known
		o.status, o.placedAt, o.lined = "placed", e.Time.UTC(), true
	}
	switch body := e.Body.(type) {
	case *orderv1.OrderPlaced:
		o.status, o.customer, o.placedAt = "placed", body.GetCustomer(), at(body.GetPlacedAt(), e)
		if body.GetNotes() != "" {
			o.note(body.GetNotes(), "", o.placedAt)
		}
		o.lines, o.lined, o.relined, o.units = nil, true, true, 0
		for _, l := range body.GetLines() {
			if err := o.addLine(l); err != nil {
				return err
			}
		}
		return o.setTotal(body.GetTotal())
	case *orderv1.LineAdded:
		if err := o.addLine(body.GetLine()); err != nil {
			return err
		}
		return o.setTotal(body.GetOrderTotal())
	case *orderv1.LineRemoved:
		o.relined = true
		o.lines = slices.DeleteFunc(o.lines, func(l line) bool {
			if l.sku != body.GetSku() {
				return false
			}
			o.units -= int64(l.quantity)
			return true
		})
		return o.setTotal(body.GetOrderTotal())
	case *orderv1.OrderPaid:
		o.status, o.paidAt = "paid", ptr(at(body.GetPaidAt(), e))
		o.customer = cmp.Or(o.customer, body.GetCustomer())
	case *orderv1.OrderShipped:
		o.status, o.shippedAt = "shipped", ptr(at(body.GetShippedAt(), e))
	case *orderv1.OrderDelivered:
		o.status, o.deliveredAt = "delivered", ptr(at(body.GetDeliveredAt(), e))
	case *orderv1.OrderCancelled:
		o.status, o.cancelReason, o.cancelledAt = "cancelled", body.GetReason(), ptr(at(body.GetCancelledAt(), e))
	case *orderv2.OrderAnnotated:
		o.note(body.GetNote().GetText(), body.GetNote().GetAuthor(), at(body.GetNote().GetNotedAt(), e))
	default:
		return fmt.Errorf("%w: the read model orders does not know %s", event.ErrUnknownType, e.Type)
	}
	return nil
}

func ptr(t time.Time) *time.Time { return &t }

func (o *order) note(text, author string, at time.Time) {
	o.notes = append(o.notes, note{Text: postgres.Text(text), Author: postgres.Text(author), NotedAt: at})
}

func (o *order) addLine(l *orderv1.LineItem) error {
	total, err := cents(l.GetTotal())
	if err != nil {
		return fmt.Errorf("line %q: %w", l.GetSku(), err)
	}
	o.relined = true
	o.lines = append(o.lines, line{sku: l.GetSku(), name: l.GetName(), quantity: l.GetQuantity(), totalCents: total})
	o.units += int64(l.GetQuantity())
	return nil
}

// ordersFold is the rows that a batch changes.
type ordersFold struct {
	byID map[event.StreamID]*order
	slab []order
}

func (f *ordersFold) row(id event.StreamID) *order {
	o := f.byID[id]
	if o == nil {
		if len(f.slab) == cap(f.slab) {
			f.slab = make([]order, 0, 256) // pointers into the old one stay good
		}
		f.slab = append(f.slab, order{id: string(id)})
		o = &f.slab[len(f.slab)-1]
		f.byID[id] = o
	}
	return o
}

// loadOrders reads the rows of the batch's streams, and the lines of those whose lines the batch changes.
func loadOrders(ctx context.Context, tx pgx.Tx, b *runner.Batch) (*ordersFold, error) {
	f := &ordersFold{byID: make(map[event.StreamID]*order, len(b.Events)), slab: make([]order, 0, min(len(b.Events), 4096))}
	for i := range b.Events {
		f.row(b.Events[i].Stream)
	}
	ids := make([]string, 0, len(f.byID))
	for id := range f.byID {
		ids = append(ids, string(id))
	}
	slices.Sort(ids)
	rows, _ := tx.Query(ctx, `SELECT id, version, status, customer, total_cents, currency, units,
		placed_at, paid_at, shipped_at, delivered_at, cancelled_at, cancel_reason
		FROM orders WHERE id = ANY($1)`, ids)
	var id string
	var read order
	_, err := pgx.ForEachRow(rows, []any{&id, &read.version, &read.status, &read.customer, &read.totalCents, &read.currency, &read.units,
		&read.placedAt, &read.paidAt, &read.shippedAt, &read.deliveredAt, &read.cancelledAt, &read.cancelReason}, func() error {
		o := f.byID[event.StreamID(id)]
		read.id, read.stored = o.id, read.version
		*o = read
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load orders: %w", err)
	}
	return f, f.loadLines(ctx, tx, b)
}

func (f *ordersFold) loadLines(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	var ids []string
	for i := range b.Events {
		switch b.Events[i].Body.(type) {
		case *orderv1.LineAdded, *orderv1.LineRemoved:
			if o := f.byID[b.Events[i].Stream]; o.stored > 0 && !o.lined {
				o.lined = true
				ids = append(ids, o.id)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	rows, _ := tx.Query(ctx, `SELECT order_id, sku, name, quantity, total_cents
		FROM order_lines WHERE order_id = ANY($1) ORDER BY order_id, position`, ids)
	var id string
	var l line
	_, err := pgx.ForEachRow(rows, []any{&id, &l.sku, &l.name, &l.quantity, &l.totalCents}, func() error {
		o := f.byID[event.StreamID(id)]
		o.lines = append(o.lines, l)
		return nil
	})
	if err != nil {
		return fmt.Errorf("load order lines: %w", err)
	}
	return nil
}

func (f *ordersFold) store(ctx context.Context, tx pgx.Tx) error {
	changed := make([]*order, 0, len(f.byID))
	for _, o := range f.byID {
		if o.version > o.stored {
			changed = append(changed, o)
		}
	}
	slices.SortFunc(changed, func(a, b *order) int { return cmp.Compare(a.id, b.id) })
	if len(changed) == 0 {
		return nil
	}
	if err := storeOrders(ctx, tx, changed); err != nil {
		return err
	}
	return storeLines(ctx, tx, changed)
}

func storeOrders(ctx context.Context, tx pgx.Tx, orders []*order) error {
	n := len(orders)
	ids, versions, statuses, customers := make([]string, n), make([]int64, n), make([]string, n), make([]string, n)
	totals, currencies, units, notes := make([]int64, n), make([]string, n), make([]int64, n), make([]string, n)
	placed, paid, shipped, delivered := make([]time.Time, n), make([]*time.Time, n), make([]*time.Time, n), make([]*time.Time, n)
	cancelled, reasons, updated := make([]*time.Time, n), make([]string, n), make([]time.Time, n)
	for i, o := range orders {
		ids[i], versions[i], statuses[i], customers[i] = o.id, int64(o.version), o.status, postgres.Text(o.customer)
		totals[i], currencies[i], units[i] = o.totalCents, postgres.Text(o.currency), o.units
		placed[i], paid[i], shipped[i], delivered[i] = o.placedAt, o.paidAt, o.shippedAt, o.deliveredAt
		cancelled[i], reasons[i], updated[i] = o.cancelledAt, postgres.Text(o.cancelReason), o.updatedAt
		notes[i] = "[]"
		if len(o.notes) > 0 {
			text, err := json.Marshal(o.notes)
			if err != nil {
				return fmt.Errorf("notes of order %s: %w", o.id, err)
			}
			notes[i] = string(text)
		}
	}
	// Only what the batch adds to the notes is passed: they are not loaded.
	_, err := tx.Exec(ctx, `INSERT INTO orders AS o (id, version, status, customer, total_cents, currency, units, notes,
			placed_at, paid_at, shipped_at, delivered_at, cancelled_at, cancel_reason, updated_at)
		SELECT id, version, status, customer, total_cents, currency, units, notes::jsonb,
			placed_at, paid_at, shipped_at, delivered_at, cancelled_at, cancel_reason, updated_at
		FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::text[],
			$9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[], $14::text[], $15::timestamptz[])
			AS u (id, version, status, customer, total_cents, currency, units, notes,
			placed_at, paid_at, shipped_at, delivered_at, cancelled_at, cancel_reason, updated_at)
		ON CONFLICT (id) DO UPDATE SET version = excluded.version, status = excluded.status, customer = excluded.customer,
			total_cents = excluded.total_cents, currency = excluded.currency, units = excluded.units,
			notes = CASE WHEN excluded.notes = '[]' THEN o.notes ELSE o.notes || excluded.notes END,
			placed_at = excluded.placed_at, paid_at = excluded.paid_at, shipped_at = excluded.shipped_at,
			delivered_at = excluded.delivered_at, cancelled_at = excluded.cancelled_at,
			cancel_reason = excluded.cancel_reason, updated_at = excluded.updated_at`,
		ids, versions, statuses, customers, totals, currencies, units, notes, placed, paid, shipped, delivered, cancelled, reasons, updated)
	if err != nil {
		return fmt.Errorf("store orders: %w", err)
	}
	return nil
}

// storeLines writes all lines of the orders whose lines changed.
func storeLines(ctx context.Context, tx pgx.Tx, orders []*order) error {
	var replaced []string
	n := 0
	for _, o := range orders {
		if !o.relined {
			continue
		}
		n += len(o.lines)
		if o.stored > 0 {
			replaced = append(replaced, o.id)
		}
	}
	if len(replaced) > 0 {
		if _, err := tx.Exec(ctx, `DELETE FROM order_lines WHERE order_id = ANY($1)`, replaced); err != nil {
			return fmt.Errorf("replace order lines: %w", err)
		}
	}
	if n == 0 {
		return nil
	}
	ids, positions, skus, names := make([]string, 0, n), make([]int32, 0, n), make([]string, 0, n), make([]string, 0, n)
	quantities, totals := make([]int32, 0, n), make([]int64, 0, n)
	for _, o := range orders {
		if !o.relined {
			continue
		}
		for i, l := range o.lines { // numbered anew, so that positions do not depend on what was removed when
			ids, positions, skus = append(ids, o.id), append(positions, int32(i+1)), append(skus, postgres.Text(l.sku))
			names, quantities, totals = append(names, postgres.Text(l.name)), append(quantities, l.quantity), append(totals, l.totalCents)
		}
	}
	if _, err := tx.Exec(ctx, `INSERT INTO order_lines (order_id, position, sku, name, quantity, total_cents)
		SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::int[], $6::bigint[])`,
		ids, positions, skus, names, quantities, totals); err != nil {
		return fmt.Errorf("store order lines: %w", err)
	}
	return nil
}

func (o *order) setTotal(m *typev1.Money) error {
	total, err := cents(m)
	if err != nil {
		return fmt.Errorf("total: %w", err)
	}
	o.totalCents, o.currency = total, m.GetCurrency()
	return nil
}
