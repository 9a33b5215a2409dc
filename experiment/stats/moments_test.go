package stats

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func added(units ...Unit) (m Moments) {
	for _, u := range units {
		m.Add(u)
	}
	return m
}

func summed(units ...Unit) (s Sums) {
	s.N = int64(len(units))
	for _, u := range units {
		x, k := [values]float64{u.Value, u.Denominator, u.Before, u.BeforeDenominator}, 0
		for i := range x {
			s.Sum[i] += x[i]
			for j := i; j < values; j++ {
				s.Products[k] += x[i] * x[j]
				k++
			}
		}
	}
	return s
}

// Moments are of all units, in whatever order and parts these come, and the same from SQL's sums.
func TestMomentsOfParts(t *testing.T) {
	number := rapid.Custom(func(t *rapid.T) float64 { return float64(rapid.IntRange(-1000, 1000).Draw(t, "x")) / 8 })
	unit := rapid.Custom(func(t *rapid.T) Unit {
		return Unit{number.Draw(t, "v"), number.Draw(t, "d"), number.Draw(t, "b"), number.Draw(t, "bd")}
	})
	rapid.Check(t, func(t *rapid.T) {
		units := rapid.SliceOfN(unit, 0, 40).Draw(t, "units")
		cut := rapid.IntRange(0, len(units)).Draw(t, "cut")
		merged := added(units[cut:]...)
		merged.Merge(added(units[:cut]...))
		for _, other := range []Moments{merged, summed(units...).Moments()} {
			want := added(units...)
			require.Equal(t, want.N, other.N)
			for i := range want.Mean {
				require.InDelta(t, want.Mean[i], other.Mean[i], 1e-9)
			}
			for i := range want.Products {
				require.InDelta(t, want.Products[i], other.Products[i], 1e-5)
			}
		}
	})
}

// Sums of squares would lose this variance: a billion and a bit.
func TestMomentsKeepDigits(t *testing.T) {
	var m Moments
	for i := range 1000 {
		part := added(Unit{Value: 1e9 + float64(i%2)})
		if i%3 == 0 {
			m.Merge(part)
		} else {
			m.Add(Unit{Value: 1e9 + float64(i%2)})
		}
	}
	require.InEpsilon(t, 250.0/999, m.covariance(value, value), 1e-9)
}

func TestProductsAreInOrder(t *testing.T) {
	k := 0
	for i := range values {
		for j := i; j < values; j++ {
			require.Equal(t, k, product(i, j))
			k++
		}
	}
	require.Equal(t, products, k)
}

func TestMomentsOfNothing(t *testing.T) {
	require.Equal(t, Moments{}, Sums{}.Moments())
	m := added(Unit{Value: 3})
	m.Merge(Moments{})
	require.Equal(t, added(Unit{Value: 3}), m)
	require.Zero(t, m.covariance(value, value))
	bad := added(Unit{Value: 1}, Unit{Value: math.Inf(1)})
	require.False(t, bad.finite())
}
