package stats

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/event"
)

func TestCorrectionsByHand(t *testing.T) {
	p := []float64{0.04, 0.01, 0.03, 0.005}
	for c, want := range map[Correction][]float64{
		"":                {0.06, 0.03, 0.06, 0.02},
		Holm:              {0.06, 0.03, 0.06, 0.02},
		Bonferroni:        {0.16, 0.04, 0.12, 0.02},
		BenjaminiHochberg: {0.04, 0.02, 0.04, 0.02},
		Uncorrected:       p,
	} {
		got, err := c.Adjust(p)
		require.NoError(t, err)
		require.InDeltaSlice(t, want, got, 1e-12, "%q", c)
	}
	require.Equal(t, []float64{0.04, 0.01, 0.03, 0.005}, p)
	for _, bad := range []float64{-0.1, 1.1, math.NaN()} {
		_, err := Holm.Adjust([]float64{bad})
		require.ErrorIs(t, err, event.ErrInvalid)
	}
	_, err := Correction("sidak").Adjust(nil)
	require.ErrorContains(t, err, `correction is "sidak"`)
}

// Each finds no more than the one before it, and none turns the order of the p-values round.
func TestCorrectionsAreOrdered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SliceOfN(rapid.Float64Range(0, 1), 0, 20).Draw(t, "p")
		before := p
		for _, c := range []Correction{BenjaminiHochberg, Holm, Bonferroni} {
			got, err := c.Adjust(p)
			require.NoError(t, err)
			for i := range got {
				require.GreaterOrEqual(t, got[i], before[i]-1e-15)
				require.LessOrEqual(t, got[i], 1.0)
				for j := range got {
					if p[i] < p[j] {
						require.LessOrEqual(t, got[i], got[j])
					}
				}
			}
			before = got
		}
	})
}

func TestSampleRatio(t *testing.T) {
	p, err := SampleRatio([]int64{450, 550}, []float64{1, 1}) // χ² = 10, with one degree of freedom
	require.NoError(t, err)
	require.InDelta(t, 0.001565402, p, 1e-9)
	p, err = SampleRatio([]int64{50, 30, 20}, []float64{5, 3, 2})
	require.NoError(t, err)
	require.InDelta(t, 1, p, 1e-12)
	for name, tc := range map[string]struct {
		units   []int64
		weights []float64
		want    float64
	}{
		"nobody":                     {[]int64{0, 0}, []float64{1, 1}, 1},
		"somebody where nobody is":   {[]int64{500, 1, 500}, []float64{1, 0, 1}, 0},
		"a variant without a weight": {[]int64{450, 0, 550}, []float64{1, 0, 1}, 0.001565402},
	} {
		p, err := SampleRatio(tc.units, tc.weights)
		require.NoError(t, err)
		require.InDelta(t, tc.want, p, 1e-9, name)
	}
	for _, bad := range [][]float64{{1}, {1, -1}, {1, math.NaN()}, {1, math.Inf(1)}} {
		_, err := SampleRatio([]int64{5, 5}, bad)
		require.ErrorIs(t, err, event.ErrInvalid)
	}
	_, err = SampleRatio([]int64{5, -5}, []float64{1, 1})
	require.ErrorIs(t, err, event.ErrInvalid)
}

func TestWinsorised(t *testing.T) {
	values := []float64{0, 0, 0, 0, 10, 20, 30, 1000}
	l, err := Percentiles(values, 0, 0.9, false)
	require.NoError(t, err)
	require.Equal(t, math.Inf(-1), l.Low)
	require.InDelta(t, 30+0.3*970, l.High, 1e-9)
	require.InDelta(t, 321, l.Clamp(1000), 1e-9)
	require.InDelta(t, 10, l.Clamp(10), 1e-9)
	l, err = Percentiles(values, 0.5, 0.9, true)
	require.NoError(t, err)
	require.InDelta(t, 25, l.Low, 1e-9)
	require.InDelta(t, 25, l.Clamp(0), 1e-9)
	require.InDelta(t, 30+0.7*970, l.High, 1e-9)
	require.Equal(t, 50.0, Above(50).Clamp(1000))
	require.Equal(t, -7.0, Above(50).Clamp(-7))
	l, err = Percentiles(nil, 0.01, 0.99, false)
	require.NoError(t, err)
	require.Equal(t, Unlimited(), l)
	for _, bad := range [][2]float64{{-0.1, 1}, {0, 1.1}, {0.5, 0.5}, {math.NaN(), 1}} {
		_, err := Percentiles(values, bad[0], bad[1], false)
		require.ErrorIs(t, err, event.ErrInvalid)
	}
	_, err = Percentiles([]float64{1, math.NaN()}, 0, 0.9, false)
	require.ErrorContains(t, err, "value 1 is not a number")
}
