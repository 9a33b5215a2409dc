package stats

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/event"
)

// spent are the moments of n units with a mean and a deviation of 10.
func spent(n int64, mean float64) Moments {
	return Moments{N: n, Mean: [values]float64{mean}, Products: [products]float64{100 * float64(n-1)}}
}

func plan() Plan {
	return Plan{
		Variants: []Variant{{"control", 1}, {"candidate", 1}}, Units: 2000,
		Primary: revenue, Guardrails: []Metric{{Name: "errors", Kind: Conversion, Lower: true}},
	}
}

// data of 1,000 units each: revenue of 20 and of that, and so many errors.
func data(revenue float64, errors ...int64) Data {
	return Data{
		Units:   []int64{1000, 1000},
		Metrics: map[string][]Moments{"revenue": {spent(1000, 20), spent(1000, revenue)}, "errors": {converted(errors[0], 1000), converted(errors[1], 1000)}},
	}
}

func codes(r Report) (out []string) {
	for _, x := range r.Reasons {
		out = append(out, x.Code)
	}
	return out
}

func TestVerdicts(t *testing.T) {
	early := func(d Data) Data {
		d.Units = []int64{900, 900}
		d.Metrics = map[string][]Moments{"revenue": {spent(900, 20), spent(900, d.Metrics["revenue"][1].Mean[0])}, "errors": {converted(20, 900), converted(20, 900)}}
		return d
	}
	sequential := func(p *Plan) { p.Method = Sequential }
	for name, tc := range map[string]struct {
		change  func(*Plan)
		data    Data
		verdict Verdict
		variant string
		codes   []string
	}{
		"better":                             {nil, data(23, 20, 20), Better, "candidate", []string{PrimaryBetter}},
		"worse":                              {nil, data(17, 20, 20), Worse, "candidate", []string{PrimaryWorse}},
		"nothing":                            {nil, data(20.2, 20, 20), Inconclusive, "", []string{NotSignificant}},
		"better, with errors":                {nil, data(23, 20, 60), Harmful, "candidate", []string{GuardrailWorse, PrimaryBetter}},
		"fewer errors are no harm":           {nil, data(23, 60, 20), Better, "candidate", []string{PrimaryBetter}},
		"errors only":                        {nil, data(20.2, 20, 60), Harmful, "", []string{GuardrailWorse}},
		"no errors in either":                {nil, data(23, 0, 0), Better, "candidate", []string{PrimaryBetter}},
		"errors where none were":             {nil, data(23, 0, 40), Harmful, "candidate", []string{GuardrailWorse, PrimaryBetter}},
		"no look before the last":            {nil, early(data(23, 20, 20)), Running, "", []string{BeforeHorizon}},
		"sequential, early and clear":        {sequential, early(data(23, 20, 20)), Better, "candidate", []string{PrimaryBetter}},
		"sequential, early and not":          {sequential, early(data(20.2, 20, 20)), Running, "", []string{NotSignificant}},
		"sequential, at the end":             {sequential, data(20.2, 20, 20), Inconclusive, "", []string{NotSignificant}},
		"less is better":                     {func(p *Plan) { p.Primary.Lower = true }, data(17, 20, 20), Better, "candidate", []string{PrimaryBetter}},
		"proportions for the guardrail only": {func(p *Plan) { p.Primary, p.Guardrails = p.Guardrails[0], []Metric{p.Primary}; p.Method = Proportions }, data(20, 60, 20), Better, "candidate", []string{PrimaryBetter}},
	} {
		p := plan()
		if tc.change != nil {
			tc.change(&p)
		}
		r, err := Judge(p, tc.data)
		require.NoError(t, err, name)
		require.Equal(t, tc.verdict, r.Verdict, "%s: %+v", name, r.Reasons)
		require.Equal(t, tc.variant, r.Variant, name)
		require.Equal(t, tc.codes, codes(r), name)
		_, err = json.Marshal(r) // no infinities
		require.NoError(t, err, name)
	}
}

// Whatever the difference, what is wrong with the experiment comes first.
func TestBlockedVerdicts(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Plan, *Data)
		codes  []string
	}{
		"sample ratio": {func(p *Plan, _ *Data) { p.Variants[1].Weight = 1.25 }, []string{SampleRatioMismatch}},
		"one crossed":  {func(_ *Plan, d *Data) { d.Crossed = 1 }, []string{Crossover}},
		"more crossed than may": {func(p *Plan, d *Data) {
			d.Crossed, p.MaxCrossed = 30, 0.01
		}, []string{Crossover}},
		"too few":                     {func(p *Plan, _ *Data) { p.MinUnits = 1001 }, []string{TooFewUnits, TooFewUnits}},
		"no primary metric":           {func(_ *Plan, d *Data) { delete(d.Metrics, "revenue") }, []string{MetricMissing}},
		"no guardrail":                {func(_ *Plan, d *Data) { delete(d.Metrics, "errors") }, []string{MetricMissing}},
		"no guardrail of a variant":   {func(_ *Plan, d *Data) { d.Metrics["errors"][1] = Moments{} }, []string{MetricMissing}},
		"too few variants":            {func(_ *Plan, d *Data) { d.Metrics["errors"] = d.Metrics["errors"][:1] }, []string{MetricMissing}},
		"some units lack the metric":  {func(_ *Plan, d *Data) { d.Metrics["revenue"][1] = spent(990, 23) }, []string{MetricIncomplete}},
		"all are alike, and differ":   {func(_ *Plan, d *Data) { d.Metrics["errors"] = []Moments{converted(0, 1000), converted(1000, 1000)} }, []string{NotComparable}},
		"several reasons, all listed": {func(p *Plan, d *Data) { d.Crossed, p.MinUnits = 5, 5000 }, []string{TooFewUnits, TooFewUnits, Crossover}},
	} {
		for _, method := range []Method{Fixed, Sequential} {
			p, d := plan(), data(30, 20, 20)
			p.Method = method
			tc.change(&p, &d)
			r, err := Judge(p, d)
			require.NoError(t, err, name)
			require.Equal(t, Blocked, r.Verdict, name)
			require.Equal(t, tc.codes, codes(r), name)
			require.Empty(t, r.Variant, name)
			require.Len(t, r.Metrics, 2, name)
		}
	}
	p, d := plan(), data(30, 20, 20)
	d.Crossed, p.MaxCrossed = 20, 0.01
	r, err := Judge(p, d)
	require.NoError(t, err)
	require.Equal(t, Better, r.Verdict)
}

