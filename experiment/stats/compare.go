package stats

import (
	"fmt"
	"math"
)

// Method says how sure a difference is.
type Method string

// The methods. Fixed and Proportions hold at one look, at the number of units that was planned; Sequential at every look.
const (
	// Fixed is Welch's t; the zero value means it.
	Fixed Method = "fixed"
	// Proportions is the z-test of two proportions, of conversions only.
	Proportions Method = "proportions"
	// Sequential is the asymptotic confidence sequence of Waudby-Smith et al.
	Sequential Method = "sequential"
)

// Difference says of what the lift is.
type Difference string

// The differences.
const (
	// Relative is treatment by control less one; 0.05 is 5 % more. The zero value means it.
	Relative Difference = "relative"
	// Absolute is treatment less control, in the metric's own unit.
	Absolute Difference = "absolute"
	// Scaled is what the treatment would change a day if all units had it: see Options.Share and Days.
	Scaled Difference = "scaled"
)

// Defaults.
const (
	// DefaultAlpha is the share of experiments without an effect that may be called significant.
	DefaultAlpha = 0.05
	// DefaultTuning is the number of units, of both variants together, at which the sequential interval is narrowest; gbstats has the same.
	DefaultTuning = 5000
)

// Options of a comparison. The zero value is Welch's t of the relative difference at 5 %.
type Options struct {
	Method     Method
	Difference Difference
	// Alpha is above 0 and below 1; 0 means DefaultAlpha. The interval holds the truth in 1−Alpha of all experiments.
	Alpha float64
	// Tuning is for Sequential, in units; 0 means DefaultTuning. Changing it after a look breaks what the method promises.
	Tuning float64
	// Share of all units that the treatment has, above 0 and at most 1, and Days that the experiment has run: for Scaled; 0 means 1.
	Share, Days float64
}

func (o Options) withDefaults() (Options, error) {
	def(&o.Method, Fixed)
	def(&o.Difference, Relative)
	def(&o.Alpha, DefaultAlpha)
	def(&o.Tuning, DefaultTuning)
	def(&o.Share, 1)
	def(&o.Days, 1)
	switch {
	case o.Method != Fixed && o.Method != Proportions && o.Method != Sequential:
		return o, invalid("method is %q; give fixed, proportions or sequential", o.Method)
	case o.Difference != Relative && o.Difference != Absolute && o.Difference != Scaled:
		return o, invalid("difference is %q; give relative, absolute or scaled", o.Difference)
	case !(o.Alpha > 0 && o.Alpha < 1):
		return o, invalid("alpha is %v; give a number above 0 and below 1", o.Alpha)
	case !(o.Tuning > 0) || math.IsInf(o.Tuning, 0):
		return o, invalid("tuning is %v; give a number of units above 0", o.Tuning)
	case !(o.Share > 0 && o.Share <= 1):
		return o, invalid("share is %v; give a number above 0, at most 1", o.Share)
	case !(o.Days > 0) || math.IsInf(o.Days, 0):
		return o, invalid("days is %v; give a number above 0", o.Days)
	}
	return o, nil
}

func def[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}

// Comparison is a treatment beside its control.
type Comparison struct {
	Control   Estimate `json:"control"`
	Treatment Estimate `json:"treatment"`
	// Lift is the difference, Low and High its interval, StandardError its standard error.
	Lift          float64 `json:"lift"`
	Low           float64 `json:"low"`
	High          float64 `json:"high"`
	StandardError float64 `json:"standardError"`
	// P is the two-sided p-value: how often a difference this large would be seen if there were none.
	P float64 `json:"p"`
	// Freedom is Welch's degrees of freedom; 0 where the method has none.
	Freedom float64 `json:"freedom,omitempty"`
	// Theta is CUPED's coefficient; 0 where nothing was adjusted.
	Theta float64 `json:"theta,omitempty"`
}

// Compare compares a treatment with its control. Errors are event.ErrInvalid; ErrTooFew, ErrNoVariance and ErrBaseline
// among them say that these units cannot be compared (yet).
func Compare(metric Metric, control, treatment Moments, o Options) (Comparison, error) {
	o, err := o.withDefaults()
	if err != nil {
		return Comparison{}, err
	}
	if o.Method == Proportions && (metric.Kind != Conversion || metric.CUPED) {
		return Comparison{}, invalid("metric %q: the method proportions is for conversions without CUPED; take fixed", metric.Name)
	}
	c, t, theta, err := estimates(metric, &control, &treatment)
	if err != nil {
		return Comparison{}, err
	}
	out := Comparison{Control: c, Treatment: t, Theta: theta, Lift: t.Adjusted - c.Adjusted}
	variance := c.of() + t.of()
	if o.Difference == Relative {
		if c.Mean <= 0 {
			return Comparison{}, fmt.Errorf("%w: metric %q: %v; compare absolute differences", ErrBaseline, metric.Name, c.Mean)
		}
		out.Lift /= c.Mean
		variance = relativeVariance(c, t)
	}
	out.StandardError = math.Sqrt(variance)
	var width float64
	switch o.Method {
	case Fixed:
		out.Freedom = welchFreedom(c, t)
		width, out.P = studentized(out.Lift, out.StandardError, out.Freedom, o.Alpha)
	case Proportions:
		width, _ = studentized(out.Lift, out.StandardError, math.Inf(1), o.Alpha)
		out.P = pooledP(c, t)
	case Sequential:
		width, out.P = sequence(out.Lift, out.StandardError, float64(c.N+t.N), o.Alpha, o.Tuning)
	}
	out.Low, out.High = out.Lift-width, out.Lift+width
	if o.Difference == Scaled {
		by := float64(t.N) / o.Share / o.Days
		for _, x := range []*float64{&out.Lift, &out.Low, &out.High, &out.StandardError} {
			*x *= by
		}
	}
	return out, nil
}
