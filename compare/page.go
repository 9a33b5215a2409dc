package compare

import (
	_ "embed"
	"encoding/json"
	"html/template"
	"io"
	"strings"

	"github.com/cqrsflow/cqrsflow/internal/plot"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Funcs(template.FuncMap{
	"count": count, "percent": percent, "short": short, "clock": clock, "reason": reason, "ns": nanoseconds, "times": timesInterval,
	"kind":    func(k string) string { return kinds[k] },
	"example": func(e Example, a, b string) exampleView { return exampleView{&e, a, b} },
	"pretty": func(raw json.RawMessage) string {
		var v any
		if json.Unmarshal(raw, &v) != nil {
			return string(raw)
		}
		b, _ := json.MarshalIndent(v, "", "  ") // what was just decoded
		return string(b)
	},
}).Parse(pageText))

// HTML writes the report as one page that needs nothing else: no scripts, no fonts, no other files.
func (r *Report) HTML(w io.Writer) error {
	v := view{Report: r, Judged: r.judged(), Warnings: r.warnings()}
	agree, differ := share(r.Agree, r.Commands), share(r.Differ, r.Commands)
	v.AgreeShare, v.DifferShare = percent(agree), percent(differ)
	bars := []plot.Bar{{Label: "same decision", Value: float64(r.Agree), Text: count(r.Agree) + "  (" + percent(agree) + ")", Class: "same"}}
	byKind := map[string]int64{}
	for _, d := range r.Differences {
		byKind[d.Kind] += d.Count
	}
	for _, k := range []string{KindEvents, KindRejects, KindAccepts, KindCode, KindPanic, KindStuck} {
		if n := byKind[k]; n > 0 {
			bars = append(bars, plot.Bar{Label: kinds[k], Value: float64(n), Text: count(n) + "  (" + percent(share(n, r.Commands)) + ")"})
		}
	}
	v.Decisions = plot.Bars("How many commands both versions decide the same, and how the others differ", bars)
	var estimates []plot.Estimate
	for i := range r.Metrics {
		e := &r.Metrics[i]
		v.Effects = append(v.Effects, effectView{e.Title, e.amount(e.Control), e.amount(e.Candidate), e.change(e.Difference.Value), e.relative(), e.interval()})
		if e.Relative != nil {
			estimates = append(estimates, plot.Estimate{Label: e.Title, Low: e.Relative.Low, Value: e.Relative.Value, High: e.Relative.High, Text: signedPercent(e.Relative.Value)})
		}
	}
	v.HasEstimates = len(estimates) > 0
	v.Relative = plot.Estimates("What the candidate changes about each metric, relative to the control, with 95 % intervals", 0, estimates,
		func(t float64) string { return strings.Replace(signedPercent(t), ".00", "", 1) })
	if r.Speed != nil && r.Speed.Note == "" {
		v.Ratios = plot.Histogram("How often the candidate took how many times as long as the control for the same decision", r.Speed.Ratios, 1, times)
	}
	return page.Execute(w, v)
}

// view is what the page shows.
type view struct {
	*Report
	Judged                      string
	Warnings                    []string
	AgreeShare, DifferShare     string
	Decisions, Relative, Ratios template.HTML
	HasEstimates                bool
	Effects                     []effectView
}

type exampleView struct {
	E    *Example
	A, B string
}

type effectView struct{ Title, Control, Candidate, Change, Relative, Interval string }

// Why lists why commands were not compared.
func (v view) Why() []string { return v.reasons() }
