package stats

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/event"
)

// converting draws buyers: a share of p, and of p·(1+lift) under the treatment.
func converting(p, lift float64) func(*rand.Rand, bool) Unit {
	return func(r *rand.Rand, treatment bool) Unit {
		if treatment {
			return Unit{Value: one(r.Float64() < p*(1+lift))}
		}
		return Unit{Value: one(r.Float64() < p)}
	}
}

// spending draws what customers spend, a skewed distribution with a deviation as large as its mean; the treatment adds to each.
func spending(lift float64) func(*rand.Rand, bool) Unit {
	return func(r *rand.Rand, treatment bool) Unit {
		v := 40 * r.ExpFloat64()
		if treatment {
			v += 40 * lift
		}
		return Unit{Value: v}
	}
}

// beyond is two standard errors of a share that n simulations estimate.
func beyond(share float64, n int) float64 { return 2 * math.Sqrt(share*(1-share)/float64(n)) }

// Two thousand experiments in which nothing differs, looked at every day: the sequential method is wrong in no more than 5 %,
// a test of a fixed horizon as well if it is looked at once; looked at daily it is wrong as often as theory says.
func TestNothingIsFoundWhereNothingIs(t *testing.T) {
	const experiments, days = 2000, 14
	bounds, information := looks(days, 1.96)
	naive := crossing(bounds, information, 0)
	for name, s := range map[string]Simulation{
		"conversion": {Metric: Metric{Kind: Conversion}, Draw: converting(0.1, 0)},
		"mean":       {Metric: Metric{Kind: Mean}, Draw: spending(0)},
	} {
		s.Experiments, s.Looks, s.PerLook, s.Seed = experiments, days, 150, 1
		got, err := s.Run(t.Context(), 0)
		require.NoError(t, err)
		t.Logf("%s: sequential %.3f, peeking %.3f (theory %.3f), one look %.3f", name, got.Sequential, got.Peeking, naive, got.Fixed)
		require.LessOrEqual(t, got.Sequential, 0.05+beyond(0.05, experiments))
		require.InDelta(t, 0.05, got.Fixed, beyond(0.05, experiments))
		require.InDelta(t, naive, got.Peeking, beyond(naive, experiments)+0.01)
		require.Greater(t, got.Peeking, 3*0.05)
		require.InDelta(t, 1-got.Sequential, got.Covered, 1e-9)
	}
}

// An experiment of the planned size finds the planned effect as often as planned, within two points, and the sequential
// interval holds the truth at all looks at once.
func TestPlannedEffectIsFound(t *testing.T) {
	const experiments, days = 2000, 14
	for name, tc := range map[string]struct {
		design Design
		s      Simulation
	}{
		"conversion": {Design{Mean: 0.3, Conversion: true, Effect: 0.2}, Simulation{Metric: Metric{Kind: Conversion}, Draw: converting(0.3, 0.2)}},
		"mean":       {Design{Mean: 40, Deviation: 40, Effect: 0.1}, Simulation{Metric: Metric{Kind: Mean}, Draw: spending(0.1)}},
	} {
		for _, method := range []Method{Fixed, Sequential} {
			d := tc.design
			d.Method, d.Looks = method, days
			units, err := d.Units()
			require.NoError(t, err)
			s := tc.s
			s.Experiments, s.Looks, s.PerLook, s.Seed = experiments, days, int(math.Ceil(float64(units)/2/days)), 2
			got, err := s.Run(t.Context(), d.Effect)
			require.NoError(t, err)
			share := got.Fixed
			if method == Sequential {
				share = got.Sequential
				require.Less(t, got.SequentialUnits, float64(units))
			}
			t.Logf("%s, %s: %d units, found %.3f, %.0f units until stopped, covered %.3f", name, method, units, share, got.SequentialUnits, got.Covered)
			require.InDelta(t, DefaultPower, share, 0.02)
			require.GreaterOrEqual(t, got.Covered, 0.95-beyond(0.95, experiments))
		}
	}
}

// CUPED finds with the same units what would not be found without them, and nothing that is not there.
func TestCUPEDFindsMore(t *testing.T) {
	draw := func(lift float64) func(*rand.Rand, bool) Unit {
		return func(r *rand.Rand, treatment bool) Unit {
			was := 50 + 10*r.NormFloat64()
			now := was + 5*r.NormFloat64()
			if treatment {
				now += 50 * lift
			}
			return Unit{Value: now, Before: was}
		}
	}
	s := Simulation{Experiments: 1000, Looks: 1, PerLook: 400, Seed: 3, Metric: Metric{Kind: Mean}, Draw: draw(0.02)}
	without, err := s.Run(t.Context(), 0.02)
	require.NoError(t, err)
	s.Metric.CUPED = true
	with, err := s.Run(t.Context(), 0.02)
	require.NoError(t, err)
	require.Greater(t, with.Fixed, without.Fixed+0.3)
	s.Draw = draw(0)
	none, err := s.Run(t.Context(), 0)
	require.NoError(t, err)
	require.InDelta(t, 0.05, none.Fixed, beyond(0.05, 1000))
}

func TestSimulationIsRepeatable(t *testing.T) {
	s := Simulation{Experiments: 50, Looks: 3, PerLook: 30, Seed: 9, Metric: Metric{Kind: Conversion}, Draw: converting(0.3, 0.5)}
	a, err := s.Run(t.Context(), 0.5)
	require.NoError(t, err)
	b, err := s.Run(t.Context(), 0.5)
	require.NoError(t, err)
	require.Equal(t, a, b)
}

func TestSimulationIsChecked(t *testing.T) {
	_, err := Simulation{Experiments: 1, Looks: 1, PerLook: 1, Draw: spending(0)}.Run(t.Context(), 0)
	require.ErrorIs(t, err, event.ErrInvalid)
	_, err = Simulation{Experiments: 1, Looks: 1, PerLook: 2, Draw: spending(0)}.Run(t.Context(), 0)
	require.ErrorContains(t, err, "its kind is")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = Simulation{Experiments: 1, Looks: 1, PerLook: 2, Draw: spending(0)}.Run(ctx, 0)
	require.ErrorIs(t, err, context.Canceled)
}
