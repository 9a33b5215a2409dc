package results

import (
	"math"
	"time"

	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

// The codes of reasons for having no verdict, besides those of package stats.
const (
	// NotStarted: the plan has not been started.
	NotStarted = "not_started"
	// RunIn: the plan has one variant: it measures, and compares nothing.
	RunIn = "run_in"
)

// Report is what an experiment has shown so far.
type Report struct {
	Experiment string `json:"experiment"`
	Status     string `json:"status"`
	PlanNumber int    `json:"planNumber"`
	// Plan is what it is judged by.
	Plan      experiment.Plan      `json:"plan"`
	StartedAt *time.Time           `json:"startedAt,omitempty"`
	StoppedAt *time.Time           `json:"stoppedAt,omitempty"`
	Decision  *experiment.Decision `json:"decision,omitempty"`
	// Verdict, the variant that it is about, and why.
	Verdict stats.Verdict  `json:"verdict"`
	Variant string         `json:"variant,omitempty"`
	Reasons []stats.Reason `json:"reasons"`
	// SampleRatio is the p-value of the units being divided by the weights; absent where there is nothing to compare.
	SampleRatio *float64 `json:"sampleRatio,omitempty"`
	// Units are how many were seen of each variant, in the plan's order; Seen all of them, with those that Crossed.
	Units   []Units `json:"units"`
	Seen    int64   `json:"seen"`
	Crossed int64   `json:"crossed"`
	// Measured is each metric of each variant by itself; Metrics compare them with the control's.
	Measured []Measured           `json:"measured"`
	Metrics  []stats.MetricReport `json:"metrics"`
}

// Units is how many units of a variant were seen.
type Units struct {
	Variant string `json:"variant"`
	// Weight is its part of 10,000, Share that of the units that were seen.
	Weight int     `json:"weight"`
	Units  int64   `json:"units"`
	Share  float64 `json:"share"`
}

// Measured is a metric of one variant.
type Measured struct {
	Metric  string `json:"metric"`
	Variant string `json:"variant"`
	Units   int64  `json:"units"`
	// Mean is a unit's, or a ratio of totals. Deviation is a unit's; absent of a ratio.
	Mean      float64  `json:"mean"`
	Deviation *float64 `json:"deviation,omitempty"`
}

// New judges what was collected, with the moments of each metric by its name. Errors wrap event.ErrInvalid: the plan contradicts itself.
func New(id string, s experiment.State, c *Collector, moments map[string][]stats.Moments) (*Report, error) {
	r := &Report{Experiment: id, Status: s.Status, PlanNumber: s.PlanNumber, Plan: s.Plan, StartedAt: s.StartedAt, StoppedAt: s.StoppedAt, Decision: s.Decision,
		Verdict: stats.Running, Reasons: []stats.Reason{}, Crossed: c.crossed, Seen: c.crossed, Measured: []Measured{}, Metrics: []stats.MetricReport{}}
	var assigned int64
	for _, n := range c.units {
		assigned += n
	}
	r.Seen += assigned
	for i, v := range s.Plan.Variants {
		u := Units{Variant: v.Name, Weight: v.Weight, Units: c.units[i]}
		if assigned > 0 {
			u.Share = float64(u.Units) / float64(assigned)
		}
		r.Units = append(r.Units, u)
	}
	for _, m := range s.Plan.Metrics() {
		for i, got := range moments[m.Name] {
			r.Measured = append(r.Measured, measuredOf(m, s.Plan.Variants[i].Name, got))
		}
	}
	switch {
	case s.StartedAt == nil:
		r.Reasons = append(r.Reasons, stats.Reason{Code: NotStarted, Detail: "the plan has not been started"})
		return r, nil
	case s.Plan.RunIn():
		r.Reasons = append(r.Reasons, stats.Reason{Code: RunIn, Detail: "the plan has one variant: it measures what there is, for the next plan"})
		return r, nil
	}
	judged, err := stats.Judge(s.Plan.Stats(), stats.Data{Units: c.units, Crossed: c.crossed, Metrics: moments})
	if err != nil {
		return nil, err
	}
	r.Verdict, r.Variant, r.Reasons, r.SampleRatio = judged.Verdict, judged.Variant, judged.Reasons, &judged.SampleRatio
	if judged.Metrics != nil {
		r.Metrics = judged.Metrics
	}
	return r, nil
}

func measuredOf(m experiment.PlanMetric, variant string, got stats.Moments) Measured {
	out := Measured{Metric: m.Name, Variant: variant, Units: got.N, Mean: got.Mean[0]}
	if m.Kind == stats.Ratio {
		if out.Mean = 0; got.Mean[1] != 0 {
			out.Mean = got.Mean[0] / got.Mean[1]
		}
		return out
	}
	if got.N > 1 {
		d := math.Sqrt(got.Products[0] / float64(got.N-1))
		out.Deviation = &d
	}
	return out
}
