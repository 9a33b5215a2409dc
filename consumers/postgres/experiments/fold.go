package experiments

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/experiment"
	experimentv1 "github.com/cqrsflow/cqrsflow/schemas/experiment/v1"
)

// row is an experiment while a batch is folded into it.
type row struct {
	version, stored event.Version
	state           any
	defined         time.Time
	// parsed is the state without the outcomes since; nil until it is needed.
	parsed *experiment.State
	// plans are the documents of those that the batch has changed, by number.
	plans map[int]string
}

// fold applies events of experiments to their rows. Outcomes are added to sums.
func (m Model) fold(ctx context.Context, tx pgx.Tx, b *runner.Batch, sums *sums) error {
	rows, err := m.load(ctx, tx, b)
	if err != nil {
		return err
	}
	for i := range b.Events {
		e := &b.Events[i]
		r := rows[e.Stream]
		next, err := b.Follows(e, r.version)
		if err != nil {
			return err
		}
		if !next {
			continue
		}
		if err := m.evolve(r, e, sums); err != nil {
			return runner.Refuse(e, err)
		}
		r.version = e.Version
	}
	return m.store(ctx, tx, rows)
}

// evolve is one event more. An outcome, of which there may be many, changes no plan.
func (m Model) evolve(r *row, e *event.Recorded, sums *sums) error {
	r.state = m.Type.Evolve(r.state, e.Body)
	if r.defined.IsZero() {
		r.defined = e.RecordedTime
	}
	outcome, ok := e.Body.(*experimentv1.OutcomeRecorded)
	if ok && r.parsed != nil {
		return sums.outcome(r.parsed, outcome, e)
	}
	text, err := m.Type.Codec.JSON(r.state)
	if err != nil {
		return err
	}
	s, err := experiment.ParseState(text)
	if err != nil {
		return err
	}
	r.parsed = &s
	if ok {
		return sums.outcome(r.parsed, outcome, e)
	}
	if s.StartedAt != nil {
		r.plans[s.PlanNumber] = string(text)
	}
	return nil
}

func (m Model) load(ctx context.Context, tx pgx.Tx, b *runner.Batch) (map[event.StreamID]*row, error) {
	rows := map[event.StreamID]*row{}
	var ids []string
	for i := range b.Events {
		if id := b.Events[i].Stream; rows[id] == nil {
			rows[id] = &row{state: m.Type.Initial(), plans: map[int]string{}}
			ids = append(ids, string(id))
		}
	}
	stored, _ := tx.Query(ctx, `SELECT id, version, state, defined_at FROM experiments WHERE id = ANY($1)`, ids)
	var id string
	var version event.Version
	var state []byte
	var defined time.Time
	_, err := pgx.ForEachRow(stored, []any{&id, &version, &state, &defined}, func() (err error) {
		r := rows[event.StreamID(id)]
		r.version, r.stored, r.defined = version, version, defined
		r.state, err = m.Type.Codec.DecodeState(state)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load experiments: %w", err)
	}
	return rows, nil
}

func (m Model) store(ctx context.Context, tx pgx.Tx, rows map[event.StreamID]*row) error {
	var q pgx.Batch
	for _, id := range sortedKeys(rows) { // in one order, so that no two transactions wait for each other
		r := rows[id]
		if r.version == r.stored {
			continue
		}
		state, err := m.Type.Codec.EncodeState(nil, r.state)
		if err != nil {
			return fmt.Errorf("state of experiment %s: %w", id, err)
		}
		text, err := m.Type.Codec.JSON(r.state)
		if err != nil {
			return fmt.Errorf("state of experiment %s: %w", id, err)
		}
		q.Queue(`INSERT INTO experiments (id, version, state, document, status, defined_at) VALUES ($1, $2, $3, $4::json, $4::json->>'status', $5)
			ON CONFLICT (id) DO UPDATE SET version = excluded.version, state = excluded.state, document = excluded.document, status = excluded.status`,
			string(id), int64(r.version), state, string(text), r.defined)
		for _, n := range sortedKeys(r.plans) {
			q.Queue(`INSERT INTO experiment_plans (experiment, plan, document) VALUES ($1, $2, $3::json)
				ON CONFLICT (experiment, plan) DO UPDATE SET document = excluded.document`, string(id), n, r.plans[n])
		}
	}
	if q.Len() == 0 {
		return nil
	}
	if err := tx.SendBatch(ctx, &q).Close(); err != nil {
		return fmt.Errorf("store experiments: %w", err)
	}
	return nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
