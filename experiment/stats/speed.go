package stats

import (
	"cmp"
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
	resampled = 20_000
)

// CompareSpeed compares durations that were measured in pairs. The interval of Ratio is exact and assumes nothing of how durations
// are distributed (order statistics, the sign test's); those of P50 and P99 are a bootstrap's of whole pairs, seeded, so that
// the same durations give the same report: approximate, and a 99th percentile wants a thousand pairs. alpha 0 means
// DefaultAlpha. It needs at least 6 pairs, and more where alpha is smaller. Errors are event.ErrInvalid.
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
	s.P50.Value, s.P99.Value = s.Candidate.P50/s.Control.P50, s.Candidate.P99/s.Control.P99
	bootstrap(&s, pairs, o.Alpha, seed)
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

// bootstrap finds the intervals of the ratios of both quantiles: of draws of whole pairs, with replacement. Of very many pairs some
// are drawn from, and the interval, wider by the root of how many fewer they are, is narrowed by it.
func bootstrap(s *Speed, pairs []Durations, alpha float64, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	narrow := 1.0
	if len(pairs) > resampled {
		narrow = math.Sqrt(float64(resampled) / float64(len(pairs)))
		some := make([]Durations, resampled)
		for i := range some {
			some[i] = pairs[r.IntN(len(pairs))]
		}
		pairs = some
	}
	control := ranked(pairs, func(d Durations) float64 { return d.Control })
	candidate := ranked(pairs, func(d Durations) float64 { return d.Candidate })
	var p50, p99 [resamples]float64
	times := make([]int32, len(pairs)) // how often each pair has been drawn
	for b := range resamples {
		clear(times)
		for range pairs {
			times[r.IntN(len(pairs))]++
		}
		a, c := control.quantiles(times), candidate.quantiles(times)
		p50[b], p99[b] = c.P50/a.P50, c.P99/a.P99
	}
	about := func(i *Interval, x []float64) {
		slices.Sort(x)
		middle := quantile(x, 0.5)
		i.Low, i.High = i.Value+(quantile(x, alpha/2)-middle)*narrow, i.Value+(quantile(x, 1-alpha/2)-middle)*narrow
	}
	about(&s.P50, p50[:])
	about(&s.P99, p99[:])
}

// ranking is durations in ascending order, and of which pairs they are.
type ranking struct {
	values []float64
	pair   []int
}

func ranked(pairs []Durations, of func(Durations) float64) ranking {
	r := ranking{make([]float64, len(pairs)), make([]int, len(pairs))}
	for i := range r.pair {
		r.pair[i] = i
	}
	slices.SortFunc(r.pair, func(a, b int) int { return cmp.Compare(of(pairs[a]), of(pairs[b])) })
	for rank, i := range r.pair {
		r.values[rank] = of(pairs[i])
	}
	return r
}

// quantiles are those of the values, each as often as its pair has been drawn: as many in all as there are.
func (r ranking) quantiles(times []int32) Quantiles {
	n := len(r.values)
	var found [4]float64 // on both sides of either quantile
	ranks := [4]int{int(0.5 * float64(n-1)), min(n-1, int(0.5*float64(n-1))+1), int(0.99 * float64(n-1)), min(n-1, int(0.99*float64(n-1))+1)}
	seen, k := 0, 0
	for i, v := range r.values {
		seen += int(times[r.pair[i]])
		for k < len(ranks) && ranks[k] < seen {
			found[k] = v
			k++
		}
		if k == len(ranks) {
			break
		}
	}
	between := func(low, high, q float64) float64 {
		at := q * float64(n-1)
		return low + (at-math.Floor(at))*(high-low)
	}
	return Quantiles{P50: between(found[0], found[1], 0.5), P99: between(found[2], found[3], 0.99)}
}
