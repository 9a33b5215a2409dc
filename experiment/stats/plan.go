package stats

import "slices"

// Variant is a version that units were assigned to.
type Variant struct {
	Name string `json:"name"`
	// Weight is its part of the units, of the sum of all weights.
	Weight float64 `json:"weight"`
}

// Plan is what was decided before the first unit came. It does not change afterwards: looking at results and then
// choosing metric, method or size finds what is not there.
type Plan struct {
	// Variants are at least two; the first is the control.
	Variants []Variant `json:"variants"`
	// Primary is the metric that decides; Guardrails are those that must not become worse. Names differ.
	Primary    Metric   `json:"primary"`
	Guardrails []Metric `json:"guardrails,omitempty"`
	// Method is Fixed (the zero value), Proportions, where Fixed serves what is no conversion, or Sequential.
	Method Method `json:"method,omitempty"`
	// Alpha is for all comparisons together, as Correction says; 0 means DefaultAlpha.
	Alpha      float64    `json:"alpha,omitempty"`
	Correction Correction `json:"correction,omitempty"`
	// Tuning is for Sequential, in units; 0 means DefaultTuning.
	Tuning float64 `json:"tuning,omitempty"`
	// Units is how many units of all variants the experiment is planned for, as Design computes: before, a method with one look
	// has no verdict; then, what is not significant is inconclusive. Above 0.
	Units int64 `json:"units"`
	// MinUnits is the fewest units of each variant that weighs something: below there is no verdict; 0 means DefaultMinUnits.
	MinUnits int64 `json:"minUnits,omitempty"`
	// MaxCrossed is the share of units that may have been seen in two variants. 0 means none: assignment is a pure
	// function of the unit, so one that crosses is a fault.
	MaxCrossed float64 `json:"maxCrossed,omitempty"`
}

// DefaultMinUnits is the fewest units of a variant: where the normal approximation of skewed metrics begins to hold.
const DefaultMinUnits = 100

// MismatchAlpha is the p-value of SampleRatio below which the division of the units is wrong.
const MismatchAlpha = 0.001

// Verdict is what an experiment says.
type Verdict string

// The verdicts.
const (
	// Blocked: the numbers cannot be trusted; Reasons say why.
	Blocked Verdict = "blocked"
	// Running: too early to tell.
	Running Verdict = "running"
	// Better: a variant's primary metric is better than the control's, and no guardrail is worse.
	Better Verdict = "better"
	// Worse: no variant is better, and one is worse.
	Worse Verdict = "worse"
	// Harmful: a guardrail became worse, in the variant that would be better or in all.
	Harmful Verdict = "harmful"
	// Inconclusive: all planned units have been seen, and nothing is significant.
	Inconclusive Verdict = "inconclusive"
)

// withDefaults checks the plan; errors are event.ErrInvalid.
func (p Plan) withDefaults() (Plan, error) {
	def(&p.MinUnits, DefaultMinUnits)
	if len(p.Variants) < 2 {
		return p, invalid("plan: %d variants; give a control and at least one other", len(p.Variants))
	}
	for i, v := range p.Variants {
		switch {
		case v.Name == "" || slices.ContainsFunc(p.Variants[:i], func(w Variant) bool { return w.Name == v.Name }):
			return p, invalid("plan: variants[%d] is called %q; give each a name of its own", i, v.Name)
		case !(v.Weight > 0) || v.Weight-v.Weight != 0:
			return p, invalid("plan: variants[%d] (%s) weighs %v; above 0", i, v.Name, v.Weight)
		}
	}
	metrics := p.metrics()
	for i, m := range metrics {
		if m.Name == "" || slices.ContainsFunc(metrics[:i], func(n Metric) bool { return n.Name == m.Name }) {
			return p, invalid("plan: metric %d is called %q; give each a name of its own", i, m.Name)
		}
		if err := m.validate(); err != nil {
			return p, err
		}
	}
	switch {
	case p.Units < 1:
		return p, invalid("plan: units is %d; give the number that the design computes", p.Units)
	case p.MinUnits < 2:
		return p, invalid("plan: minUnits is %d; at least 2", p.MinUnits)
	case !(p.MaxCrossed >= 0 && p.MaxCrossed < 1):
		return p, invalid("plan: maxCrossed is %v; a share from 0, below 1", p.MaxCrossed)
	case p.Method == Proportions && (p.Primary.Kind != Conversion || p.Primary.CUPED):
		return p, invalid("plan: the method proportions is for a conversion without CUPED, and %q is not; take fixed", p.Primary.Name)
	}
	if _, err := p.Correction.Adjust(nil); err != nil {
		return p, err
	}
	o, err := Options{Method: p.Method, Alpha: p.Alpha, Tuning: p.Tuning}.withDefaults()
	p.Method, p.Alpha, p.Tuning = o.Method, o.Alpha, o.Tuning
	return p, err
}

// metrics are the primary one, then the guardrails.
func (p Plan) metrics() []Metric { return append([]Metric{p.Primary}, p.Guardrails...) }

// options are those of a metric's comparisons, of which there are so many in all.
func (p Plan) options(m Metric, comparisons int) Options {
	o := Options{Method: p.Method, Alpha: p.Alpha, Tuning: p.Tuning}
	if o.Method == Proportions && (m.Kind != Conversion || m.CUPED) {
		o.Method = Fixed
	}
	if p.Correction == Bonferroni {
		o.Alpha /= float64(comparisons)
	}
	return o
}
