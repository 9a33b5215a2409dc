// Package results says what an experiment has shown so far: it takes what was measured of units, leaves out those that cannot be
// counted, and has package stats judge the rest by the plan. The report is JSON, a table, and one page of HTML that needs nothing else.
package results

import (
	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/assign"
	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

// Seen is a unit that was seen under a plan.
type Seen struct {
	Unit string
	// Variant is one that it was seen in, Variants how many.
	Variant  string
	Variants int
}

// Value is what was measured of a unit in one metric.
type Value struct {
	Seen
	stats.Unit
	// Measured says that there was anything: a unit without counts as zero, but a variant of such units has no data.
	Measured bool
}

// Collector counts units and sums values of one plan of an experiment. One goroutine uses it.
type Collector struct {
	plan     experiment.Plan
	assigner *assign.Assigner
	place    map[string]int
	units    []int64
	crossed  int64
}

// NewCollector is for the plan of that number. Errors wrap event.ErrInvalid.
func NewCollector(id string, number int, p experiment.Plan) (*Collector, error) {
	a, err := p.Assigner(id, number)
	if err != nil {
		return nil, err
	}
	c := &Collector{plan: p, assigner: a, place: map[string]int{}, units: make([]int64, len(p.Variants))}
	for i, v := range p.Variants {
		c.place[v.Name] = i
	}
	return c, nil
}

// See counts a unit; each once.
func (c *Collector) See(s Seen) {
	if i, ok := c.in(s); ok {
		c.units[i]++
	} else {
		c.crossed++
	}
}

// in is the place of the unit's variant; false where it was seen in two, or in one that it was not given: it has crossed.
func (c *Collector) in(s Seen) (int, bool) {
	given, ok := c.assigner.Variant(s.Unit)
	return c.place[s.Variant], ok && s.Variants == 1 && given == s.Variant
}

// Moments sums up the values of a metric: of each variant in the plan's order, over all units that have not crossed. A variant of
// which nothing was measured has none. Errors wrap event.ErrInvalid.
func (c *Collector) Moments(m experiment.PlanMetric, values func(func(Value) error) error) ([]stats.Moments, error) {
	s := summing{metric: m, moments: make([]stats.Moments, len(c.units)), measured: make([]bool, len(c.units)), limits: stats.Unlimited()}
	if m.Cap > 0 {
		s.limits = stats.Above(m.Cap)
	}
	err := values(func(v Value) error {
		if i, ok := c.in(v.Seen); ok {
			s.take(i, v)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.sum()
}

// summing is one metric on its way. With a quantile for a limit, all units are kept until it is known.
type summing struct {
	metric   experiment.PlanMetric
	limits   stats.Limits
	moments  []stats.Moments
	measured []bool
	kept     []kept
}

type kept struct {
	variant int
	unit    stats.Unit
}

func (s *summing) take(variant int, v Value) {
	s.measured[variant] = s.measured[variant] || v.Measured
	u := v.Unit
	// What the metric does not use is no difference between units.
	if s.metric.Kind != stats.Ratio {
		u.Denominator, u.BeforeDenominator = 0, 0
	}
	if !s.metric.CUPED {
		u.Before, u.BeforeDenominator = 0, 0
	}
	if s.metric.Kind == stats.Conversion {
		u.Value, u.Before = has(u.Value), has(u.Before)
	}
	if s.metric.CapQuantile > 0 {
		s.kept = append(s.kept, kept{variant, u})
		return
	}
	s.add(variant, u)
}

func has(v float64) float64 {
	if v > 0 {
		return 1
	}
	return 0
}

func (s *summing) add(variant int, u stats.Unit) {
	u.Value = s.limits.Clamp(u.Value)
	s.moments[variant].Add(u)
}

func (s *summing) sum() ([]stats.Moments, error) {
	if len(s.kept) > 0 {
		values := make([]float64, len(s.kept))
		for i, k := range s.kept {
			values[i] = k.unit.Value
		}
		var err error
		if s.limits, err = stats.Percentiles(values, 0, s.metric.CapQuantile, true); err != nil {
			return nil, err
		}
		for _, k := range s.kept {
			s.add(k.variant, k.unit)
		}
	}
	for i, there := range s.measured {
		if !there {
			s.moments[i] = stats.Moments{}
		}
	}
	return s.moments, nil
}
