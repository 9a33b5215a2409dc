package stats

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Defaults of a design.
const (
	// DefaultPower is the share of experiments with the planned effect that shall find it.
	DefaultPower = 0.8
	// DefaultLooks is how often a sequential experiment is looked at: daily for two weeks.
	DefaultLooks = 14
)

// Design plans an experiment of two variants: how many units find what effect.
type Design struct {
	// Mean and Deviation are a unit's of the control; of a conversion Mean alone is used, and for a Ratio Deviation is the
	// square root of Estimate.Variance. Mean is above 0.
	Mean      float64
	Deviation float64
	// Conversion says that values are 0 or 1: Deviation follows from the means of each variant.
	Conversion bool
	// Effect is the relative lift to find, such as 0.05 or −0.05. Detectable does not use it.
	Effect float64
	// Share of the units that the treatment has; 0 means 0.5.
	Share float64
	// Alpha and Power; 0 means DefaultAlpha and DefaultPower.
	Alpha, Power float64
	// Method is Fixed (the zero value), Proportions (planned as Fixed) or Sequential, with its Tuning and the number of
	// Looks, evenly until the last unit; 0 means DefaultTuning and DefaultLooks. Looks is from 1 to 1,000.
	Method Method
	Tuning float64
	Looks  int
}

const maxUnits = 1 << 50

func (d Design) withDefaults() (Design, error) {
	def(&d.Share, 0.5)
	def(&d.Alpha, DefaultAlpha)
	def(&d.Power, DefaultPower)
	def(&d.Method, Fixed)
	def(&d.Tuning, DefaultTuning)
	def(&d.Looks, DefaultLooks)
	switch {
	case !(d.Mean > 0) || math.IsInf(d.Mean, 0):
		return d, invalid("design: mean is %v; lifts are relative to the control's, give a number above 0", d.Mean)
	case d.Conversion && d.Mean >= 1:
		return d, invalid("design: the control converts %v; give a share below 1", d.Mean)
	case !d.Conversion && (!(d.Deviation > 0) || math.IsInf(d.Deviation, 0)):
		return d, invalid("design: deviation is %v; give the standard deviation of a unit, above 0", d.Deviation)
	case !(d.Share > 0 && d.Share < 1):
		return d, invalid("design: share is %v; give a number above 0 and below 1", d.Share)
	case !(d.Alpha > 0 && d.Alpha < 1):
		return d, invalid("design: alpha is %v; give a number above 0 and below 1", d.Alpha)
	case !(d.Power > d.Alpha && d.Power < 1):
		return d, invalid("design: power is %v; give a number above alpha (%v) and below 1", d.Power, d.Alpha)
	case d.Method != Fixed && d.Method != Proportions && d.Method != Sequential:
		return d, invalid("design: method is %q; give fixed, proportions or sequential", d.Method)
	case !(d.Tuning > 0):
		return d, invalid("design: tuning is %v; give a number of units above 0", d.Tuning)
	case d.Looks < 1 || d.Looks > 1000:
		return d, invalid("design: looks is %d; from 1 to 1000", d.Looks)
	}
	return d, nil
}

func (d Design) checkEffect() error {
	if !(d.Effect > -1) || d.Effect == 0 || math.IsInf(d.Effect, 0) {
		return invalid("design: effect is %v; give a relative lift above −1 that is not 0", d.Effect)
	}
	if d.Conversion && d.Mean*(1+d.Effect) >= 1 {
		return invalid("design: with the effect %v the treatment converts %v; it must stay below 1", d.Effect, d.Mean*(1+d.Effect))
	}
	return nil
}

// variance has the coefficients of 1, L and L² in the variance of the lift where it is seen to be L, times the units of both
// variants together: relativeVariance of means µ and µ(1+L).
func (d Design) variance() [3]float64 {
	if d.Conversion {
		odds := (1 - d.Mean) / d.Mean
		return [3]float64{odds/d.Share + odds/(1-d.Share), (1/d.Mean-2)/d.Share + 2*odds/(1-d.Share), -1/d.Share + odds/(1-d.Share)}
	}
	v := d.Deviation * d.Deviation / (d.Mean * d.Mean)
	return [3]float64{v/d.Share + v/(1-d.Share), 2 * v / (1 - d.Share), v / (1 - d.Share)}
}

