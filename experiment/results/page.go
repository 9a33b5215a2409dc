package results

import (
	_ "embed"
	"html/template"
	"io"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/experiment/stats"
	"github.com/cqrsflow/cqrsflow/internal/plot"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"count": count, "share": share, "mean": mean, "lift": lift, "probability": probability,
	"weight": func(w int) string { return share(float64(w) / 10_000) },
	"at":     func(t time.Time) string { return clock(&t) },
}).Parse(pageText))

// view is what the page shows.
type view struct {
	*Report
	Said, When       string
	Good, Bad        bool
	Division, Effect template.HTML
	HasEffect        bool
}

// HTML writes the report as one page that needs nothing else: no scripts, no fonts, no other files.
func (r *Report) HTML(w io.Writer) error {
	v := view{Report: r, Said: r.said(), When: r.when(), Good: r.Verdict == stats.Better,
		Bad: r.Verdict == stats.Worse || r.Verdict == stats.Harmful || r.Verdict == stats.Blocked}
	var bars []plot.Bar
	for i, u := range r.Units {
		b := plot.Bar{Label: u.Variant, Value: float64(u.Units), Text: count(u.Units) + "  (" + share(u.Share) + ")"}
		if i == 0 {
			b.Class = "same"
		}
		bars = append(bars, b)
	}
	if r.Crossed > 0 {
		bars = append(bars, plot.Bar{Label: "crossed", Value: float64(r.Crossed), Text: count(r.Crossed)})
	}
	v.Division = plot.Bars("How many units were seen in each variant", bars)
	var estimates []plot.Estimate
	for _, m := range r.Metrics {
		for _, x := range m.Variants {
			if x.Difference == stats.Absolute {
				continue
			}
			label := m.Metric.Name
			if len(m.Variants) > 1 {
				label += ", " + x.Name
			}
			estimates = append(estimates, plot.Estimate{Label: label, Low: x.Low, Value: x.Lift, High: x.High, Text: signed(x.Lift)})
		}
	}
	v.HasEffect = len(estimates) > 0
	v.Effect = plot.Estimates("What the variants change about each metric, relative to the control, with intervals", 0, estimates,
		func(t float64) string { return strings.Replace(signed(t), ".00", "", 1) })
	return page.Execute(w, v)
}
