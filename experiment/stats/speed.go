package stats

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Durations are what the same piece of work took under both versions, measured beside each other, in any one unit of time,
// or allocations: both above zero.
type Durations struct{ Control, Candidate float64 }

// Interval is a number and between which it lies.
type Interval struct {
	Value float64 `json:"value"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

// Speed compares durations. All ratios are candidate by control: 1.10 is a tenth slower.
type Speed struct {
	Pairs int `json:"pairs"`
	// Ratio is the median of the ratios of the pairs. A machine that is busy for a while slows both of a pair, and a pause
	// that hits one of them is one outlier, so this is the number to set a threshold on.
	Ratio Interval `json:"ratio"`
	// Slower is the share of pairs in which the candidate took longer, ties by half.
	Slower float64 `json:"slower"`
	// P50 and P99 are the ratios of the versions' own quantiles.
	P50 Interval `json:"p50"`
	P99 Interval `json:"p99"`
	// Control and Candidate are those quantiles, in the unit of the durations.
	Control   Quantiles `json:"control"`
	Candidate Quantiles `json:"candidate"`
}

// Quantiles of durations.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

const (
	// minPairs is the fewest for which an interval of the median at 5 % exists.
	minPairs = 6
	// resamples and resampled bound the bootstrap: a thousand draws of at most so many pairs.
	resamples = 1000
	resampled = 10_000
)

// CompareSpeed compares durations that were measured in pairs. The interval of Ratio is exact and assumes nothing of how durations
// are distributed (order statistics, the sign test's); those of P50 and P99 are the percentile bootstrap's of whole
// pairs, seeded, so that the same durations give the same report. alpha 0 means DefaultAlpha. It needs at least 6 pairs,
// and more where alpha is smaller. Errors are event.ErrInvalid.
func CompareSpeed(pairs []Durations, alpha float64, seed uint64) (Speed, error) {
	o, err := Options{Alpha: alpha}.withDefaults()
	if err != nil {
		return Speed{}, err
	}
	ratios, control, candidate := make([]float64, len(pairs)), make([]float64, len(pairs)), make([]float64, len(pairs))
	slower := 0.0
	for i, d := range pairs {
		if !(d.Control > 0) || !(d.Candidate > 0) || math.IsInf(d.Control, 0) || math.IsInf(d.Candidate, 0) {
			return Speed{}, invalid("pair %d took %v and %v; durations are above zero", i, d.Control, d.Candidate)
		}
		control[i], candidate[i], ratios[i] = d.Control, d.Candidate, d.Candidate/d.Control
		switch {
		case d.Candidate > d.Control:
			slower++
		case d.Candidate == d.Control:
			slower += 0.5
		}
	}
	rank := medianRank(len(pairs), o.Alpha)
	if len(pairs) < minPairs || rank == 0 {
		return Speed{}, fmt.Errorf("%w: %d pairs are too few for an interval at alpha %v; measure more", ErrTooFew, len(pairs), o.Alpha)
	}
	for _, x := range [][]float64{ratios, control, candidate} {
		slices.Sort(x)
	}
	s := Speed{
		Pairs: len(pairs), Slower: slower / float64(len(pairs)),
		Ratio:   Interval{quantile(ratios, 0.5), ratios[rank-1], ratios[len(ratios)-rank]},
		Control: quantilesOf(control), Candidate: quantilesOf(candidate),
	}
	p50, p99 := bootstrapQuantiles(pairs, o.Alpha, seed)
	s.P50 = Interval{s.Candidate.P50 / s.Control.P50, p50.Low, p50.High}
	s.P99 = Interval{s.Candidate.P99 / s.Control.P99, p99.Low, p99.High}
	return s, nil
}

func quantilesOf(sorted []float64) Quantiles {
	return Quantiles{P50: quantile(sorted, 0.5), P99: quantile(sorted, 0.99)}
}

// medianRank is the largest k such that the k-th smallest and the k-th largest of n values have the median between them with
// at least 1−alpha: P(Binomial(n, ½) < k) ≤ alpha/2. 0 where there is none.
func medianRank(n int, alpha float64) int {
	if n == 0 {
		return 0
	}
	b := distuv.Binomial{N: float64(n), P: 0.5}
	low, high := 0, n/2 // low holds
	for low < high {
		if mid := (low + high + 1) / 2; b.CDF(float64(mid-1)) <= alpha/2 {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return low
}

// bootstrapQuantiles are the intervals of the ratios of both quantiles: of draws of pairs, with replacement. Where there are very many
// pairs, draws are of fewer and the intervals, wider by the root of that, are narrowed about the ratio again (m out of n).
func bootstrapQuantiles(pairs []Durations, alpha float64, seed uint64) (p50, p99 Interval) {
	r := rand.New(rand.NewPCG(seed, 0))
	m := min(len(pairs), resampled)
	control, candidate := make([]float64, m), make([]float64, m)
	draws := [2][]float64{make([]float64, resamples), make([]float64, resamples)}
	for b := range resamples {
		for i := range m {
			d := pairs[r.IntN(len(pairs))]
			control[i], candidate[i] = d.Control, d.Candidate
		}
		slices.Sort(control)
		slices.Sort(candidate)
		a, c := quantilesOf(control), quantilesOf(candidate)
		draws[0][b], draws[1][b] = c.P50/a.P50, c.P99/a.P99
	}
	narrow := math.Sqrt(float64(m) / float64(len(pairs)))
	interval := func(x []float64) Interval {
		slices.Sort(x)
		middle := quantile(x, 0.5)
		return Interval{middle, middle + (quantile(x, alpha/2)-middle)*narrow, middle + (quantile(x, 1-alpha/2)-middle)*narrow}
	}
	return interval(draws[0]), interval(draws[1])
}
