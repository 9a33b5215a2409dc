package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

// Versions are those of one read model. They are safe for concurrent use, by several processes as well.
type Versions struct {
	store *Store
	model ReadModel
}

var _ rebuild.Store = (*Versions)(nil)

// Versions returns those of a read model, which Migrate must know, too. Errors wrap event.ErrConfig.
func (s *Store) Versions(m ReadModel) (*Versions, error) {
	if err := checkModel(m); err != nil {
		return nil, err
	}
	return &Versions{store: s, model: m}, nil
}

const versionColumns = `version, shape, state, began_at, coalesce(switched_at, '0001-01-01 00:00:00Z'),
	(SELECT count(*) FROM cqrsflow.healing h WHERE h.projection = v.projection AND h.version = v.version AND h.failed = '')`

// Versions implements rebuild.Store.
func (v *Versions) Versions(ctx context.Context) ([]rebuild.Version, error) {
	out, err := versionsOf(ctx, v.store.pool, v.model.Name())
	if err != nil {
		return nil, v.store.failed("list the versions of "+v.model.Name(), err)
	}
	return out, nil
}

type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func versionsOf(ctx context.Context, q querier, projection string) ([]rebuild.Version, error) {
	rows, _ := q.Query(ctx, `SELECT `+versionColumns+` FROM cqrsflow.versions v WHERE v.projection = $1 ORDER BY v.version`, projection)
	return pgx.CollectRows(rows, pgx.RowToStructByPos[rebuild.Version])
}

// ActiveVersion is the version of a projection that readers see; event.ErrNotFound where there is none.
func (s *Store) ActiveVersion(ctx context.Context, projection string) (int, error) {
	var v int
	err := s.pool.QueryRow(ctx, `SELECT active_version FROM cqrsflow.projections WHERE projection = $1`, projection).Scan(&v)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, fmt.Errorf("projection %s: %w", projection, event.ErrNotFound)
	case err != nil:
		return 0, s.failed("read the active version", err)
	}
	return v, nil
}

// Begin implements rebuild.Store.
func (v *Versions) Begin(ctx context.Context) (version rebuild.Version, began bool, err error) {
	err = pgx.BeginFunc(ctx, v.store.pool, func(tx pgx.Tx) error {
		all, err := v.lock(ctx, tx)
		if err != nil {
			return err
		}
		var there bool
		if version, there = rebuild.Of(all, rebuild.Building); there {
			return nil
		}
		for _, old := range all {
			if old.State == rebuild.Retired {
				if err := drop(ctx, tx, v.model.Name(), old.Number); err != nil {
					return err
				}
			}
		}
		began = true
		version, err = begun(ctx, tx, v.model)
		return err
	})
	if err != nil {
		return version, false, v.failed("begin a version", err)
	}
	return version, began, nil
}

// begun records that a version is wanted. The projection's row is locked.
func begun(ctx context.Context, tx pgx.Tx, m ReadModel) (rebuild.Version, error) {
	version := rebuild.Version{Shape: m.Shape(), State: rebuild.Building}
	err := tx.QueryRow(ctx, `WITH next AS (
			UPDATE cqrsflow.projections SET last_version = last_version + 1 WHERE projection = $1 RETURNING last_version
		)
		INSERT INTO cqrsflow.versions (projection, version, shape, state) SELECT $1, last_version, $2, 'building' FROM next
		RETURNING version, began_at`, m.Name(), m.Shape()).Scan(&version.Number, &version.Began)
	return version, err
}

// Cancel implements rebuild.Store.
func (v *Versions) Cancel(ctx context.Context) (version int, err error) {
	err = pgx.BeginFunc(ctx, v.store.pool, func(tx pgx.Tx) error {
		all, err := v.lock(ctx, tx)
		if err != nil {
			return err
		}
		building, ok := rebuild.Of(all, rebuild.Building)
		if !ok {
			return fmt.Errorf("%w: no version of %s is being built", event.ErrNotFound, v.model.Name())
		}
		version = building.Number
		return drop(ctx, tx, v.model.Name(), version)
	})
	if err != nil {
		return 0, v.failed("cancel a version", err)
	}
	return version, nil
}

