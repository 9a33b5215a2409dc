package stats

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/cqrsflow/cqrsflow/event"
)

func of(xs ...float64) (m Moments) {
	for _, x := range xs {
		m.Add(Unit{Value: x})
	}
	return m
}

// converted are the moments of n units of which k converted.
func converted(k, n int64) Moments {
	return Sums{N: n, Sum: [values]float64{float64(k)}, Products: [products]float64{float64(k)}}.Moments()
}

var (
	revenue = Metric{Name: "revenue", Kind: Mean}
	buyers  = Metric{Name: "buyers", Kind: Conversion}
)

// Welch's own kind of example, by hand: means 3 and 6, variances 2.5 and 4, five and three units.
func TestWelchByHand(t *testing.T) {
	c, err := Compare(revenue, of(1, 2, 3, 4, 5), of(4, 6, 8), Options{Difference: Absolute})
	require.NoError(t, err)
	se := math.Sqrt(2.5/5 + 4.0/3)
	freedom := se * se * se * se / (0.5*0.5/4 + (4.0/3)*(4.0/3)/2)
	student := distuv.StudentsT{Sigma: 1, Nu: freedom}
	require.InDelta(t, 3, c.Lift, 1e-12)
	require.InDelta(t, se, c.StandardError, 1e-12)
	require.InDelta(t, freedom, c.Freedom, 1e-12)
	require.InDelta(t, 2*student.Survival(3/se), c.P, 1e-12)
	require.InDelta(t, 3-student.Quantile(0.975)*se, c.Low, 1e-12)
	require.InDelta(t, 3+student.Quantile(0.975)*se, c.High, 1e-12)
}

// The z-test's square is Pearson's χ² of the table {{20, 80}, {36, 64}}, which is 6.349.
func TestTwoProportionsAreChiSquare(t *testing.T) {
	c, err := Compare(buyers, converted(20, 100), converted(36, 100), Options{Method: Proportions})
	require.NoError(t, err)
	const cross = 20*64 - 80*36
	x := 200.0 * cross * cross / (100 * 100 * 56 * 144)
	require.InDelta(t, 6.349, x, 0.001)
	require.InDelta(t, distuv.ChiSquared{K: 1}.Survival(x), c.P, 1e-12)
	se := math.Sqrt(0.36*0.64/100/0.04 + 0.2*0.8/100*0.36*0.36/math.Pow(0.2, 4))
	require.InDelta(t, 0.8, c.Lift, 1e-12)
	require.InDelta(t, 0.8-1.959963984540054*se, c.Low, 1e-9)
	require.Zero(t, c.Freedom)
	// Welch's t of proportions comes to the same with many units.
	a, err := Compare(buyers, converted(98_000, 1_000_000), converted(98_700, 1_000_000), Options{Difference: Absolute})
	require.NoError(t, err)
	z, err := Compare(buyers, converted(98_000, 1_000_000), converted(98_700, 1_000_000), Options{Method: Proportions, Difference: Absolute})
	require.NoError(t, err)
	require.InEpsilon(t, a.P, z.P, 1e-4)
	require.InEpsilon(t, a.Low, z.Low, 1e-4)
}

// The p-value and the interval of every method say the same: p = α exactly where the interval ends at zero.
func TestIntervalsAndPValuesAgree(t *testing.T) {
	for _, m := range []Method{Fixed, Sequential} {
		c, err := Compare(revenue, of(9, 10, 11, 12, 9, 8), of(12, 13, 9, 15, 14, 16), Options{Method: m, Difference: Absolute, Tuning: 20})
		require.NoError(t, err)
		if m == Fixed {
			again, err := Compare(revenue, of(9, 10, 11, 12, 9, 8), of(12, 13, 9, 15, 14, 16), Options{Method: m, Difference: Absolute, Alpha: c.P})
			require.NoError(t, err)
			require.InDelta(t, 0, again.Low, 1e-9)
			continue
		}
		// ρ depends on α: a lift at the interval's end has p = α of the same α.
		width := c.Lift - c.Low
		_, p := sequence(width, c.StandardError, 12, 0.05, 20)
		require.InDelta(t, 0.05, p, 1e-12)
	}
}

// Swapped, an absolute difference changes its sign and nothing else.
func TestAbsoluteIsAntisymmetric(t *testing.T) {
	a, b := of(1, 5, 2, 8, 4), of(3, 9, 4, 1, 12, 6)
	for _, m := range []Method{Fixed, Sequential} {
		ab, err := Compare(revenue, a, b, Options{Method: m, Difference: Absolute})
		require.NoError(t, err)
		ba, err := Compare(revenue, b, a, Options{Method: m, Difference: Absolute})
		require.NoError(t, err)
		require.InDelta(t, ab.Lift, -ba.Lift, 1e-12)
		require.InDelta(t, ab.Low, -ba.High, 1e-12)
		require.InDelta(t, ab.P, ba.P, 1e-12)
	}
}

// related draws customers: orders and what they cost, and the same of the month before, which hang together.
func related(r *rand.Rand, n int) []Unit {
	units := make([]Unit, n)
	for i := range units {
		habit := 1 + 3*r.Float64()
		orders := 1 + float64(r.IntN(4))
		was := 1 + float64(r.IntN(4))
		units[i] = Unit{Value: orders * (20*habit + 5*r.NormFloat64()), Denominator: orders, Before: was * (20*habit + 5*r.NormFloat64()), BeforeDenominator: was}
	}
	return units
}

