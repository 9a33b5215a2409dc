package stats

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/stat/distuv"
)

func looks(n int, bound float64) (bounds, information []float64) {
	for k := range n {
		bounds, information = append(bounds, bound), append(information, float64(k+1))
	}
	return bounds, information
}

// What looking again and again at 5 % does: table 2 of Armitage, McPherson and Rowe (1969), and Pocock's and O'Brien and
// Fleming's boundaries (Jennison and Turnbull 2000, tables 2.1 and 2.3), which keep 5 %.
func TestCrossingHasTheKnownValues(t *testing.T) {
	z := distuv.UnitNormal.Quantile(0.975)
	for n, want := range map[int]float64{1: 0.05, 2: 0.083, 3: 0.107, 4: 0.126, 5: 0.142, 10: 0.193, 20: 0.248, 50: 0.320, 100: 0.374} {
		bounds, information := looks(n, z)
		require.InDelta(t, want, crossing(bounds, information, 0), 0.0006, "%d looks", n)
	}
	bounds, information := looks(5, 2.413)
	require.InDelta(t, 0.05, crossing(bounds, information, 0), 0.0001)
	for k := range bounds {
		bounds[k] = 2.040 * math.Sqrt(5/float64(k+1))
	}
	require.InDelta(t, 0.05, crossing(bounds, information, 0), 0.0001)
}

// Whatever is done between a first look and a last one that nothing can cross, one look is the normal distribution.
func TestCrossingOfOneLook(t *testing.T) {
	for _, effect := range []float64{0, 0.7, -2.5, 40} {
		want := outside(1.96, effect*3, 1)
		require.InDelta(t, want, crossing([]float64{1.96}, []float64{9}, effect), 1e-12)
		require.InDelta(t, want, crossing([]float64{1e3, 50, 1.96}, []float64{1, 2, 9}, effect), 1e-9, "effect %v", effect)
	}
}

// The sequential boundary keeps α at any number of looks, evenly or not, with any tuning.
func TestSequentialBoundaryKeepsAlpha(t *testing.T) {
	for _, alpha := range []float64{0.01, 0.05, 0.2} {
		for _, tuning := range []float64{50, 5000, 5e5} {
			var bounds, information []float64
			for n := 20.0; n < 2e6; n *= 1.3 {
				bounds, information = append(bounds, boundary(n, alpha, tuning)), append(information, n)
			}
			p := crossing(bounds, information, 0)
			require.Less(t, p, alpha, "tuning %v", tuning)
			require.Greater(t, p, alpha/10, "tuning %v", tuning)
		}
	}
}
