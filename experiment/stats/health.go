package stats

import "fmt"

// Reason says why there is no verdict, or what it rests on. Code is stable.
type Reason struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// The codes that block a verdict.
const (
	// SampleRatioMismatch: the units are not divided as the weights say.
	SampleRatioMismatch = "sample_ratio_mismatch"
	// Crossover: units were seen in two variants.
	Crossover = "crossover"
	// TooFewUnits: a variant has fewer than Plan.MinUnits.
	TooFewUnits = "too_few_units"
	// MetricMissing: a metric of the plan has no moments, or not of all variants.
	MetricMissing = "metric_missing"
	// MetricIncomplete: a metric's moments are of other units than were assigned; those without anything count as zero.
	MetricIncomplete = "metric_incomplete"
	// NotComparable: the units of each variant are alike in a metric, but the variants differ; or its moments are impossible.
	NotComparable = "not_comparable"
)

// The codes of verdicts that are not blocked.
const (
	// BeforeHorizon: the planned units have not been seen, and the method has one look.
	BeforeHorizon = "before_horizon"
	// NotSignificant: no difference of the primary metric is significant.
	NotSignificant = "not_significant"
	// PrimaryBetter and PrimaryWorse: the primary metric's difference is significant.
	PrimaryBetter = "primary_better"
	PrimaryWorse  = "primary_worse"
	// GuardrailWorse: a guardrail's difference is significant, to the worse.
	GuardrailWorse = "guardrail_worse"
)

func reason(code, format string, args ...any) Reason {
	return Reason{code, fmt.Sprintf(format, args...)}
}

// Data is what has been seen of an experiment so far.
type Data struct {
	// Units are how many units were assigned and seen, of each variant in the plan's order. Units that crossed are in none.
	Units []int64 `json:"units"`
	// Crossed is how many units were seen in two variants.
	Crossed int64 `json:"crossed"`
	// Metrics are the moments of each metric by its name, of each variant in the plan's order, over all its Units.
	Metrics map[string][]Moments `json:"metrics"`
}

// health lists what is wrong with the data, and gives SampleRatio's p-value.
func (p Plan) health(d Data) (reasons []Reason, ratio float64, err error) {
	weights := make([]float64, len(p.Variants))
	total := d.Crossed
	for i, v := range p.Variants {
		weights[i] = v.Weight
		total += d.Units[i]
		if d.Units[i] < p.MinUnits {
			reasons = append(reasons, reason(TooFewUnits, "%s has %d units, and at least %d are needed", v.Name, d.Units[i], p.MinUnits))
		}
	}
	if ratio, err = SampleRatio(d.Units, weights); err != nil {
		return nil, 0, err
	}
	if ratio < MismatchAlpha {
		reasons = append(reasons, reason(SampleRatioMismatch, "units %v by weights %v: p = %.2g; find out which units are lost or counted twice", d.Units, weights, ratio))
	}
	if float64(d.Crossed) > p.MaxCrossed*float64(total) {
		reasons = append(reasons, reason(Crossover, "%d of %d units were seen in two variants, and %v of them may be", d.Crossed, total, p.MaxCrossed))
	}
	for _, m := range p.metrics() {
		moments := d.Metrics[m.Name]
		if len(moments) != len(p.Variants) {
			reasons = append(reasons, reason(MetricMissing, "%s has data of %d variants, and there are %d", m.Name, len(moments), len(p.Variants)))
			continue
		}
		for i, v := range p.Variants {
			switch n := moments[i].N; {
			case n == 0 && d.Units[i] > 0:
				reasons = append(reasons, reason(MetricMissing, "%s has no data of %s", m.Name, v.Name))
			case n != d.Units[i]:
				reasons = append(reasons, reason(MetricIncomplete, "%s has %d units of %s, which was given to %d", m.Name, n, v.Name, d.Units[i]))
			}
		}
	}
	return reasons, ratio, nil
}
