package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/shop"
	"github.com/cqrsflow/cqrsflow/event"
)

// SQL says what the benchmark "sql" does. Zero values mean the defaults beside them.
type SQL struct {
	Run
	Orders
	// URL of a PostgreSQL database whose user may create others: the benchmark works in a database of its
	// own, removed afterwards. Required.
	URL string
}

// RunSQL measures how many orders a second the read model "orders" projects into PostgreSQL, against
// upserting the rows that result, batch by batch, and nothing else.
func RunSQL(ctx context.Context, c SQL) (*Report, error) {
	c.Run, c.Orders = c.Run.withDefaults(), c.Orders.withDefaults()
	c.Progress("making events", 0, c.Count)
	log, err := c.log()
	if err != nil {
		return nil, err
	}
	d, err := openDatabase(ctx, c.Run, c.URL)
	if err != nil {
		return nil, err
	}
	defer d.close()
	return d.throughput(ctx, c, log)
}

func (d *database) throughput(ctx context.Context, c SQL, log [][]batch) (*Report, error) {
	rows := make([][]bareRows, len(log))
	for p := range log {
		for i := range log[p] {
			r, err := bareRowsOf(log[p][i].rows)
			if err != nil {
				return nil, err
			}
			rows[p] = append(rows[p], r)
		}
	}
	inputs := c.inputs(log)
	forget(log)
	sink, err := d.store.Sink(shop.Orders{}, 1)
	if err != nil {
		return nil, err
	}
	if _, err := d.store.Pool().Exec(ctx, bareTables); err != nil {
		return nil, fmt.Errorf("make the bare loop's tables: %w", err)
	}
	ours := &side{name: "projection", run: func(ctx context.Context) (time.Duration, error) {
		if err := d.store.Reset(ctx, shop.Orders{}, 1); err != nil {
			return 0, err
		}
		d.settle(ctx)
		return project(ctx, sink, log)
	}}
	bare := &side{name: "bare upserts", run: func(ctx context.Context) (time.Duration, error) {
		if _, err := d.store.Pool().Exec(ctx, "TRUNCATE bare.orders, bare.order_lines"); err != nil {
			return 0, err
		}
		d.settle(ctx)
		began := time.Now()
		err := each(ctx, len(rows), func(ctx context.Context, p int) error {
			for i := range rows[p] {
				if err := rows[p][i].upsert(ctx, d.store.Pool()); err != nil {
					return err
				}
			}
			return nil
		})
		return time.Since(began), err
	}}
	if err := c.alternate(ctx, c.Rounds, c.Limit, c.Count, ours, bare); err != nil {
		return nil, err
	}
	inputs["rounds"] = len(ours.rates)
	r := &Report{Bench: "sql", Inputs: inputs, Ours: Figures{Rate: median(ours.rates)}, Bare: Figures{Rate: median(bare.rates)}}
	return r.finish(), nil
}

// database is a database of the benchmark's own.
type database struct {
	run   Run
	name  string
	admin *pgx.Conn
	store *postgres.Store
}

