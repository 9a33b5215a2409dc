package stats

import (
	"encoding/json"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// golden is testdata/gbstats.json, which testdata/gbstats.py made.
type golden struct {
	Gbstats string
	Cases   []struct {
		Name               string
		Metric             Metric
		Control, Treatment Sums
		Options            Options
		Want               struct {
			ControlMean, TreatmentMean, ControlDeviation, TreatmentDeviation float64
			Lift, Low, High, P, StandardError, Freedom, Theta                float64
		}
	}
	SRM []struct {
		Counts  []int64
		Weights []float64
		P       float64
	}
	Quantiles []struct {
		Values  []float64
		Q, Want float64
	}
	BenjaminiHochberg []struct{ P, Want []float64 }
}

func goldens(t *testing.T) golden {
	t.Helper()
	b, err := os.ReadFile("testdata/gbstats.json")
	require.NoError(t, err)
	var g golden
	require.NoError(t, json.Unmarshal(b, &g))
	return g
}

// near says that two numbers agree to 1e-6, relative where they are large.
func near(t *testing.T, want, got float64, args ...any) {
	t.Helper()
	if !(math.Abs(want-got) <= 1e-6*max(1, math.Abs(want))) {
		t.Errorf("want %v, got %v: %v", want, got, args)
	}
}

func TestComparisonsAgreeWithGbstats(t *testing.T) {
	g := goldens(t)
	require.Equal(t, "0.8.0", g.Gbstats)
	require.Len(t, g.Cases, 244)
	for _, c := range g.Cases {
		got, err := Compare(c.Metric, c.Control.Moments(), c.Treatment.Moments(), c.Options)
		require.NoError(t, err, "%s %+v", c.Name, c.Options)
		for _, n := range []struct {
			what      string
			want, got float64
		}{
			{"control", c.Want.ControlMean, got.Control.Mean},
			{"treatment", c.Want.TreatmentMean, got.Treatment.Mean},
			{"control's deviation", c.Want.ControlDeviation, math.Sqrt(got.Control.Variance)},
			{"treatment's deviation", c.Want.TreatmentDeviation, math.Sqrt(got.Treatment.Variance)},
			{"lift", c.Want.Lift, got.Lift},
			{"low", c.Want.Low, got.Low},
			{"high", c.Want.High, got.High},
			{"p", c.Want.P, got.P},
			{"standard error", c.Want.StandardError, got.StandardError},
			{"freedom", c.Want.Freedom, got.Freedom},
			{"theta", c.Want.Theta, got.Theta},
		} {
			near(t, n.want, n.got, n.what, c.Name, c.Options)
		}
	}
}

func TestSampleRatioAgreesWithGbstats(t *testing.T) {
	for _, c := range goldens(t).SRM {
		p, err := SampleRatio(c.Counts, c.Weights)
		require.NoError(t, err)
		near(t, c.P, p, c.Counts)
	}
}

func TestQuantilesAgreeWithNumpy(t *testing.T) {
	for _, c := range goldens(t).Quantiles {
		l, err := Percentiles(c.Values, 0, max(c.Q, 1e-300), false)
		require.NoError(t, err)
		switch c.Q {
		case 0: // as good as the quantile 0
			near(t, c.Want, l.High)
		case 1: // no limit
			require.Equal(t, math.Inf(1), l.High)
		default:
			near(t, c.Want, l.High)
			low, err := Percentiles(c.Values, c.Q, 1, false)
			require.NoError(t, err)
			near(t, c.Want, low.Low)
		}
	}
}

func TestBenjaminiHochbergAgreesWithScipy(t *testing.T) {
	for _, c := range goldens(t).BenjaminiHochberg {
		got, err := BenjaminiHochberg.Adjust(c.P)
		require.NoError(t, err)
		for i := range got {
			near(t, c.Want[i], got[i], c.P)
		}
	}
}
