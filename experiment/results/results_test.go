package results

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/assign"
	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

var at = time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)

func state(change func(*experiment.State)) experiment.State {
	s := experiment.State{Status: experiment.Running, PlanNumber: 1, StartedAt: &at, Plan: experiment.Plan{Hypothesis: "<more> & better", Aggregate: "order", Unit: experiment.Customer, Units: 600,
		Variants: []assign.Variant{{Name: "v1", Weight: 5000}, {Name: "v2", Weight: 5000}}, Primary: experiment.PlanMetric{Name: "revenue", Kind: stats.Mean},
		Guardrails: []experiment.PlanMetric{{Name: "buyers", Kind: stats.Conversion}, {Name: "items", Kind: stats.Ratio, Lower: true}}}}
	if change != nil {
		change(&s)
	}
	return s
}

// units are n units as they were given to variants.
func units(t *testing.T, s experiment.State, n int) []Seen {
	t.Helper()
	a, err := s.Plan.Assigner("ship", s.PlanNumber)
	require.NoError(t, err)
	var out []Seen
	for i := range n {
		unit := fmt.Sprint("u-", i)
		v, _ := a.Variant(unit)
		out = append(out, Seen{Unit: unit, Variant: v, Variants: 1})
	}
	return out
}

// report judges units of which value says what each did in a metric.
func report(t *testing.T, s experiment.State, seen []Seen, value func(i int, s Seen, metric string) (stats.Unit, bool)) *Report {
	t.Helper()
	c, err := NewCollector("ship", s.PlanNumber, s.Plan)
	require.NoError(t, err)
	for _, u := range seen {
		c.See(u)
	}
	moments := map[string][]stats.Moments{}
	for _, m := range s.Plan.Metrics() {
		moments[m.Name], err = c.Moments(m, func(f func(Value) error) error {
			for i, u := range seen {
				v, measured := value(i, u, m.Name)
				if err := f(Value{Seen: u, Unit: v, Measured: measured}); err != nil {
					return err
				}
			}
			return nil
		})
		require.NoError(t, err)
	}
	r, err := New("ship", s, c, moments)
	require.NoError(t, err)
	return r
}

// spends is a tenth more in the second variant; everybody buys, and for an item they pay the same.
func spends(i int, s Seen, metric string) (stats.Unit, bool) {
	v := 10 + float64(i%3)
	if s.Variant == "v2" && metric != "items" {
		v *= 1.1
	}
	return stats.Unit{Value: v, Denominator: 2 + float64(i%2)}, true
}

func TestVerdictForPeople(t *testing.T) {
	s := state(nil)
	r := report(t, s, units(t, s, 600), spends)
	require.Equal(t, stats.Better, r.Verdict, "%v", r.Reasons)
	require.Equal(t, "v2", r.Variant)
	require.EqualValues(t, 600, r.Seen)
	var table, page strings.Builder
	require.NoError(t, r.Table(&table))
	for _, want := range []string{"ship, plan 1: running since 2026-01-31 12:00:00Z", "better: v2 is better than the control", "600 of 600 planned units, 0 crossed", "significant", "+9.73 %"} {
		require.Contains(t, table.String(), want)
	}
	require.NoError(t, r.HTML(&page))
	require.Contains(t, page.String(), "&lt;more&gt; &amp; better")
	require.Contains(t, page.String(), "<svg")
	for _, never := range []string{"<script", "src=", "href=", "ZgotmplZ", "<more>"} {
		require.NotContains(t, page.String(), never)
	}
	// It is what clients decode again.
	text, err := json.Marshal(r)
	require.NoError(t, err)
	var again Report
	require.NoError(t, json.Unmarshal(text, &again))
	require.Equal(t, *r, again)
}

