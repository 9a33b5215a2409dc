package stats

import (
	"fmt"
	"math"
)

// Pair is what one cluster did under both versions: a stream whose recorded commands were replayed through each of them.
// What happens within a cluster may hang together as it likes; clusters are independent of each other.
type Pair struct {
	// Control and Candidate are totals of the cluster: revenue, rejections, nanoseconds.
	Control, Candidate float64
	// ControlUnits and CandidateUnits are what the totals are by: commands, usually the same number of both.
	ControlUnits, CandidateUnits float64
}

// Pairs are the sufficient statistics of clusters. The zero value has none. Like Moments they can be merged.
type Pairs struct{ Moments }

// Add takes one more cluster.
func (p *Pairs) Add(pair Pair) {
	p.Moments.Add(Unit{Value: pair.Control, Denominator: pair.ControlUnits, Before: pair.Candidate, BeforeDenominator: pair.CandidateUnits})
}

// Merge takes the clusters of other, which must be other clusters.
func (p *Pairs) Merge(other Pairs) { p.Moments.Merge(other.Moments) }

// PairedComparison is a candidate beside its control on the same clusters.
type PairedComparison struct {
	Clusters int64 `json:"clusters"`
	// Control and Candidate are totals by units, over all clusters.
	Control   float64 `json:"control"`
	Candidate float64 `json:"candidate"`
	// Lift is the difference, with its interval, standard error and two-sided p-value.
	Lift          float64 `json:"lift"`
	Low           float64 `json:"low"`
	High          float64 `json:"high"`
	StandardError float64 `json:"standardError"`
	P             float64 `json:"p"`
}

// Compare compares the versions, clustered: the interval is about as wide as the clusters differ in what the candidate changed
// for them, however many units each has (Student's t with clusters−1 degrees of freedom; the delta method for the ratios). difference
// is Relative (the zero value) or Absolute; alpha 0 means DefaultAlpha. Where the versions do the same in all clusters,
// the interval is zero wide and P is 1. Errors are event.ErrInvalid, among them ErrTooFew, ErrNoVariance where there are no
// units, and ErrBaseline.
func (p Pairs) Compare(difference Difference, alpha float64) (PairedComparison, error) {
	o, err := Options{Difference: difference, Alpha: alpha}.withDefaults()
	if err != nil {
		return PairedComparison{}, err
	}
	m := &p.Moments
	switch {
	case o.Difference == Scaled:
		return PairedComparison{}, invalid("the difference of pairs is scaled; give relative or absolute")
	case !m.finite():
		return PairedComparison{}, invalid("pairs: not all numbers; look for clusters with NaN or infinity")
	case m.N < 2:
		return PairedComparison{}, fmt.Errorf("%w: %d clusters", ErrTooFew, m.N)
	case m.Mean[denominator] <= 0 || m.Mean[beforeDenominator] <= 0:
		return PairedComparison{}, fmt.Errorf("%w: the clusters have no units", ErrNoVariance)
	}
	ratio := Metric{Kind: Ratio}
	control, candidate := ratio.term(m, value, denominator), ratio.term(m, before, beforeDenominator)
	out := PairedComparison{Clusters: m.N, Control: control.mean, Candidate: candidate.mean, Lift: candidate.mean - control.mean}
	byControl, byCandidate := -1.0, 1.0 // the lift's derivatives
	if o.Difference == Relative {
		if control.mean <= 0 {
			return PairedComparison{}, fmt.Errorf("%w: pairs: %v; compare absolute differences", ErrBaseline, control.mean)
		}
		out.Lift /= control.mean
		byControl, byCandidate = -candidate.mean/(control.mean*control.mean), 1/control.mean
	}
	variance := byControl*byControl*ratio.covariance(m, control, control) + byCandidate*byCandidate*ratio.covariance(m, candidate, candidate) +
		2*byControl*byCandidate*ratio.covariance(m, control, candidate)
	// Versions that do the same leave only rounding of the terms that cancel.
	if scale := byControl * byControl * ratio.covariance(m, control, control); variance <= 1e-14*scale || variance <= 0 {
		variance = 0
	}
	out.StandardError = math.Sqrt(variance / float64(m.N))
	width := 0.0
	switch {
	case out.StandardError > 0:
		width, out.P = studentized(out.Lift, out.StandardError, float64(m.N-1), o.Alpha)
	case math.Abs(out.Lift) <= 1e-14*max(1, math.Abs(control.mean)):
		out.Lift, out.P = 0, 1
	}
	out.Low, out.High = out.Lift-width, out.Lift+width
	return out, nil
}