// The delta method is the variance of the units' linear parts, (y − r·x)/x̄, with and without CUPED's.
func TestRatioIsLinearised(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 0))
	a, b := related(r, 300), related(r, 200)
	all := added(append(append([]Unit{}, a...), b...)...)
	linear := func(m *Moments, u Unit) (now, was float64) {
		return (u.Value - m.Mean[0]/m.Mean[1]*u.Denominator) / m.Mean[1], (u.Before - m.Mean[2]/m.Mean[3]*u.BeforeDenominator) / m.Mean[3]
	}
	var joint Moments
	for _, u := range append(append([]Unit{}, a...), b...) {
		now, was := linear(&all, u)
		joint.Add(Unit{Value: now, Before: was})
	}
	theta := joint.covariance(value, before) / joint.covariance(before, before)
	c, err := Compare(Metric{Name: "order", Kind: Ratio, CUPED: true}, added(a...), added(b...), Options{Difference: Absolute})
	require.NoError(t, err)
	require.InDelta(t, theta, c.Theta, 1e-9)
	for _, side := range []struct {
		units []Unit
		got   Estimate
	}{{a, c.Control}, {b, c.Treatment}} {
		m := added(side.units...)
		var adjusted Moments
		for _, u := range side.units {
			now, was := linear(&m, u)
			adjusted.Add(Unit{Value: now - theta*was})
		}
		require.InDelta(t, adjusted.covariance(value, value), side.got.Variance, 1e-8)
		require.InDelta(t, m.Mean[0]/m.Mean[1]-theta*m.Mean[2]/m.Mean[3], side.got.Adjusted, 1e-9)
	}
	plain, err := Compare(Metric{Name: "order", Kind: Ratio}, added(a...), added(b...), Options{Difference: Absolute})
	require.NoError(t, err)
	require.Less(t, c.StandardError, 0.8*plain.StandardError)
}

// Where each unit has one order, the ratio is the mean.
func TestRatioByOneIsTheMean(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 0))
	a, b := related(r, 50), related(r, 60)
	for _, units := range [][]Unit{a, b} {
		for i := range units {
			units[i].Denominator, units[i].BeforeDenominator = 1, 1
		}
	}
	for _, cuped := range []bool{false, true} {
		mean, err := Compare(Metric{Name: "m", Kind: Mean, CUPED: cuped}, added(a...), added(b...), Options{})
		require.NoError(t, err)
		ratio, err := Compare(Metric{Name: "r", Kind: Ratio, CUPED: cuped}, added(a...), added(b...), Options{})
		require.NoError(t, err)
		require.InDelta(t, mean.Lift, ratio.Lift, 1e-9)
		require.InDelta(t, mean.StandardError, ratio.StandardError, 1e-9)
		require.InDelta(t, mean.Theta, ratio.Theta, 1e-9)
	}
}

// CUPED with what says nothing, or was the same for all, changes nothing.
func TestCUPEDOfNothing(t *testing.T) {
	a, b := added(Unit{Value: 1, Before: 3}, Unit{Value: 2, Before: 3}), added(Unit{Value: 2, Before: 3}, Unit{Value: 4, Before: 3})
	with, err := Compare(Metric{Name: "m", Kind: Mean, CUPED: true}, a, b, Options{})
	require.NoError(t, err)
	without, err := Compare(revenue, a, b, Options{})
	require.NoError(t, err)
	require.Equal(t, without, with)
}

// One side may be constant: no errors before, some now.
func TestOneSideIsConstant(t *testing.T) {
	c, err := Compare(buyers, converted(0, 1000), converted(30, 1000), Options{Difference: Absolute})
	require.NoError(t, err)
	require.Less(t, c.P, 1e-6)
	require.InDelta(t, 999, c.Freedom, 1e-6)
}

func TestWhatCannotBeCompared(t *testing.T) {
	two := of(1, 2)
	for _, tc := range []struct {
		says     string
		metric   Metric
		a, b     Moments
		o        Options
		category error
	}{
		{"fewer than two units", revenue, two, of(1), Options{}, ErrTooFew},
		{"no variance", revenue, of(1, 1), of(2, 2), Options{}, ErrNoVariance},
		{"no variance", buyers, of(2, 3), of(2, 2), Options{}, ErrNoVariance}, // 2 is no conversion: p(1−p) < 0
		{"denominator is zero", Metric{Name: "r", Kind: Ratio}, two, two, Options{}, ErrNoVariance},
		{"not above zero", revenue, of(-1, 1), two, Options{}, ErrBaseline},
		{"not above zero", revenue, of(-3, -1), two, Options{}, ErrBaseline},
		{"not all numbers", revenue, of(1, math.NaN()), two, Options{}, event.ErrInvalid},
		{`its kind is ""`, Metric{Name: "x"}, two, two, Options{}, event.ErrInvalid},
		{"for conversions", revenue, two, two, Options{Method: Proportions}, event.ErrInvalid},
		{`method is "bayes"`, revenue, two, two, Options{Method: "bayes"}, event.ErrInvalid},
		{`difference is "log"`, revenue, two, two, Options{Difference: "log"}, event.ErrInvalid},
		{"alpha is 1", revenue, two, two, Options{Alpha: 1}, event.ErrInvalid},
		{"tuning is -1", revenue, two, two, Options{Tuning: -1}, event.ErrInvalid},
		{"share is 2", revenue, two, two, Options{Share: 2}, event.ErrInvalid},
		{"days is -1", revenue, two, two, Options{Days: -1}, event.ErrInvalid},
	} {
		_, err := Compare(tc.metric, tc.a, tc.b, tc.o)
		require.ErrorContains(t, err, tc.says)
		require.ErrorIs(t, err, tc.category)
		require.ErrorIs(t, err, event.ErrInvalid)
	}
}