// Drop implements rebuild.Store.
func (v *Versions) Drop(ctx context.Context, version int) error {
	err := pgx.BeginFunc(ctx, v.store.pool, func(tx pgx.Tx) error {
		all, err := v.lock(ctx, tx)
		if err != nil {
			return err
		}
		if err := rebuild.Droppable(all, v.model.Name(), version); err != nil {
			return err
		}
		return drop(ctx, tx, v.model.Name(), version)
	})
	if err != nil {
		return v.failed("drop a version", err)
	}
	return nil
}

// dropTimeout is how long a version's readers and writers may keep it from being dropped.
const dropTimeout = 10 * time.Second

// lock takes the projection's row, so that one at a time changes its versions, and returns them.
func (v *Versions) lock(ctx context.Context, tx pgx.Tx) ([]rebuild.Version, error) {
	if err := lockTimeout(ctx, tx, dropTimeout); err != nil {
		return nil, err
	}
	var active int
	err := tx.QueryRow(ctx, `SELECT active_version FROM cqrsflow.projections WHERE projection = $1 FOR UPDATE`, v.model.Name()).Scan(&active)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%w: there is no projection %s in this database", event.ErrNotFound, v.model.Name())
	}
	if err != nil {
		return nil, err
	}
	return versionsOf(ctx, tx, v.model.Name())
}

func lockTimeout(ctx context.Context, tx pgx.Tx, d time.Duration) error {
	_, err := tx.Exec(ctx, `SELECT set_config('lock_timeout', $1::text, true)`, fmt.Sprint(d.Milliseconds()))
	return err
}

// still waits until nobody writes a version, and keeps others from beginning until the transaction ends.
const still = `SELECT pg_advisory_xact_lock(hashtext($1::text), $2::int)`

// drop removes a version: its tables, checkpoints, pointers and marks.
func drop(ctx context.Context, tx pgx.Tx, projection string, version int) error {
	if err := forget(ctx, tx, projection, version); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM cqrsflow.versions WHERE projection = $1 AND version = $2`, projection, version); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DROP SCHEMA IF EXISTS "+quote(SchemaOf(projection, version))+" CASCADE")
	return err
}

// forget removes what the sink keeps of a version, whose writers wait.
func forget(ctx context.Context, tx pgx.Tx, projection string, version int) error {
	if _, err := tx.Exec(ctx, still, projection, version); err != nil {
		return err
	}
	for _, table := range []string{"checkpoints", "parked", "dropped", "healing"} {
		if _, err := tx.Exec(ctx, "DELETE FROM cqrsflow."+table+" WHERE projection = $1 AND version = $2", projection, version); err != nil {
			return err
		}
	}
	return nil
}

// Prepare implements rebuild.Store.
func (v *Versions) Prepare(ctx context.Context, version int) (runner.Sink, error) {
	if err := prepare(ctx, v.store.cfg, v.model, version); err != nil {
		return nil, err
	}
	return v.store.Sink(v.model, version)
}

// Places implements rebuild.Store.
func (v *Versions) Places(ctx context.Context, version int) ([]rebuild.Place, error) {
	out, err := placesOf(ctx, v.store.pool, v.model.Name(), version)
	if err != nil {
		return nil, v.store.failed("read the checkpoints of "+v.model.Name(), err)
	}
	return out, nil
}

func placesOf(ctx context.Context, q querier, projection string, version int) ([]rebuild.Place, error) {
	rows, _ := q.Query(ctx, `SELECT aggregate, source, partition, topic_id, next_offset FROM cqrsflow.checkpoints
		WHERE projection = $1 AND version = $2`, projection, version)
	return pgx.CollectRows(rows, pgx.RowToStructByPos[rebuild.Place])
}

// failed leaves the errors that are about what was asked for as they are.
func (v *Versions) failed(doing string, err error) error {
	if errors.Is(err, event.ErrNotFound) || errors.Is(err, event.ErrInvalid) {
		return err
	}
	return v.store.failed(doing+" of "+v.model.Name(), err)
}