// The gate is at p < 0.001: 1,000 and 1,146 units have 0.0016, 1,000 and 1,158 have 0.0007.
func TestSampleRatioGate(t *testing.T) {
	for units, want := range map[int64]Verdict{1146: Better, 1158: Blocked} {
		d := data(23, 20, 20)
		d.Units[1], d.Metrics["revenue"][1], d.Metrics["errors"][1] = units, spent(units, 23), converted(20, units)
		r, err := Judge(plan(), d)
		require.NoError(t, err)
		require.Equal(t, want, r.Verdict, "p = %v", r.SampleRatio)
	}
}

// Three variants: the best of those that harm nothing is named, and one that is worse does not speak for the others.
func TestSeveralVariants(t *testing.T) {
	p := plan()
	p.Variants = append(p.Variants, Variant{"other", 1})
	p.Units = 3000
	three := func(a, b float64, ea, eb int64) Data {
		d := data(a, 20, ea)
		d.Units = append(d.Units, 1000)
		d.Metrics["revenue"] = append(d.Metrics["revenue"], spent(1000, b))
		d.Metrics["errors"] = append(d.Metrics["errors"], converted(eb, 1000))
		return d
	}
	for name, tc := range map[string]struct {
		d       Data
		verdict Verdict
		variant string
	}{
		"both better":                 {three(23, 24, 20, 20), Better, "other"},
		"both better, one harms":      {three(23, 24, 20, 70), Better, "candidate"},
		"both better, the best harms": {three(24, 23, 70, 20), Better, "other"},
		"both better, both harm":      {three(23, 24, 70, 70), Harmful, "other"},
		"one worse, one nothing":      {three(17, 20.1, 20, 20), Worse, "candidate"},
		"one worse, one better":       {three(17, 23, 20, 20), Better, "other"},
		"one harms, one nothing":      {three(20, 20, 70, 20), Inconclusive, ""},
		"both harm, nothing else":     {three(20, 20, 70, 70), Harmful, ""},
	} {
		r, err := Judge(p, tc.d)
		require.NoError(t, err, name)
		require.Equal(t, tc.verdict, r.Verdict, "%s: %v", name, r.Reasons)
		require.Equal(t, tc.variant, r.Variant, name)
	}
}

// Two comparisons, of which one would be significant at 5 % if it were alone.
func TestVerdictIsCorrected(t *testing.T) {
	d := data(20.93, 20, 20)
	for c, want := range map[Correction]Verdict{"": Inconclusive, Bonferroni: Inconclusive, BenjaminiHochberg: Inconclusive, Uncorrected: Better} {
		p := plan()
		p.Correction = c
		r, err := Judge(p, d)
		require.NoError(t, err)
		require.Equal(t, want, r.Verdict, "%s", c)
		v := r.Metrics[0].Variants[0]
		require.InDelta(t, 0.0423, v.P, 0.0001)
		if c == Bonferroni { // whose intervals say the same as its verdict
			require.Less(t, v.Low, 0.0)
		} else {
			require.Greater(t, v.Low, 0.0)
		}
	}
}

func TestPlanIsChecked(t *testing.T) {
	for says, change := range map[string]func(*Plan){
		"1 variants":                      func(p *Plan) { p.Variants = p.Variants[:1] },
		`variants[1] is called ""`:        func(p *Plan) { p.Variants[1].Name = "" },
		`variants[1] is called "control"`: func(p *Plan) { p.Variants[1].Name = "control" },
		"weighs 0":                        func(p *Plan) { p.Variants[0].Weight = 0 },
		"weighs +Inf":                     func(p *Plan) { p.Variants[0].Weight = math.Inf(1) },
		`metric 1 is called "revenue"`:    func(p *Plan) { p.Guardrails[0].Name = "revenue" },
		`its kind is "median"`:            func(p *Plan) { p.Guardrails[0].Kind = "median" },
		"units is 0":                      func(p *Plan) { p.Units = 0 },
		"minUnits is 1":                   func(p *Plan) { p.MinUnits = 1 },
		"maxCrossed is 1":                 func(p *Plan) { p.MaxCrossed = 1 },
		"method proportions is for":       func(p *Plan) { p.Method = Proportions },
		"alpha is -1":                     func(p *Plan) { p.Alpha = -1 },
		`correction is "sidak"`:           func(p *Plan) { p.Correction = "sidak" },
	} {
		p := plan()
		change(&p)
		_, err := Judge(p, data(20, 20, 20))
		require.ErrorContains(t, err, says)
		require.ErrorIs(t, err, event.ErrInvalid)
	}
	d := data(20, 20, 20)
	d.Units = d.Units[:1]
	_, err := Judge(plan(), d)
	require.ErrorContains(t, err, "units of 1 variants")
	d = data(20, 20, 20)
	d.Metrics["revenue"][0].Mean[0] = math.NaN()
	_, err = Judge(plan(), d)
	require.ErrorContains(t, err, "not all numbers")
}
