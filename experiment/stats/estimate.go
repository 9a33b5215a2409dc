package stats

import "fmt"

// Estimate is a metric of one variant.
type Estimate struct {
	// N is the number of units.
	N int64 `json:"n"`
	// Mean is the metric as a reader knows it; Adjusted is it after CUPED, which only serves to be compared (the same without).
	Mean     float64 `json:"mean"`
	Adjusted float64 `json:"adjusted"`
	// Variance is that of one unit: by N it is the variance of Mean, or of Adjusted where CUPED is.
	Variance float64 `json:"variance"`
}

// of is Variance by N: the square of the standard error.
func (e Estimate) of() float64 { return e.Variance / float64(e.N) }

// estimates are those of a control and a treatment, and CUPED's coefficient: zero without it, and where what was before says nothing.
func estimates(metric Metric, control, treatment *Moments) (c, t Estimate, theta float64, err error) {
	if err = metric.validate(); err != nil {
		return c, t, 0, err
	}
	for i, s := range []*Moments{control, treatment} {
		name := [...]string{"control", "treatment"}[i]
		switch {
		case !s.finite():
			return c, t, 0, invalid("metric %q of the %s: its moments are not all numbers; look for units with NaN or infinity", metric.Name, name)
		case s.N < 2:
			return c, t, 0, fmt.Errorf("%w: metric %q of the %s has %d", ErrTooFew, metric.Name, name, s.N)
		case metric.Kind == Ratio && s.Mean[denominator] == 0:
			return c, t, 0, fmt.Errorf("%w: metric %q of the %s: the denominator is zero in all units", ErrNoVariance, metric.Name, name)
		}
	}
	if metric.CUPED {
		theta = coefficient(metric, control, treatment)
	}
	c, t = estimate(metric, control, theta), estimate(metric, treatment, theta)
	// One of them may be constant: no errors in the control, and some in the treatment.
	if !(c.Variance >= 0 && t.Variance >= 0 && c.Variance+t.Variance > 0) {
		return c, t, theta, fmt.Errorf("%w: metric %q: %v in the control, %v in the treatment", ErrNoVariance, metric.Name, c.Variance, t.Variance)
	}
	return c, t, theta, nil
}

// estimate is that of one variant, given CUPED's coefficient.
func estimate(metric Metric, s *Moments, theta float64) Estimate {
	now := metric.term(s, value, denominator)
	e := Estimate{N: s.N, Mean: now.mean, Adjusted: now.mean, Variance: metric.covariance(s, now, now)}
	if theta != 0 {
		was := metric.term(s, before, beforeDenominator)
		e.Adjusted -= theta * was.mean
		e.Variance += theta*theta*metric.covariance(s, was, was) - 2*theta*metric.covariance(s, now, was)
	}
	return e
}

// coefficient is θ = cov(now, before) / var(before) of both variants' units together: one for both, so that what they had
// before cannot make a difference between them.
func coefficient(metric Metric, control, treatment *Moments) float64 {
	all := *control
	all.Merge(*treatment)
	if metric.Kind == Ratio && all.Mean[beforeDenominator] == 0 {
		return 0
	}
	now, was := metric.term(&all, value, denominator), metric.term(&all, before, beforeDenominator)
	v := metric.covariance(&all, was, was)
	if v <= 0 || metric.covariance(&all, now, now) <= 0 {
		return 0
	}
	return metric.covariance(&all, now, was) / v
}

// term is a mean, or a ratio of means, near its value linear in the units': Σ weight·value (the delta method).
type term struct {
	mean    float64
	columns [2]int
	weights [2]float64
}

// term is the metric of those columns: the ratio's y/x has the derivatives 1/x̄ and −ȳ/x̄².
func (m Metric) term(s *Moments, y, x int) term {
	if m.Kind != Ratio {
		return term{mean: s.Mean[y], columns: [2]int{y, x}, weights: [2]float64{1, 0}}
	}
	if s.Mean[x] == 0 {
		return term{columns: [2]int{y, x}}
	}
	return term{mean: s.Mean[y] / s.Mean[x], columns: [2]int{y, x}, weights: [2]float64{1 / s.Mean[x], -s.Mean[y] / (s.Mean[x] * s.Mean[x])}}
}

func (m Metric) covariance(s *Moments, a, b term) float64 {
	sum := 0.0
	for i, wa := range a.weights {
		for j, wb := range b.weights {
			if wa != 0 && wb != 0 {
				sum += wa * wb * m.cov(s, a.columns[i], b.columns[j])
			}
		}
	}
	return sum
}