// What cannot be trusted is blocked and said, at each gate; the page marks it.
func TestHealthGates(t *testing.T) {
	s := state(nil)
	for want, tc := range map[string]struct {
		seen  func([]Seen) []Seen
		value func(int, Seen, string) (stats.Unit, bool)
	}{
		stats.TooFewUnits: {seen: func(u []Seen) []Seen { return u[:150] }},
		stats.Crossover: {seen: func(u []Seen) []Seen {
			u[5].Variants = 2
			return u
		}},
		// One that was seen in a variant that it was not given has crossed, too.
		stats.Crossover + " ": {seen: func(u []Seen) []Seen {
			u[5].Variant = map[string]string{"v1": "v2", "v2": "v1"}[u[5].Variant]
			return u
		}},
		stats.SampleRatioMismatch: {seen: func(u []Seen) (out []Seen) {
			for i, x := range u {
				if x.Variant == "v1" || i%2 == 0 {
					out = append(out, x)
				}
			}
			return out
		}},
		stats.MetricMissing: {value: func(i int, s Seen, metric string) (stats.Unit, bool) {
			u, _ := spends(i, s, metric)
			return u, metric != "buyers" || s.Variant == "v1"
		}},
	} {
		seen, value := units(t, s, 600), tc.value
		if tc.seen != nil {
			seen = tc.seen(seen)
		}
		if value == nil {
			value = spends
		}
		r := report(t, s, seen, value)
		require.Equal(t, stats.Blocked, r.Verdict, want)
		for _, x := range r.Reasons {
			require.Equal(t, strings.TrimSpace(want), x.Code, "%v", r.Reasons)
		}
		var table strings.Builder
		require.NoError(t, r.Table(&table))
		require.Contains(t, table.String(), strings.TrimSpace(want)+": ")
		require.Contains(t, table.String(), "cannot be trusted")
	}
}

// Values beyond a limit count as it, and what is no more than a few units' does not decide.
func TestValuesAreCapped(t *testing.T) {
	huge := func(i int, s Seen, metric string) (stats.Unit, bool) {
		u, ok := spends(i, s, metric)
		if i == 3 {
			u.Value = 1e9
		}
		return u, ok
	}
	for _, change := range []func(*experiment.PlanMetric){func(m *experiment.PlanMetric) { m.Cap = 20 }, func(m *experiment.PlanMetric) { m.CapQuantile = 0.99 }} {
		s := state(func(s *experiment.State) { change(&s.Plan.Primary) })
		r := report(t, s, units(t, s, 600), huge)
		for _, m := range r.Measured[:2] {
			require.Less(t, m.Mean, 13.0)
		}
	}
	s := state(nil)
	require.Greater(t, report(t, s, units(t, s, 600), huge).Measured[0].Mean+report(t, s, units(t, s, 600), huge).Measured[1].Mean, 1e6)
}

// Before the start, and under one variant alone, there is nothing to judge.
func TestNothingToJudge(t *testing.T) {
	draft := state(func(s *experiment.State) { s.Status, s.StartedAt = experiment.Defined, nil })
	r := report(t, draft, nil, spends)
	require.Equal(t, []stats.Reason{{Code: NotStarted, Detail: "the plan has not been started"}}, r.Reasons)
	alone := state(func(s *experiment.State) { s.Plan.Variants = []assign.Variant{{Name: "v1", Weight: 10000}} })
	r = report(t, alone, units(t, alone, 50), spends)
	require.Equal(t, stats.Running, r.Verdict)
	require.Equal(t, RunIn, r.Reasons[0].Code)
	require.EqualValues(t, 50, r.Measured[0].Units)
	require.NotNil(t, r.Measured[0].Deviation)
	var table strings.Builder
	require.NoError(t, r.Table(&table))
	require.Contains(t, table.String(), "DEVIATION")
}

func TestSalts(t *testing.T) {
	for text, want := range map[string]int{"ship/1": 1, "a.b:c/20": 20} {
		id, n, ok := experiment.ParseSalt(text)
		require.True(t, ok)
		require.Equal(t, want, n)
		require.Equal(t, text, experiment.Salt(id, n))
	}
	for _, text := range []string{"", "ship", "ship/", "ship/0", "ship/-1", "ship/01", "/1", "ship/1/2", "ship/x"} {
		_, _, ok := experiment.ParseSalt(text)
		require.False(t, ok, text)
	}
}
