package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
)

// errBehind ends a transaction that cannot switch yet.
var errBehind = errors.New("not caught up")

// Switch implements rebuild.Store. The old version's writers wait while it is compared, for rebuild.Patience
// at most; readers wait while the views change.
func (v *Versions) Switch(ctx context.Context, version int, ends rebuild.Ends) (switched bool, err error) {
	near, active, err := v.near(ctx, version, ends)
	if err != nil || active || !near {
		return active, err
	}
	err = pgx.BeginFunc(ctx, v.store.pool, func(tx pgx.Tx) error {
		all, err := v.lock(ctx, tx)
		if err != nil {
			return err
		}
		building, ok := rebuild.Of(all, rebuild.Building)
		old, _ := rebuild.Of(all, rebuild.Active)
		if !ok || building.Number != version {
			switched = old.Number == version // by another process
			return errBehind
		}
		if err := lockTimeout(ctx, tx, rebuild.Patience); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, still, v.model.Name(), old.Number); err != nil {
			return err
		}
		places, err := placesOf(ctx, tx, v.model.Name(), old.Number)
		if err != nil {
			return err
		}
		caught, err := rebuild.Await(ctx, ends, places, func(ctx context.Context) ([]rebuild.Place, error) { return v.Places(ctx, version) })
		if err != nil {
			return err
		}
		if !caught {
			return errBehind
		}
		return v.activate(ctx, tx, old.Number, version)
	})
	switch {
	case errors.Is(err, errBehind), timedOut(err):
		return switched, nil
	case err != nil:
		return false, v.failed(fmt.Sprintf("switch readers to version %d", version), err)
	}
	v.store.notify.moved(v.model.Name()) // those who wait for the new one's checkpoints
	return true, nil
}

// near looks whether it is worth while to hold the old version still; active says that it has been done.
func (v *Versions) near(ctx context.Context, version int, ends rebuild.Ends) (near, active bool, err error) {
	all, err := v.Versions(ctx)
	if err != nil {
		return false, false, err
	}
	old, _ := rebuild.Of(all, rebuild.Active)
	if old.Number == version {
		return false, true, nil
	}
	log, err := ends(ctx)
	if err != nil {
		return false, false, err
	}
	before, err := v.Places(ctx, old.Number)
	if err != nil {
		return false, false, err
	}
	now, err := v.Places(ctx, version)
	return err == nil && rebuild.CaughtUp(log, before, now, rebuild.Near), false, err
}

func (v *Versions) activate(ctx context.Context, tx pgx.Tx, old, version int) error {
	for _, s := range []struct {
		sql  string
		args []any
	}{
		{`UPDATE cqrsflow.versions SET state = 'retired' WHERE projection = $1 AND version = $2`, []any{v.model.Name(), old}},
		{`UPDATE cqrsflow.versions SET state = 'active', switched_at = now() WHERE projection = $1 AND version = $2`, []any{v.model.Name(), version}},
		{`UPDATE cqrsflow.projections SET active_version = $2 WHERE projection = $1`, []any{v.model.Name(), version}},
	} {
		if _, err := tx.Exec(ctx, s.sql, s.args...); err != nil {
			return err
		}
	}
	return showPatiently(ctx, tx, v.model, version)
}

// How often, and for how long at a time, a switch waits for queries that have locked a view. A query that
// needs two views could wait for the switch while the switch waits for it; PostgreSQL would find that out
// after a second, and end either of them. The switch gives in long before.
const (
	viewAttempts = 20
	viewTimeout  = 100 * time.Millisecond
)

func showPatiently(ctx context.Context, tx pgx.Tx, m ReadModel, version int) error {
	if err := lockTimeout(ctx, tx, viewTimeout); err != nil {
		return err
	}
	for attempt := 1; ; attempt++ {
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return show(ctx, tx, m, version) }) // a savepoint
		if !timedOut(err) || attempt == viewAttempts {
			return err
		}
		if err := sleep(ctx, viewTimeout/4); err != nil {
			return err
		}
	}
}

// show makes the model's views, in place of those of another version. Readers see the one or the other: it
// is all one transaction. Views are replaced where they can be, so that what was granted on them and what
// others have built on them stays; not so where columns change.
func show(ctx context.Context, tx pgx.Tx, m ReadModel, version int) error {
	schema := quote(SchemaOf(m.Name(), version))
	for _, view := range viewNames(m) {
		of := fmt.Sprintf("VIEW public.%s AS SELECT * FROM %s.%s", quote(view), schema, quote(m.Views()[view]))
		err := pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, "CREATE OR REPLACE "+of)
			return err
		})
		if hasCode(err, "42P16") { // invalid_table_definition
			if _, err = tx.Exec(ctx, "DROP VIEW public."+quote(view)); err == nil {
				_, err = tx.Exec(ctx, "CREATE "+of)
			}
		}
		if err != nil {
			return fmt.Errorf("view %s: %w", view, err)
		}
	}
	return nil
}

func timedOut(err error) bool { return hasCode(err, "55P03") } // lock_not_available

func hasCode(err error, code string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == code
}
