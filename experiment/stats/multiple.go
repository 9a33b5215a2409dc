package stats

import (
	"cmp"
	"math"
	"slices"
)

// Correction says how p-values of several comparisons are adjusted, so that looking at many does not find what is not there.
type Correction string

// The corrections. Holm is the zero value's.
const (
	// Holm keeps the chance of one false finding among all at α, as Bonferroni does, and finds more.
	Holm Correction = "holm"
	// Bonferroni multiplies each p-value by their number; intervals can be widened likewise.
	Bonferroni Correction = "bonferroni"
	// BenjaminiHochberg keeps the expected share of false ones among the findings at α.
	BenjaminiHochberg Correction = "benjamini-hochberg"
	// Uncorrected adjusts nothing.
	Uncorrected Correction = "none"
)

// Adjust adjusts p-values: what is below α afterwards is significant. The order is that of p, which is not changed.
// Errors are event.ErrInvalid: p-values outside of [0, 1], an unknown correction.
func (c Correction) Adjust(p []float64) ([]float64, error) {
	for i, x := range p {
		if !(x >= 0 && x <= 1) {
			return nil, invalid("p-value %d is %v; from 0 to 1", i, x)
		}
	}
	out, m := slices.Clone(p), len(p)
	ascending := make([]int, m) // places in p
	for i := range ascending {
		ascending[i] = i
	}
	slices.SortStableFunc(ascending, func(a, b int) int { return cmp.Compare(p[a], p[b]) })
	switch c {
	case "", Holm: // the smallest by m, the next by m−1 …, none smaller than the one before (Holm 1979)
		top := 0.0
		for rank, i := range ascending {
			top = max(top, min(1, p[i]*float64(m-rank)))
			out[i] = top
		}
	case Bonferroni:
		for i := range out {
			out[i] = min(1, p[i]*float64(m))
		}
	case BenjaminiHochberg: // by m/rank, none larger than the one after (Benjamini and Hochberg 1995)
		low := math.Inf(1)
		for rank, i := range slices.Backward(ascending) {
			low = min(low, p[i]*float64(m)/float64(rank+1))
			out[i] = low
		}
	case Uncorrected:
	default:
		return nil, invalid("correction is %q; give holm, bonferroni, benjamini-hochberg or none", c)
	}
	return out, nil
}
