package stats

import "gonum.org/v1/gonum/stat/distuv"

// SampleRatio is the p-value of the variants' units being divided by the weights (Pearson's χ²): a small one says that
// assignment or counting is broken, not that a variant is better. No units at all give 1; units in a variant whose weight is
// 0 give 0. Errors are event.ErrInvalid.
func SampleRatio(units []int64, weights []float64) (float64, error) {
	if len(units) != len(weights) {
		return 0, invalid("%d counts of units and %d weights; give one of each for every variant", len(units), len(weights))
	}
	var total, weight float64
	variants := 0
	for i, w := range weights {
		if !(w >= 0) || w-w != 0 || units[i] < 0 {
			return 0, invalid("variant %d has %d units and the weight %v; neither may be negative", i, units[i], w)
		}
		if w == 0 && units[i] > 0 {
			return 0, nil
		}
		if w > 0 {
			variants++
		}
		total += float64(units[i])
		weight += w
	}
	if total == 0 || variants < 2 {
		return 1, nil
	}
	x := 0.0
	for i, w := range weights {
		if w > 0 {
			e := total * w / weight
			x += (float64(units[i]) - e) * (float64(units[i]) - e) / e
		}
	}
	return distuv.ChiSquared{K: float64(variants - 1)}.Survival(x), nil
}
