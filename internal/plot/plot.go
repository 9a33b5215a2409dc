// Package plot draws small charts as inline SVG: no scripts, no fonts, no colours of their own. The page gives colours to the
// classes (plot-text, plot-faint, plot-axis, plot-bar, plot-mark, plot-line), so that a chart is readable in light and dark. Every chart
// is an image with a label that says in words what it shows.
package plot

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
)

// All charts are as wide; the page scales them.
const (
	width   = 720
	row     = 30
	label   = 230 // room for labels at the left
	numbers = 150 // room for numbers at the right
)

// svg collects the elements of a chart.
type svg struct{ strings.Builder }

func (s *svg) begin(title string, height int) {
	fmt.Fprintf(s, `<svg class="plot" role="img" aria-label="%s" viewBox="0 0 %d %d">`, html.EscapeString(title), width, height)
}

func (s *svg) end() template.HTML {
	s.WriteString("</svg>")
	return template.HTML(s.String()) //nolint:gosec // every text in it has been escaped
}

func (s *svg) text(x, y float64, class, anchor, text string) {
	fmt.Fprintf(s, `<text x="%s" y="%s" class="%s" text-anchor="%s">%s</text>`, num(x), num(y), class, anchor, html.EscapeString(text))
}

func (s *svg) rect(x, y, w, h float64, class, tip string) {
	fmt.Fprintf(s, `<rect x="%s" y="%s" width="%s" height="%s" rx="2" class="%s"><title>%s</title></rect>`, num(x), num(y), num(max(w, 0)), num(h), class, html.EscapeString(tip))
}

func (s *svg) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(s, `<line x1="%s" y1="%s" x2="%s" y2="%s" class="%s"/>`, num(x1), num(y1), num(x2), num(y2), class)
}

func num(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// Bar is one bar: Value is its length, Text what stands behind it.
type Bar struct {
	Label string
	Value float64
	Text  string
	// Class is one more class, for its colour; may be empty.
	Class string
}

// Bars draws a horizontal bar for each, the longest over the whole width. Negative values are drawn as nothing.
func Bars(title string, bars []Bar) template.HTML {
	var s svg
	s.begin(title, len(bars)*row+4)
	longest := 0.0
	for _, b := range bars {
		longest = max(longest, b.Value)
	}
	for i, b := range bars {
		y := float64(i * row)
		w := 0.0
		if longest > 0 {
			w = b.Value / longest * (width - label - numbers)
		}
		s.text(label-10, y+20, "plot-text", "end", short(b.Label))
		s.rect(label, y+6, w, row-12, strings.TrimSpace("plot-bar "+b.Class), b.Label+": "+b.Text)
		s.text(label+w+8, y+20, "plot-text", "start", b.Text)
	}
	return s.end()
}

// Estimate is a number and between which it lies; Text is for people.
type Estimate struct {
	Label            string
	Low, Value, High float64
	Text             string
}

// Estimates draws numbers with their intervals on one axis, whose ticks tick writes, and a line where nothing changes.
func Estimates(title string, unchanged float64, all []Estimate, tick func(float64) string) template.HTML {
	var s svg
	s.begin(title, len(all)*row+34)
	low, high := unchanged, unchanged
	for _, e := range all {
		low, high = min(low, e.Low, e.Value), max(high, e.High, e.Value)
	}
	ticks := ticksOf(low, high)
	low, high = min(low, ticks[0]), max(high, ticks[len(ticks)-1])
	x := func(v float64) float64 { return label + (v-low)/(high-low)*(width-label-numbers) }
	bottom := float64(len(all)*row + 4)
	for _, t := range ticks {
		s.line(x(t), 4, x(t), bottom, "plot-grid")
		s.text(x(t), bottom+18, "plot-faint", "middle", tick(t))
	}
	s.line(x(unchanged), 0, x(unchanged), bottom+4, "plot-axis")
	for i, e := range all {
		y := float64(i*row) + row/2 + 2
		s.text(label-10, y+5, "plot-text", "end", short(e.Label))
		s.line(x(e.Low), y, x(e.High), y, "plot-line")
		s.line(x(e.Low), y-5, x(e.Low), y+5, "plot-line")
		s.line(x(e.High), y-5, x(e.High), y+5, "plot-line")
		fmt.Fprintf(&s, `<circle cx="%s" cy="%s" r="5" class="plot-mark"><title>%s</title></circle>`, num(x(e.Value)), num(y), html.EscapeString(e.Label+": "+e.Text))
		s.text(width, y+5, "plot-text", "end", e.Text)
	}
	return s.end()
}

// Histogram draws how often values of about the same size are among sorted ones, and a line at mark. What is beyond the 1st
// and the 99th percentile is counted at the ends.
func Histogram(title string, sorted []float64, mark float64, tick func(float64) string) template.HTML {
	var s svg
	const height, bins, margin = 170, 40, 30
	s.begin(title, height)
	if len(sorted) == 0 {
		s.text(width/2, height/2, "plot-faint", "middle", "nothing was measured")
		return s.end()
	}
	at := func(q float64) float64 { return sorted[int(q*float64(len(sorted)-1))] }
	low, high := min(at(0.01), mark), max(at(0.99), mark)
	if ticks := ticksOf(low, high); true {
		low, high = min(low, ticks[0]), max(high, ticks[len(ticks)-1])
		x := func(v float64) float64 { return margin + (v-low)/(high-low)*(width-2*margin) }
		counts, most := make([]int, bins), 0
		for _, v := range sorted {
			i := min(bins-1, max(0, int((v-low)/(high-low)*bins)))
			counts[i]++
			most = max(most, counts[i])
		}
		for _, t := range ticks {
			s.line(x(t), 10, x(t), height-30, "plot-grid")
			s.text(x(t), height-12, "plot-faint", "middle", tick(t))
		}
		w := float64(width-2*margin) / bins
		for i, n := range counts {
			h := float64(n) / float64(most) * (height - 50)
			from := low + float64(i)*(high-low)/bins
			s.rect(margin+float64(i)*w+1, height-30-h, w-2, h, "plot-bar", fmt.Sprintf("%s to %s: %d", tick(from), tick(from+(high-low)/bins), n))
		}
		s.line(x(mark), 4, x(mark), height-26, "plot-axis")
	}
	return s.end()
}

// ticksOf are round numbers about evenly between low and high, one of them beyond each end.
func ticksOf(low, high float64) []float64 {
	if !(high > low) {
		spread := max(math.Abs(low)*0.1, 0.01)
		low, high = low-spread, high+spread
	}
	rough := (high - low) / 5
	unit := math.Pow(10, math.Floor(math.Log10(rough)))
	step := 10 * unit
	for _, s := range []float64{1, 2, 5} {
		if s*unit >= rough {
			step = s * unit
			break
		}
	}
	var out []float64
	for k := math.Floor(low/step + 1e-9); ; k++ {
		out = append(out, k*step)
		if k*step >= high-step*1e-9 {
			return out
		}
	}
}

// short cuts what has no room.
func short(s string) string {
	const most = 32
	if r := []rune(s); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return s
}
