package stats

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat/distuv"

	"github.com/cqrsflow/cqrsflow/event"
)

func pairs(ps ...Pair) (out Pairs) {
	for _, p := range ps {
		out.Add(p)
	}
	return out
}

// One unit a cluster is the paired t-test: differences 1, 2, 3, 2.
func TestPairsOfOneAreThePairedT(t *testing.T) {
	p := pairs(Pair{4, 5, 1, 1}, Pair{6, 8, 1, 1}, Pair{1, 4, 1, 1}, Pair{9, 11, 1, 1})
	c, err := p.Compare(Absolute, 0)
	require.NoError(t, err)
	se := math.Sqrt(2.0 / 3 / 4)
	student := distuv.StudentsT{Sigma: 1, Nu: 3}
	require.InDelta(t, 2, c.Lift, 1e-12)
	require.InDelta(t, se, c.StandardError, 1e-12)
	require.InDelta(t, 2*student.Survival(2/se), c.P, 1e-12)
	require.InDelta(t, 2-student.Quantile(0.975)*se, c.Low, 1e-9)
	require.Equal(t, int64(4), c.Clusters)
	require.InDelta(t, 5, c.Control, 1e-12)
	relative, err := p.Compare("", 0)
	require.NoError(t, err)
	require.InDelta(t, 0.4, relative.Lift, 1e-12)
}

// Replays of the same code differ nowhere, and say so.
func TestPairsThatAreAlike(t *testing.T) {
	p := pairs(Pair{0.1, 0.1, 3, 3}, Pair{0.7, 0.7, 2, 2}, Pair{12.3, 12.3, 7, 7})
	for _, d := range []Difference{Relative, Absolute} {
		c, err := p.Compare(d, 0)
		require.NoError(t, err)
		require.Equal(t, PairedComparison{Clusters: 3, Control: c.Control, Candidate: c.Candidate, P: 1}, c)
	}
}

// Streams have many commands that hang together, and are of different lengths. Intervals that are clustered by stream hold the truth
// in 95 % of all replays; such that count each command as independent would in far fewer.
func TestClusteredIntervalsHoldTheTruth(t *testing.T) {
	const runs, streams, truth = 1000, 60, 0.1
	r := rand.New(rand.NewPCG(4, 0))
	covered, naive := 0, 0
	for range runs {
		var clustered, single Pairs
		for range streams {
			commands := 1 + r.IntN(20)
			effect := truth + 0.3*r.NormFloat64() // of this stream
			var p Pair
			for range commands {
				a := 10 + r.NormFloat64()
				b := a * (1 + effect)
				p.Control, p.Candidate = p.Control+a, p.Candidate+b
				single.Add(Pair{a, b, 1, 1})
			}
			p.ControlUnits, p.CandidateUnits = float64(commands), float64(commands)
			clustered.Add(p)
		}
		c, err := clustered.Compare(Relative, 0)
		require.NoError(t, err)
		s, err := single.Compare(Relative, 0)
		require.NoError(t, err)
		require.InDelta(t, c.Lift, s.Lift, 1e-9)
		if c.Low <= truth && truth <= c.High {
			covered++
		}
		if s.Low <= truth && truth <= s.High {
			naive++
		}
	}
	t.Logf("clustered %d, naive %d of %d", covered, naive, runs)
	require.InDelta(t, 0.95, float64(covered)/runs, beyond(0.95, runs)+0.01) // with few streams a little less
	require.Less(t, float64(naive)/runs, 0.6)
}

func TestPairsMerge(t *testing.T) {
	a, b := pairs(Pair{1, 2, 3, 3}, Pair{4, 4, 2, 2}), pairs(Pair{7, 9, 1, 1})
	a.Merge(b)
	want, err := pairs(Pair{1, 2, 3, 3}, Pair{4, 4, 2, 2}, Pair{7, 9, 1, 1}).Compare(Relative, 0)
	require.NoError(t, err)
	got, err := a.Compare(Relative, 0)
	require.NoError(t, err)
	require.InDelta(t, want.Low, got.Low, 1e-9)
}

func TestPairsAreChecked(t *testing.T) {
	good := pairs(Pair{1, 2, 1, 1}, Pair{3, 3, 1, 1})
	for _, tc := range []struct {
		p        Pairs
		d        Difference
		category error
	}{
		{pairs(Pair{1, 1, 1, 1}), Relative, ErrTooFew},
		{pairs(Pair{}, Pair{}), Relative, ErrNoVariance},
		{pairs(Pair{0, 1, 1, 1}, Pair{0, 2, 1, 1}), Relative, ErrBaseline},
		{pairs(Pair{math.NaN(), 1, 1, 1}, Pair{0, 2, 1, 1}), Relative, event.ErrInvalid},
		{good, Scaled, event.ErrInvalid},
		{good, "log", event.ErrInvalid},
	} {
		_, err := tc.p.Compare(tc.d, 0)
		require.ErrorIs(t, err, tc.category)
		require.ErrorIs(t, err, event.ErrInvalid)
	}
}
