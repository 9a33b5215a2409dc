package stats_test

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

// A shop tries another order form. How many customers does it take, and what do their orders say?
func Example() {
	design := stats.Design{Mean: 0.30, Conversion: true, Effect: 0.10}
	units, err := design.Units()
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(units, "customers find 10 % more buyers in 4 of 5 experiments")

	plan := stats.Plan{
		Variants:   []stats.Variant{{Name: "v1", Weight: 1}, {Name: "v2", Weight: 1}},
		Primary:    stats.Metric{Name: "buyers", Kind: stats.Conversion},
		Guardrails: []stats.Metric{{Name: "revenue", Kind: stats.Mean, CUPED: true}},
		Units:      units,
	}
	r := rand.New(rand.NewPCG(1, 1))
	buyers, revenue := make([]stats.Moments, 2), make([]stats.Moments, 2)
	data := stats.Data{Units: make([]int64, 2), Metrics: map[string][]stats.Moments{"buyers": buyers, "revenue": revenue}}
	for i := range int(units) { // as they come out of a read model
		variant, before := i%2, 50*r.ExpFloat64()
		var buys, spends float64
		if r.Float64() < []float64{0.30, 0.33}[variant] {
			buys, spends = 1, 10+before
		}
		data.Units[variant]++
		buyers[variant].Add(stats.Unit{Value: buys})
		revenue[variant].Add(stats.Unit{Value: spends, Before: before})
	}
	report, err := stats.Judge(plan, data)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(report.Verdict, report.Variant)
	for _, m := range report.Metrics {
		v := m.Variants[0]
		fmt.Printf("%s: %+.0f %%, between %+.0f and %+.0f %%\n", m.Metric.Name, 100*v.Lift, 100*v.Low, 100*v.High)
	}
	// Output:
	// 8011 customers find 10 % more buyers in 4 of 5 experiments
	// better v2
	// buyers: +10 %, between +3 and +17 %
	// revenue: +11 %, between +1 and +20 %
}

// Why a test for one look must not be looked at every day.
func ExampleSimulation() {
	got, err := stats.Simulation{
		Experiments: 1000, Looks: 14, PerLook: 100, Seed: 1,
		Metric: stats.Metric{Name: "buyers", Kind: stats.Conversion},
		Draw: func(r *rand.Rand, _ bool) stats.Unit { // the same in both variants
			if r.Float64() < 0.2 {
				return stats.Unit{Value: 1}
			}
			return stats.Unit{}
		},
	}.Run(context.Background(), 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("significant, although nothing differs:")
	fmt.Printf("one look, at the end:          %2.0f %%\n", 100*got.Fixed)
	fmt.Printf("the same test, every day:      %2.0f %%\n", 100*got.Peeking)
	fmt.Printf("the sequential one, every day: %2.0f %%\n", 100*got.Sequential)
	// Output:
	// significant, although nothing differs:
	// one look, at the end:           5 %
	// the same test, every day:      23 %
	// the sequential one, every day:  2 %
}
