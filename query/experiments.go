package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/results"
	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

// ExperimentsModel is the read model of Experiments. It reads every aggregate type whose variants can be tried.
var ExperimentsModel = Model{Name: "experiments", Aggregates: []string{"experiment", "order", "customer"}}

// Experiment is a row of the read model experiments.
type Experiment struct {
	ID      string
	Version event.Version
	// Document is the state as the aggregate's codec renders it.
	Document []byte
	// DefinedAt is when it got its first plan.
	DefinedAt time.Time
	// Parked says that the projection has set the stream's latest events aside.
	Parked bool
}

// Experiments reads the read model experiments.
type Experiments struct{ pool *pgxpool.Pool }

// NewExperiments reads through the pool.
func NewExperiments(pool *pgxpool.Pool) *Experiments { return &Experiments{pool: pool} }

// ExperimentFilter says which experiments to list.
type ExperimentFilter struct {
	// Status is defined, running, stopped or decided; empty is any.
	Status string
	Limit  int
	Cursor string
}

var experimentsSelect = "SELECT e.id, e.version, e.document::text, e.defined_at, " +
	fmt.Sprintf(parkedIn, "'experiments'", "e.id", "'experiment'") + " FROM experiments e "

// Get returns an experiment, or event.ErrNotFound.
func (q *Experiments) Get(ctx context.Context, id event.StreamID) (Experiment, error) {
	list, err := q.read(ctx, experimentsSelect+`WHERE e.id = $1`, string(id))
	switch {
	case err != nil:
		return Experiment{}, fmt.Errorf("experiment %s: %w", id, err)
	case len(list) == 0:
		return Experiment{}, fmt.Errorf("experiment %s: %w", id, event.ErrNotFound)
	}
	return list[0], nil
}

// List returns a page of experiments, the latest first. A cursor from elsewhere is ErrBadCursor.
func (q *Experiments) List(ctx context.Context, f ExperimentFilter) (Page[Experiment], error) {
	by := order{key: sortKey{column: "e.defined_at", cast: "timestamptz"}, desc: true}
	hash := fingerprint("experiments", f.Status)
	var w where
	if f.Status != "" {
		w.add("e.status = ?", f.Status)
	}
	if f.Cursor != "" {
		c, err := parseCursor(f.Cursor, hash, by.key)
		if err != nil {
			return Page[Experiment]{}, err
		}
		by.after(c, "e.id", &w)
	}
	list, err := q.read(ctx, fmt.Sprintf("%s %s ORDER BY %s LIMIT %s", experimentsSelect, &w, by.by("e.id"), w.arg(f.Limit+1)), w.args...)
	if err != nil {
		return Page[Experiment]{}, fmt.Errorf("list experiments: %w", err)
	}
	return page(list, f.Limit, hash, func(e Experiment) (string, string) { return e.DefinedAt.UTC().Format(time.RFC3339Nano), e.ID }), nil
}

func (q *Experiments) read(ctx context.Context, sql string, args ...any) ([]Experiment, error) {
	rows, _ := q.pool.Query(ctx, sql, args...) // its error comes back from CollectRows
	out, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Experiment, error) {
		var e Experiment
		var document string
		err := row.Scan(&e.ID, &e.Version, &document, &e.DefinedAt, &e.Parked)
		e.Document = []byte(document)
		return e, err
	})
	return out, storeError(ctx, "read experiments", err)
}

// Results judges an experiment by what has been measured so far; plan is the number of an earlier plan, or 0 for the one that it has
// now. event.ErrNotFound where there is no such experiment, or no such plan was started.
func (q *Experiments) Results(ctx context.Context, id event.StreamID, plan int) (r *results.Report, err error) {
	// One snapshot of everything: units that come meanwhile are in all numbers, or in none.
	tx, err := q.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return nil, storeError(ctx, "read results", err)
	}
	defer func() { err = errors.Join(err, ignoreDone(tx.Rollback(context.WithoutCancel(ctx)))) }()
	s, err := stateOf(ctx, tx, id, plan)
	if err != nil {
		return nil, fmt.Errorf("results of experiment %s: %w", id, err)
	}
	m := measuring{ctx: ctx, tx: tx, id: string(id), state: &s}
	c, err := m.units()
	if err != nil {
		return nil, fmt.Errorf("results of experiment %s: %w", id, err)
	}
	moments := map[string][]stats.Moments{}
	for _, metric := range s.Plan.Metrics() {
		if moments[metric.Name], err = c.Moments(metric, func(f func(results.Value) error) error { return m.values(metric, f) }); err != nil {
			return nil, fmt.Errorf("metric %s of experiment %s: %w", metric.Name, id, err)
		}
	}
	return results.New(string(id), s, c, moments)
}

func ignoreDone(err error) error {
	if errors.Is(err, pgx.ErrTxClosed) {
		return nil
	}
	return err
}

// stateOf is the state under a plan: the present one, or as it was when an earlier plan ended.
func stateOf(ctx context.Context, tx pgx.Tx, id event.StreamID, plan int) (experiment.State, error) {
	var document string
	err := tx.QueryRow(ctx, `SELECT document::text FROM experiments WHERE id = $1 AND ($2 = 0 OR (document->>'planNumber')::integer = $2)
		UNION ALL SELECT document::text FROM experiment_plans WHERE experiment = $1 AND plan = $2 LIMIT 1`, string(id), plan).Scan(&document)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return experiment.State{}, event.ErrNotFound
	case err != nil:
		return experiment.State{}, storeError(ctx, "read an experiment", err)
	}
	return experiment.ParseState([]byte(document))
}
