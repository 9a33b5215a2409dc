package stats

import (
	"errors"
	"fmt"
)

// Report is an experiment's result so far.
type Report struct {
	Verdict Verdict `json:"verdict"`
	// Variant is the one that the verdict is about; empty where it is about all, or none.
	Variant string   `json:"variant,omitempty"`
	Reasons []Reason `json:"reasons"`
	// SampleRatio is the p-value of the units being divided by the weights.
	SampleRatio float64 `json:"sampleRatio"`
	// Metrics are the primary one, then the guardrails. They are there when the verdict is blocked, too, as far as they can be
	// computed: for finding out why, not for deciding.
	Metrics []MetricReport `json:"metrics"`
}

// MetricReport is one metric's.
type MetricReport struct {
	Metric   Metric          `json:"metric"`
	Variants []VariantReport `json:"variants"`
}

// VariantReport is a variant beside the control.
type VariantReport struct {
	Name string `json:"name"`
	// Difference is what the lift is: Relative, or Absolute where the control's mean is not above zero.
	Difference Difference `json:"difference"`
	Comparison
	// Adjusted is the p-value after the plan's correction; Significant says that it is below alpha; Good, that the lift is in the
	// wanted direction.
	Adjusted    float64 `json:"adjusted"`
	Significant bool    `json:"significant"`
	Good        bool    `json:"good"`
}

// Judge judges an experiment by its plan. The same data always give the same report. Errors are event.ErrInvalid and about
// the plan, or data that do not fit its variants; what is wrong with the experiment is in the report.
func Judge(p Plan, d Data) (Report, error) {
	p, err := p.withDefaults()
	if err != nil {
		return Report{}, err
	}
	if len(d.Units) != len(p.Variants) || d.Crossed < 0 {
		return Report{}, invalid("data: units of %d variants, %d crossed; the plan has %d variants", len(d.Units), d.Crossed, len(p.Variants))
	}
	blocked, ratio, err := p.health(d)
	if err != nil {
		return Report{}, err
	}
	r := Report{SampleRatio: ratio, Reasons: []Reason{}}
	metrics, incomparable, err := p.compare(d)
	if err != nil {
		return Report{}, err
	}
	r.Metrics = metrics
	if len(blocked) == 0 { // or the reason for the reason
		blocked = incomparable
	}
	if len(blocked) > 0 {
		r.Verdict, r.Reasons = Blocked, append(r.Reasons, blocked...)
		return r, nil
	}
	seen := d.Crossed
	for _, n := range d.Units {
		seen += n
	}
	p.decide(&r, seen)
	return r, nil
}

// compare compares all variants in all metrics, and corrects for how many that are.
func (p Plan) compare(d Data) (reports []MetricReport, incomparable []Reason, err error) {
	comparisons := len(p.metrics()) * (len(p.Variants) - 1)
	for _, m := range p.metrics() {
		report := MetricReport{Metric: m, Variants: []VariantReport{}}
		if moments := d.Metrics[m.Name]; len(moments) == len(p.Variants) {
			for i, v := range p.Variants[1:] {
				c, difference, err := compare(m, moments[0], moments[i+1], p.options(m, comparisons))
				if undecided(err) {
					incomparable = append(incomparable, reason(NotComparable, "%s of %s: %v", m.Name, v.Name, err))
					continue
				}
				if err != nil {
					return nil, nil, fmt.Errorf("compare %s: %w", v.Name, err)
				}
				report.Variants = append(report.Variants, VariantReport{Name: v.Name, Difference: difference, Comparison: c, Good: c.Lift != 0 && (c.Lift < 0) == m.Lower})
			}
		}
		reports = append(reports, report)
	}
	var ps []float64
	for _, m := range reports {
		for _, v := range m.Variants {
			ps = append(ps, v.P)
		}
	}
	adjusted, err := p.Correction.Adjust(ps)
	if err != nil {
		return nil, nil, err
	}
	k := 0
	for i := range reports {
		for j := range reports[i].Variants {
			v := &reports[i].Variants[j]
			v.Adjusted, v.Significant = adjusted[k], adjusted[k] < p.Alpha
			k++
		}
	}
	return reports, incomparable, nil
}

