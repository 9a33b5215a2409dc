package plot_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"io"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/internal/plot"
)

func tick(v float64) string { return fmt.Sprintf("%.3g", v) }

// Charts are well-formed, say what they are, and whatever is in a label stays text.
func TestCharts(t *testing.T) {
	const nasty = `<script>alert("x")</script>&`
	for name, chart := range map[string]template.HTML{
		"bars":             plot.Bars(nasty, []plot.Bar{{Label: nasty, Value: 3, Text: nasty}, {Label: "none"}}),
		"no bars":          plot.Bars("t", nil),
		"estimates":        plot.Estimates(nasty, 0, []plot.Estimate{{Label: nasty, Low: -1, Value: 2, High: 3, Text: "2"}}, tick),
		"one number":       plot.Estimates("t", 0, []plot.Estimate{{Label: "same"}}, tick),
		"no estimates":     plot.Estimates("t", 0, nil, tick),
		"histogram":        plot.Histogram(nasty, []float64{0.9, 1, 1.1, 50}, 1, tick),
		"one value":        plot.Histogram("t", []float64{1}, 1, tick),
		"histogram of nil": plot.Histogram("t", nil, 1, tick),
	} {
		t.Run(name, func(t *testing.T) {
			if strings.Contains(string(chart), "<script") || strings.Contains(string(chart), "NaN") || strings.Contains(string(chart), "Inf") {
				t.Errorf("%s", chart)
			}
			if !strings.Contains(string(chart), `role="img" aria-label="`) {
				t.Errorf("it says nothing to who cannot see it: %s", chart)
			}
			for d := xml.NewDecoder(strings.NewReader(string(chart))); ; {
				if _, err := d.Token(); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					t.Fatalf("%v: %s", err, chart)
				}
			}
		})
	}
}

// A bar is as long as its value is large, and an interval lies where its numbers are.
func TestWhereThingsAre(t *testing.T) {
	chart := string(plot.Bars("t", []plot.Bar{{Label: "a", Value: 4}, {Label: "b", Value: 1}}))
	if !strings.Contains(chart, `width="340"`) || !strings.Contains(chart, `width="85"`) {
		t.Error(chart)
	}
	chart = string(plot.Estimates("t", 0, []plot.Estimate{{Label: "a", Low: 0, Value: 5, High: 10}}, tick))
	if !strings.Contains(chart, `<circle cx="400"`) || !strings.Contains(chart, `<line x1="230" y1="17" x2="570" y2="17" class="plot-line"/>`) {
		t.Error(chart)
	}
}