// threshold is the smallest lift in the direction of the effect that is bound standard errors from zero at n units. The
// standard error is that of the lift which is seen, and not of the effect: it grows with the lift, so that less suffices.
// Infinite where no lift does.
func (d Design) threshold(bound, n float64) float64 {
	v, q := d.variance(), bound*bound // L²·n = q·(v₀ + v₁L + v₂L²)
	a, b, c := n-q*v[2], q*v[1], q*v[0]
	if a <= 0 {
		return math.Inf(1)
	}
	return (b + math.Copysign(math.Sqrt(b*b+4*a*c), d.Effect)) / (2 * a)
}

// powerAt is PowerAt of a checked design.
func (d Design) powerAt(units float64) float64 {
	looks, bound := 1, distuv.UnitNormal.Quantile(1-d.Alpha/2)
	if d.Method == Sequential {
		looks = d.Looks
	}
	bounds, information := make([]float64, looks), make([]float64, looks)
	for k := range bounds {
		n := units * float64(k+1) / float64(looks)
		if d.Method == Sequential {
			bound = boundary(n, d.Alpha, d.Tuning)
		}
		information[k] = n / d.around(d.Effect)
		bounds[k] = 1e6
		// A lift beyond l is a treatment's mean beyond the control's times 1+l, which is a sum of normal means again
		// (Fieller 1940): its chance is exact, where that of a normal lift is not.
		if l := d.threshold(bound, n); !math.IsInf(l, 0) {
			sure := (math.Abs(d.Effect) - math.Abs(l)) / math.Sqrt(d.around(l)/n)
			bounds[k] = max(0, math.Abs(d.Effect)*math.Sqrt(information[k])-sure)
		}
	}
	return crossing(bounds, information, d.Effect)
}

// around is the variance of treatment − (1+l)·control, by the control's mean, times the units of both variants together.
func (d Design) around(l float64) float64 {
	control, treatment := d.Deviation*d.Deviation, d.Deviation*d.Deviation
	if d.Conversion {
		p := d.Mean * (1 + d.Effect)
		control, treatment = d.Mean*(1-d.Mean), p*(1-p)
	}
	return (treatment/d.Share + control*(1+l)*(1+l)/(1-d.Share)) / (d.Mean * d.Mean)
}

// PowerAt is the share of experiments with the effect that find it (in either direction) with that many units of both
// variants together. Errors are event.ErrInvalid, here and below.
func (d Design) PowerAt(units int64) (float64, error) {
	d, err := d.withDefaults()
	if err == nil {
		err = d.checkEffect()
	}
	if err != nil {
		return 0, err
	}
	if units < 4 {
		return 0, invalid("design: %d units; give at least 4", units)
	}
	return d.powerAt(float64(units)), nil
}

// Units is how many units, of both variants together, find the effect with the power.
func (d Design) Units() (int64, error) {
	d, err := d.withDefaults()
	if err == nil {
		err = d.checkEffect()
	}
	if err != nil {
		return 0, err
	}
	high := 4.0
	for d.powerAt(high) < d.Power {
		if high *= 2; high > maxUnits {
			return 0, invalid("design: the effect %v would take more than %d units; plan for a larger one", d.Effect, int64(maxUnits))
		}
	}
	low := high / 2
	for high-low > max(0.5, 1e-7*high) {
		if mid := (low + high) / 2; d.powerAt(mid) < d.Power {
			low = mid
		} else {
			high = mid
		}
	}
	return int64(math.Ceil(high)), nil
}

// Detectable is the smallest effect upwards, relative, that so many units find with the power: the minimum detectable effect.
func (d Design) Detectable(units int64) (float64, error) {
	d, err := d.withDefaults()
	if err != nil {
		return 0, err
	}
	if units < 4 {
		return 0, invalid("design: %d units; give at least 4", units)
	}
	limit := 1e6
	if d.Conversion {
		limit = math.Nextafter(1/d.Mean, 0) - 1
	}
	power := func(effect float64) float64 {
		d.Effect = effect
		return d.powerAt(float64(units))
	}
	low, high := 0.0, min(1e-6, limit)
	for power(high) < d.Power {
		if high >= limit {
			return 0, invalid("design: %d units find no effect with the power %v; take more units", units, d.Power)
		}
		low, high = high, min(2*high, limit)
	}
	for high-low > 1e-7*high {
		if mid := (low + high) / 2; power(mid) < d.Power {
			low = mid
		} else {
			high = mid
		}
	}
	return high, nil
}
