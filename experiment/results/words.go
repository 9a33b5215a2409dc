package results

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

// How numbers, times and verdicts are written for people, in the terminal and on the page.

// count writes a number with commas between thousands.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// signed writes a share of one in percent, with its sign.
func signed(v float64) string {
	s := strings.Replace(fmt.Sprintf("%.2f %%", 100*v), "-", "−", 1)
	if v > 0 {
		s = "+" + s
	}
	return s
}

func share(v float64) string { return fmt.Sprintf("%.1f %%", 100*v) }

// probability writes a p-value.
func probability(p float64) string {
	if p < 0.0001 {
		return "< 0.0001"
	}
	return strconv.FormatFloat(p, 'f', 4, 64)
}

// mean writes a metric's value: conversions are shares.
func mean(k stats.Kind, v float64) string {
	switch {
	case k == stats.Conversion:
		return fmt.Sprintf("%.2f %%", 100*v)
	case math.Abs(v) >= 0.01 && math.Abs(v) < 1e9 || v == 0:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return fmt.Sprintf("%.4g", v)
}

// lift writes a difference that is relative, or else in the metric's own unit.
func lift(v stats.VariantReport, x float64) string {
	if v.Difference == stats.Absolute {
		return fmt.Sprintf("%+.4g", x)
	}
	return signed(x)
}

func clock(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// verdicts are what each says, in a sentence; %s is the variant.
var verdicts = map[stats.Verdict]string{
	stats.Better:       "%s is better than the control, and no guardrail is worse.",
	stats.Worse:        "%s is worse than the control.",
	stats.Harmful:      "A guardrail became worse%s.",
	stats.Inconclusive: "All planned units have been seen, and nothing is significant: an effect as large as planned is unlikely.",
	stats.Blocked:      "There is no verdict: the numbers cannot be trusted. Find out why before anything is read from them.",
}

// said is the verdict in a sentence.
func (r *Report) said() string {
	switch r.Verdict {
	case stats.Running:
		switch {
		case r.Status == experiment.Defined:
			return "It has not been started."
		case r.Plan.RunIn():
			return "It measures what there is, and compares nothing."
		case r.Status != experiment.Running:
			return "It was stopped before there could be a verdict."
		}
		return "It is too early to tell."
	case stats.Better, stats.Worse:
		return fmt.Sprintf(verdicts[r.Verdict], r.Variant)
	case stats.Harmful:
		in := ""
		if r.Variant != "" {
			in = " in " + r.Variant
		}
		return fmt.Sprintf(verdicts[r.Verdict], in)
	}
	return verdicts[r.Verdict]
}

// when says how long it has run.
func (r *Report) when() string {
	switch {
	case r.StartedAt == nil:
		return "not started"
	case r.StoppedAt == nil:
		return "running since " + clock(r.StartedAt)
	}
	return "ran from " + clock(r.StartedAt) + " to " + clock(r.StoppedAt)
}
