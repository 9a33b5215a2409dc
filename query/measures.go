package query

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/results"
)

// measuring reads what was measured under a plan, in one transaction.
type measuring struct {
	ctx   context.Context // of one call of Results
	tx    pgx.Tx
	id    string
	state *experiment.State
}

const seenUnits = `SELECT unit, min(variant) AS variant, count(DISTINCT variant) AS variants
	FROM experiment_units WHERE experiment = $1 AND plan = $2 GROUP BY unit`

func (m *measuring) units() (*results.Collector, error) {
	c, err := results.NewCollector(m.id, m.state.PlanNumber, m.state.Plan)
	if err != nil {
		return nil, err
	}
	rows, _ := m.tx.Query(m.ctx, seenUnits, m.id, m.state.PlanNumber) // its error comes back from ForEachRow
	var s results.Seen
	_, err = pgx.ForEachRow(rows, []any{&s.Unit, &s.Variant, &s.Variants}, func() error {
		c.See(s)
		return nil
	})
	return c, storeError(m.ctx, "read units", err)
}

// metricValues are all units that were seen, with what was measured of each. Nothing is joined: of tables that have just been filled
// the planner knows too little to join them well. In one order, so that the same rows give the same sums of floating-point numbers.
const metricValues = `SELECT unit, min(variant) AS variant, count(DISTINCT variant) AS variants, count(value) > 0,
		coalesce(sum(value), 0)::float8, coalesce(sum(per), 0)::float8, coalesce(sum(before), 0)::float8, coalesce(sum(before_per), 0)::float8
	FROM (
		SELECT unit, variant, NULL::numeric AS value, NULL::numeric AS per, NULL::numeric AS before, NULL::numeric AS before_per
		FROM experiment_units WHERE experiment = $1 AND plan = $2
		UNION ALL SELECT unit, NULL, total, NULL, NULL, NULL FROM experiment_measures WHERE experiment = $1 AND plan = $2 AND source = $3 AND field = $4
		UNION ALL SELECT unit, NULL, NULL, total, NULL, NULL FROM experiment_measures WHERE experiment = $1 AND plan = $2 AND source = $5 AND field = $6
		UNION ALL SELECT unit, NULL, NULL, NULL, total, NULL FROM experiment_measures WHERE experiment = $1 AND plan = $7 AND source = $3 AND field = $4
		UNION ALL SELECT unit, NULL, NULL, NULL, total, NULL FROM experiment_measures WHERE experiment = $1 AND plan = $2 AND source = 'before' AND field = $8
		UNION ALL SELECT unit, NULL, NULL, NULL, NULL, total FROM experiment_measures WHERE experiment = $1 AND plan = $7 AND source = $5 AND field = $6
		UNION ALL SELECT unit, NULL, NULL, NULL, NULL, total FROM experiment_measures WHERE experiment = $1 AND plan = $2 AND source = 'before.per' AND field = $8
	) AS parts
	GROUP BY unit HAVING count(variant) > 0 ORDER BY unit`

// values calls f with every unit and its value in a metric.
func (m *measuring) values(metric experiment.PlanMetric, f func(results.Value) error) error {
	source, field := metric.Event, metric.Field
	if source == "" {
		source, field = "posted", metric.Name
	}
	per, perField := metric.PerEvent, metric.PerField
	if per == "" {
		per, perField = "posted.per", metric.Name
	}
	rows, _ := m.tx.Query(m.ctx, metricValues, m.id, m.state.PlanNumber, source, field, per, perField, m.state.Plan.BeforePlan, metric.Name) // as above
	var v results.Value
	_, err := pgx.ForEachRow(rows, []any{&v.Seen.Unit, &v.Variant, &v.Variants, &v.Measured, &v.Value, &v.Denominator, &v.Before, &v.BeforeDenominator}, func() error {
		return f(v)
	})
	return storeError(m.ctx, "read measures", err)
}