func openDatabase(ctx context.Context, run Run, at string) (d *database, err error) {
	u, err := url.Parse(at)
	if err != nil {
		return nil, fmt.Errorf("%w: the Postgres URL is no URL", event.ErrConfig) // its text may hold a password
	}
	d = &database{run: run}
	if d.admin, err = pgx.Connect(ctx, at); err != nil {
		return nil, fmt.Errorf("%w: PostgreSQL: %w", event.ErrUnavailable, err)
	}
	database := name("_")
	if _, err := d.admin.Exec(ctx, "CREATE DATABASE "+database); err != nil {
		d.close()
		return nil, fmt.Errorf("a database for the benchmark: %w", err)
	}
	d.name = database
	u.Path = "/" + database
	if err := postgres.Migrate(ctx, u.String(), shop.Orders{}); err != nil {
		d.close()
		return nil, err
	}
	if d.store, err = postgres.Open(ctx, postgres.Config{URL: u.String(), Logger: run.Logger}); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// close removes the database. It works after the benchmark was interrupted, too.
func (d *database) close() {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if d.store != nil {
		d.store.Close()
	}
	var err error
	if d.name != "" {
		_, err = d.admin.Exec(ctx, "DROP DATABASE "+d.name+" WITH (FORCE)")
	}
	if err = errors.Join(err, d.admin.Close(ctx)); err != nil {
		d.run.Logger.Warn("removing the benchmark's database", "database", d.name, "error", err)
	}
}

// settle has the server write out what the side before left unwritten, so that it is not charged to the
// next. A user who may not ask for that measures with more noise.
func (d *database) settle(ctx context.Context) { _, _ = d.store.Pool().Exec(ctx, "CHECKPOINT") }

// bareTables have the columns and the indexes of the read model's.
const bareTables = `CREATE SCHEMA bare;
	CREATE TABLE bare.orders (LIKE orders_v1.orders INCLUDING ALL);
	CREATE TABLE bare.order_lines (LIKE orders_v1.order_lines INCLUDING ALL);`

// bareRows are the rows of a batch, as arrays.
type bareRows struct {
	orders, lines []any
}

func bareRowsOf(rows []order) (bareRows, error) {
	n := len(rows)
	ids, versions, statuses, customers := make([]string, n), make([]int64, n), make([]string, n), make([]string, n)
	totals, currencies, units, notes := make([]int64, n), make([]string, n), make([]int64, n), make([]string, n)
	placed, paid, updated := make([]time.Time, n), make([]*time.Time, n), make([]time.Time, n)
	var of, skus, names []string
	var positions, quantities []int32
	var cents []int64
	for i := range rows {
		o := &rows[i]
		ids[i], versions[i], statuses[i], customers[i] = o.id, int64(o.version), "placed", o.customer
		totals[i], currencies[i], units[i], notes[i] = o.cents, "USD", o.units, "[]"
		placed[i], updated[i] = o.placed, o.recorded
		if !o.paid.IsZero() {
			statuses[i], paid[i] = "paid", &o.paid
		}
		if o.notes != "" {
			text, err := json.Marshal([]map[string]any{{"text": o.notes, "author": "", "notedAt": o.placed}})
			if err != nil {
				return bareRows{}, err
			}
			notes[i] = string(text)
		}
		if !o.fresh {
			continue
		}
		for j, l := range o.lines {
			of, positions, skus, names = append(of, o.id), append(positions, int32(j+1)), append(skus, l.GetSku()), append(names, l.GetName())
			quantities, cents = append(quantities, l.GetQuantity()), append(cents, o.lineCents[j])
		}
	}
	return bareRows{orders: []any{ids, versions, statuses, customers, totals, currencies, units, notes, placed, paid, updated},
		lines: []any{of, positions, skus, names, quantities, cents}}, nil
}

// upsert writes them in one transaction.
func (r *bareRows) upsert(ctx context.Context, pool *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO bare.orders (id, version, status, customer, total_cents, currency, units, notes,
				placed_at, paid_at, updated_at, cancel_reason)
			SELECT u.id, u.version, u.status, u.customer, u.total_cents, u.currency, u.units, u.notes::jsonb, u.placed_at, u.paid_at, u.updated_at, ''
			FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::bigint[], $8::text[],
				$9::timestamptz[], $10::timestamptz[], $11::timestamptz[])
				AS u (id, version, status, customer, total_cents, currency, units, notes, placed_at, paid_at, updated_at)
			ON CONFLICT (id) DO UPDATE SET version = excluded.version, status = excluded.status, customer = excluded.customer,
				total_cents = excluded.total_cents, currency = excluded.currency, units = excluded.units, notes = excluded.notes,
				placed_at = excluded.placed_at, paid_at = excluded.paid_at, shipped_at = excluded.shipped_at,
				delivered_at = excluded.delivered_at, cancelled_at = excluded.cancelled_at,
				cancel_reason = excluded.cancel_reason, updated_at = excluded.updated_at`, r.orders...); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO bare.order_lines (order_id, position, sku, name, quantity, total_cents)
			SELECT * FROM unnest($1::text[], $2::int[], $3::text[], $4::text[], $5::int[], $6::bigint[])
			ON CONFLICT (order_id, position) DO UPDATE SET sku = excluded.sku, name = excluded.name,
				quantity = excluded.quantity, total_cents = excluded.total_cents`, r.lines...)
		return err
	})
}
