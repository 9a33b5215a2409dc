package stats

import (
	"math"
	"slices"
)

// Limits are between which values are kept when metrics are winsorised: what is beyond is counted as the limit, so that one
// enormous order does not decide. The same limits must serve all variants, or they make a difference of their own.
type Limits struct {
	Low, High float64
}

// Unlimited changes nothing.
func Unlimited() Limits { return Limits{math.Inf(-1), math.Inf(1)} }

// Above keeps values up to an absolute limit.
func Above(high float64) Limits { return Limits{math.Inf(-1), high} }

// Clamp is the value within the limits. The zero value of Limits makes everything zero: begin with Unlimited.
func (l Limits) Clamp(v float64) float64 { return max(l.Low, min(l.High, v)) }

// Percentiles are the limits at two quantiles, from 0 to 1, of the values of all variants' units together: (0, 0.99) limits
// the upper hundredth. withoutZeros leaves out zeros, which most units of a purchase have. Quantiles lie linearly between
// values, as in numpy and SQL's percentile_cont. No values: Unlimited. values is not changed. Errors are event.ErrInvalid.
func Percentiles(values []float64, low, high float64, withoutZeros bool) (Limits, error) {
	if !(low >= 0 && low < high && high <= 1) {
		return Limits{}, invalid("percentiles are %v and %v; give 0 ≤ low < high ≤ 1", low, high)
	}
	sorted := make([]float64, 0, len(values))
	for i, v := range values {
		if math.IsNaN(v) {
			return Limits{}, invalid("value %d is not a number", i)
		}
		if v != 0 || !withoutZeros {
			sorted = append(sorted, v)
		}
	}
	l := Unlimited()
	if len(sorted) == 0 {
		return l, nil
	}
	slices.Sort(sorted)
	if low > 0 {
		l.Low = quantile(sorted, low)
	}
	if high < 1 {
		l.High = quantile(sorted, high)
	}
	return l, nil
}

// quantile of values in ascending order, at least one: linearly between the two beside it (Hyndman and Fan's type 7).
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
