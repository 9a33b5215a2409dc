package stats

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/event"
)

// The textbook: (z₀.₉₇₅ + z₀.₈)² · 2 · σ²/δ² units a variant, which a relative lift of δ/µ has where it is small, and
// of two proportions the same with p(1−p). Of 10 % and 11 % that is 14,751 (Fleiss 1981, without his continuity correction); a test of the
// relative lift takes 6 % more, since the control's error counts 1.1-fold in it.
func TestUnitsOfTheTextbook(t *testing.T) {
	const z = 1.959963984540054 + 0.8416212335729143
	n, err := Design{Mean: 100, Deviation: 50, Effect: 0.0001}.Units()
	require.NoError(t, err)
	require.InEpsilon(t, z*z*4*50*50/(0.01*0.01), float64(n), 1e-4)
	n, err = Design{Mean: 0.1, Conversion: true, Effect: 0.0001}.Units()
	require.NoError(t, err)
	require.InEpsilon(t, z*z*4*0.1*0.9/(0.00001*0.00001), float64(n), 1e-3)
	n, err = Design{Mean: 0.1, Conversion: true, Effect: 0.1}.Units()
	require.NoError(t, err)
	require.InEpsilon(t, 2*14_751*1.06, float64(n), 0.005)
}

// Units, PowerAt and Detectable are one relation read in three directions, in all methods.
func TestDesignAgreesWithItself(t *testing.T) {
	for _, d := range []Design{
		{Mean: 0.05, Conversion: true, Effect: 0.1},
		{Mean: 20, Deviation: 45, Effect: 0.03, Share: 0.2, Power: 0.9, Alpha: 0.01},
		{Mean: 0.05, Conversion: true, Effect: 0.2, Method: Sequential},
		{Mean: 20, Deviation: 45, Effect: 0.1, Method: Sequential, Looks: 28, Tuning: 20_000},
	} {
		units, err := d.Units()
		require.NoError(t, err)
		power, err := d.PowerAt(units)
		require.NoError(t, err)
		checked, err := d.withDefaults()
		require.NoError(t, err)
		require.InDelta(t, checked.Power, power, 1e-4)
		require.GreaterOrEqual(t, power, checked.Power)
		effect, err := d.Detectable(units)
		require.NoError(t, err)
		require.InEpsilon(t, d.Effect, effect, 1e-3)
	}
}

// Looking every day has a price, which falls where one looks less often, and no look makes the plan longer than that.
func TestSequentialCostsUnits(t *testing.T) {
	fixed, err := Design{Mean: 0.1, Conversion: true, Effect: 0.1}.Units()
	require.NoError(t, err)
	once, err := Design{Mean: 0.1, Conversion: true, Effect: 0.1, Method: Sequential, Looks: 1}.Units()
	require.NoError(t, err)
	daily, err := Design{Mean: 0.1, Conversion: true, Effect: 0.1, Method: Sequential, Looks: 28}.Units()
	require.NoError(t, err)
	require.Less(t, fixed, daily)
	require.Less(t, daily, once) // an early look may already find it
	require.Less(t, once, 3*fixed)
}

func TestDesignIsChecked(t *testing.T) {
	for says, d := range map[string]Design{
		"mean is 0":              {Deviation: 1, Effect: 0.1},
		"mean is NaN":            {Mean: math.NaN(), Deviation: 1, Effect: 0.1},
		"deviation is 0":         {Mean: 1, Effect: 0.1},
		"effect is 0":            {Mean: 1, Deviation: 1},
		"effect is -1":           {Mean: 1, Deviation: 1, Effect: -1},
		"treatment converts 1.2": {Mean: 0.6, Conversion: true, Effect: 1},
		"control converts 1":     {Mean: 1, Conversion: true, Effect: 0.1},
		"share is 1":             {Mean: 1, Deviation: 1, Effect: 0.1, Share: 1},
		"alpha is 2":             {Mean: 1, Deviation: 1, Effect: 0.1, Alpha: 2},
		"power is 0.01":          {Mean: 1, Deviation: 1, Effect: 0.1, Power: 0.01},
		`method is "bayes"`:      {Mean: 1, Deviation: 1, Effect: 0.1, Method: "bayes"},
		"tuning is -1":           {Mean: 1, Deviation: 1, Effect: 0.1, Tuning: -1},
		"looks is 1001":          {Mean: 1, Deviation: 1, Effect: 0.1, Looks: 1001},
		"more than":              {Mean: 1, Deviation: 1, Effect: 1e-9},
	} {
		_, err := d.Units()
		require.ErrorContains(t, err, says)
		require.ErrorIs(t, err, event.ErrInvalid)
	}
	_, err := Design{Mean: 1, Deviation: 1, Effect: 1}.PowerAt(3)
	require.ErrorContains(t, err, "give at least 4")
	_, err = Design{Mean: 0.9, Conversion: true}.Detectable(20)
	require.ErrorContains(t, err, "take more units")
}