// compare is Compare for a report: the difference is absolute where there is no relative one, and where nothing differs at all
// (no errors in either variant) that is no difference, and not a fault.
func compare(m Metric, control, treatment Moments, o Options) (Comparison, Difference, error) {
	c, err := Compare(m, control, treatment, o)
	switch {
	case errors.Is(err, ErrBaseline):
		o.Difference = Absolute
		c, err = Compare(m, control, treatment, o)
		return c, Absolute, err
	case errors.Is(err, ErrNoVariance) && control.constant() && treatment.constant() && control.Mean == treatment.Mean:
		metric := estimate(m, &control, 0)
		c = Comparison{Control: metric, Treatment: metric, P: 1}
		c.Treatment.N = treatment.N
		return c, Relative, nil
	}
	return c, Relative, err
}

// decide finds the verdict of a report whose data are sound.
func (p Plan) decide(r *Report, seen int64) {
	if p.Method != Sequential && seen < p.Units {
		r.Verdict = Running
		r.Reasons = append(r.Reasons, reason(BeforeHorizon, "%d of %d planned units; the method %s has one look, at the last", seen, p.Units, p.Method))
		return
	}
	harmed := map[string]bool{}
	for _, m := range r.Metrics[1:] {
		for _, v := range m.Variants {
			if v.Significant && !v.Good {
				harmed[v.Name] = true
				r.Reasons = append(r.Reasons, reason(GuardrailWorse, "%s of %s: %s", m.Metric.Name, v.Name, v.says(p.Alpha)))
			}
		}
	}
	preferred := func(v, to *VariantReport) bool {
		if to == nil || harmed[v.Name] != harmed[to.Name] {
			return to == nil || harmed[to.Name]
		}
		return v.Lift != to.Lift && (v.Lift < to.Lift) == p.Primary.Lower
	}
	var best, worst *VariantReport
	for i := range r.Metrics[0].Variants {
		switch v := &r.Metrics[0].Variants[i]; {
		case !v.Significant:
		case v.Good:
			r.Reasons = append(r.Reasons, reason(PrimaryBetter, "%s of %s: %s", p.Primary.Name, v.Name, v.says(p.Alpha)))
			if preferred(v, best) {
				best = v
			}
		default:
			r.Reasons = append(r.Reasons, reason(PrimaryWorse, "%s of %s: %s", p.Primary.Name, v.Name, v.says(p.Alpha)))
			if worst == nil || (v.Lift > worst.Lift) == p.Primary.Lower {
				worst = v
			}
		}
	}
	switch {
	case best != nil && harmed[best.Name]:
		r.Verdict, r.Variant = Harmful, best.Name
	case best != nil:
		r.Verdict, r.Variant = Better, best.Name
	case worst != nil && len(p.Variants) == 2:
		r.Verdict, r.Variant = Worse, worst.Name
	case len(harmed) == len(p.Variants)-1:
		r.Verdict = Harmful
	case seen < p.Units:
		r.Verdict = Running
		r.Reasons = append(r.Reasons, reason(NotSignificant, "%s: not yet, at %d of %d planned units", p.Primary.Name, seen, p.Units))
	case worst != nil:
		r.Verdict, r.Variant = Worse, worst.Name
	default:
		r.Verdict = Inconclusive
		r.Reasons = append(r.Reasons, reason(NotSignificant, "%s: no variant differs from the control enough, at %d units", p.Primary.Name, seen))
	}
}

// says is a comparison in words.
func (v VariantReport) says(alpha float64) string {
	by, unit := 100.0, " %"
	if v.Difference == Absolute {
		by, unit = 1, ""
	}
	return fmt.Sprintf("%+.4g%s (%+.4g to %+.4g), adjusted p %.2g, alpha %v", by*v.Lift, unit, by*v.Low, by*v.High, v.Adjusted, alpha)
}
