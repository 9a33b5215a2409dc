package experiments

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/experiment"
	experimentv1 "github.com/cqrsflow/cqrsflow/schemas/experiment/v1"
)

// The sources of what is not measured in events; no event type is called like that.
const (
	posted    = "posted"
	postedPer = "posted.per"
	before    = "before"
	beforePer = "before.per"
)

// sums are what a batch says of units. SQL adds them up, in decimal: the sum of amounts does not depend on the order of partitions.
type sums struct {
	partition runner.Partition
	seen      seen
	measured  measured
}

// seen are columns of experiment_units, measured those of experiment_measures.
type seen struct {
	experiments, units, variants []string
	plans                        []int32
	events                       []int64
	times                        []time.Time
}

type measured struct {
	experiments, sources, fields, units, totals []string
	plans                                       []int32
}

func newSums(p runner.Partition) *sums { return &sums{partition: p} }

// event adds one that was decided by a variant. What names no plan, or no unit, belongs to no experiment of ours.
func (s *sums) event(a event.Assignment, e *event.Recorded) {
	id, plan, ok := experiment.ParseSalt(a.Experiment)
	if !ok || event.CheckStreamID(event.StreamID(id)) != nil || event.CheckStreamID(event.StreamID(a.Unit)) != nil || plan > maxPlan {
		return
	}
	s.see(id, int32(plan), a.Unit, a.Variant, e)
	m, ok := e.Body.(proto.Message)
	if !ok {
		s.measure(id, int32(plan), e.Type, "", a.Unit, "1")
		return
	}
	// Plans name the event's type as it is today.
	typ := string(m.ProtoReflect().Descriptor().FullName())
	s.measure(id, int32(plan), typ, "", a.Unit, "1")
	numbers(m.ProtoReflect(), "", func(field, number string) { s.measure(id, int32(plan), typ, field, a.Unit, number) })
}

// maxPlan is what the column holds.
const maxPlan = 1<<31 - 1

// outcome adds a posted one. Where nothing is decided by the variants, it is also how its unit is seen.
func (s *sums) outcome(state *experiment.State, o *experimentv1.OutcomeRecorded, e *event.Recorded) error {
	id, plan := string(e.Stream), o.GetPlanNumber()
	value, per := posted, postedPer
	if o.GetBefore() {
		value, per = before, beforePer
	}
	s.measure(id, plan, value, o.GetMetric(), o.GetUnit(), decimal(o.GetValue()))
	if o.GetPer() != 0 {
		s.measure(id, plan, per, o.GetMetric(), o.GetUnit(), decimal(o.GetPer()))
	}
	if state.Plan.Aggregate != "" || o.GetBefore() {
		return nil
	}
	assigner, err := state.Plan.Assigner(id, int(plan))
	if err != nil {
		return err
	}
	if variant, ok := assigner.Variant(o.GetUnit()); ok {
		s.see(id, plan, o.GetUnit(), variant, e)
	}
	return nil
}

func (s *sums) see(id string, plan int32, unit, variant string, e *event.Recorded) {
	c := &s.seen
	c.experiments, c.plans, c.units, c.variants = append(c.experiments, id), append(c.plans, plan), append(c.units, unit), append(c.variants, variant)
	c.events, c.times = append(c.events, 1), append(c.times, e.RecordedTime)
}

func (s *sums) measure(id string, plan int32, source, field, unit, number string) {
	c := &s.measured
	c.experiments, c.plans, c.sources = append(c.experiments, id), append(c.plans, plan), append(c.sources, source)
	c.fields, c.units, c.totals = append(c.fields, field), append(c.units, unit), append(c.totals, number)
}

// store adds everything to what is there.
func (s *sums) store(ctx context.Context, tx pgx.Tx) error {
	if c := &s.seen; len(c.units) > 0 {
		if _, err := tx.Exec(ctx, `INSERT INTO experiment_units AS t (experiment, plan, unit, variant, aggregate, partition, events, first_seen, last_seen)
			SELECT experiment, plan, unit, variant, $1, $2, sum(events), min(seen), max(seen)
			FROM unnest($3::text[], $4::integer[], $5::text[], $6::text[], $7::bigint[], $8::timestamptz[]) AS u (experiment, plan, unit, variant, events, seen)
			GROUP BY experiment, plan, unit, variant
			ON CONFLICT (experiment, plan, unit, variant, aggregate, partition) DO UPDATE SET events = t.events + excluded.events,
				first_seen = least(t.first_seen, excluded.first_seen), last_seen = greatest(t.last_seen, excluded.last_seen)`,
			s.partition.Aggregate, s.partition.Number, c.experiments, c.plans, c.units, c.variants, c.events, c.times); err != nil {
			return fmt.Errorf("add units of experiments: %w", err)
		}
	}
	if c := &s.measured; len(c.units) > 0 {
		if _, err := tx.Exec(ctx, `INSERT INTO experiment_measures AS t (experiment, plan, source, field, unit, aggregate, partition, total)
			SELECT experiment, plan, source, field, unit, $1, $2, sum(total)
			FROM unnest($3::text[], $4::integer[], $5::text[], $6::text[], $7::text[], $8::numeric[]) AS u (experiment, plan, source, field, unit, total)
			GROUP BY experiment, plan, source, field, unit
			ON CONFLICT (experiment, plan, source, field, unit, aggregate, partition) DO UPDATE SET total = t.total + excluded.total`,
			s.partition.Aggregate, s.partition.Number, c.experiments, c.plans, c.sources, c.fields, c.units, c.totals); err != nil {
			return fmt.Errorf("add measures of experiments: %w", err)
		}
	}
	return nil
}
