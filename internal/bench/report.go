// Package bench measures cqrsflow on configured servers, each time against a bare loop that does the
// same I/O in the same run: absolute figures belong to a machine and a minute, ratios do not.
package bench

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"
	"time"
)

// Report is one benchmark's result; what does not apply is left out.
type Report struct {
	Bench  string         `json:"bench"`
	Inputs map[string]any `json:"inputs"`
	Ours   Figures        `json:"ours"`
	Bare   Figures        `json:"bare"`
	// Direct is the same with neither between, where something stands between.
	Direct *Figures `json:"direct,omitempty"`
	// Ratio is ours to bare: of the rates where there are any, else of the medians.
	Ratio float64 `json:"ratio"`
}

// Figures are what was measured of one side. Rate is in records a second, the rest in milliseconds.
type Figures struct {
	Rate  float64 `json:"rate,omitempty"`
	P50Ms float64 `json:"p50Ms,omitempty"`
	P99Ms float64 `json:"p99Ms,omitempty"`
	P999  float64 `json:"p999Ms,omitempty"`
}

func (r *Report) finish() *Report {
	switch {
	case r.Bare.Rate > 0:
		r.Ratio = r.Ours.Rate / r.Bare.Rate
	case r.Bare.P50Ms > 0:
		r.Ratio = r.Ours.P50Ms / r.Bare.P50Ms
	}
	r.Ratio = math.Round(r.Ratio*1000) / 1000
	return r
}

// Table prints the report for a person.
func (r *Report) Table(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(tw, "%s\trate/s\tp50 ms\tp99 ms\tp99.9 ms\n", r.Bench)
	type row struct {
		name string
		f    Figures
	}
	rows := []row{{"cqrsflow", r.Ours}, {"bare loop", r.Bare}}
	if r.Direct != nil {
		rows = append(rows, row{"direct", *r.Direct})
	}
	for _, row := range rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\n", row.name, cell(row.f.Rate, 0), cell(row.f.P50Ms, 2), cell(row.f.P99Ms, 2), cell(row.f.P999, 2))
	}
	fmt.Fprintf(tw, "ratio\t%.2f\n", r.Ratio)
	return tw.Flush()
}

func cell(v float64, digits int) string {
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf("%.*f", digits, v)
}

func percentiles(took []time.Duration) Figures {
	if len(took) == 0 {
		return Figures{}
	}
	slices.Sort(took)
	at := func(p float64) float64 {
		i := min(len(took)-1, int(p*float64(len(took))))
		return math.Round(float64(took[i])/1e4) / 100
	}
	return Figures{P50Ms: at(0.5), P99Ms: at(0.99), P999: at(0.999)}
}

func rate(n int, took time.Duration) float64 {
	return math.Round(float64(n) / took.Seconds())
}
