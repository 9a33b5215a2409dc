package stats

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/event"
)

// took draws durations as a machine that others use has them: what slows one of a pair mostly slows both, and there are pauses.
func took(r *rand.Rand, n int, factor float64) []Durations {
	out := make([]Durations, n)
	for i := range out {
		busy := math.Exp(r.NormFloat64())
		one := func() float64 {
			d := busy * math.Exp(0.2*r.NormFloat64())
			if r.IntN(300) == 0 {
				d += 50
			}
			return d
		}
		out[i] = Durations{one(), one() * factor}
	}
	return out
}

// The interval of the median ratio holds the truth as often as it says, where busy machines and pauses make the means useless.
func TestMedianRatioHoldsTheTruth(t *testing.T) {
	const runs = 200
	r := rand.New(rand.NewPCG(8, 0))
	covered, slower := 0, 0
	for range runs {
		s, err := CompareSpeed(took(r, 200, 1.1), 0, 1)
		require.NoError(t, err)
		if s.Ratio.Low <= 1.1 && 1.1 <= s.Ratio.High {
			covered++
		}
		if s.Ratio.Low > 1 {
			slower++
		}
	}
	require.GreaterOrEqual(t, float64(covered)/runs, 0.95-beyond(0.95, runs))
	require.Greater(t, float64(slower)/runs, 0.9)
}

func TestSpeedIsExactWhereTheRatioIs(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 0))
	var ds []Durations
	for range 500 {
		d := 1 + r.ExpFloat64()
		ds = append(ds, Durations{d, 1.5 * d})
	}
	s, err := CompareSpeed(ds, 0, 1)
	require.NoError(t, err)
	for _, i := range []Interval{s.Ratio, s.P50, s.P99} {
		require.InDelta(t, 1.5, i.Value, 1e-12)
		require.InDelta(t, 1.5, i.Low, 1e-12)
		require.InDelta(t, 1.5, i.High, 1e-12)
	}
	require.Equal(t, 1.0, s.Slower)
	require.Equal(t, 500, s.Pairs)
	require.InDelta(t, 1.5*s.Control.P99, s.Candidate.P99, 1e-9)
}

// The bootstrap's interval of the 50th and the 99th percentile, of few pairs and of more than it draws.
func TestPercentileRatiosHoldTheTruth(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 0))
	const runs = 60
	covered := [2]int{}
	for range runs {
		s, err := CompareSpeed(took(r, 600, 1.2), 0, 1)
		require.NoError(t, err)
		for i, p := range []Interval{s.P50, s.P99} {
			if p.Low <= 1.2 && 1.2 <= p.High {
				covered[i]++
			}
		}
	}
	for i := range covered {
		require.GreaterOrEqual(t, covered[i], runs*85/100, "%d", i)
	}
	few, err := CompareSpeed(took(r, resampled, 1.2), 0, 1)
	require.NoError(t, err)
	many, err := CompareSpeed(took(r, 4*resampled, 1.2), 0, 1)
	require.NoError(t, err)
	require.InEpsilon(t, (few.P50.High-few.P50.Low)/2, many.P50.High-many.P50.Low, 0.3)
	require.InDelta(t, 1.2, many.P50.Value, 0.03)
}

// The sign test's ranks, from tables: of 6 pairs the smallest and the largest, of 20 the 6th, of 100 the 40th.
func TestMedianRanks(t *testing.T) {
	for n, want := range map[int]int{0: 0, 5: 0, 6: 1, 10: 2, 20: 6, 50: 18, 100: 40} {
		require.Equal(t, want, medianRank(n, 0.05), "%d pairs", n)
	}
}

func TestSpeedIsRepeatable(t *testing.T) {
	ds := took(rand.New(rand.NewPCG(11, 0)), 300, 1)
	a, err := CompareSpeed(ds, 0, 7)
	require.NoError(t, err)
	b, err := CompareSpeed(ds, 0, 7)
	require.NoError(t, err)
	require.Equal(t, a, b)
	same := []Durations{{1, 1}, {2, 2}, {3, 3}, {4, 4}, {5, 5}, {6, 6}}
	s, err := CompareSpeed(same, 0, 7)
	require.NoError(t, err)
	require.Equal(t, 0.5, s.Slower)
	require.Equal(t, Interval{1, 1, 1}, s.Ratio)
}

func TestDurationsAreChecked(t *testing.T) {
	_, err := CompareSpeed(took(rand.New(rand.NewPCG(1, 0)), 5, 1), 0, 1)
	require.ErrorIs(t, err, ErrTooFew)
	_, err = CompareSpeed(took(rand.New(rand.NewPCG(1, 0)), 6, 1), 0.001, 1)
	require.ErrorIs(t, err, ErrTooFew)
	for _, bad := range []Durations{{0, 1}, {1, -1}, {math.NaN(), 1}, {1, math.Inf(1)}} {
		_, err := CompareSpeed([]Durations{{1, 1}, bad}, 0, 1)
		require.ErrorContains(t, err, "pair 1 took")
		require.ErrorIs(t, err, event.ErrInvalid)
	}
}
