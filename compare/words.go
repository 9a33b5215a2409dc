package compare

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

// How numbers and times are written for people, in the terminal and on the page.

// count writes a number with commas between thousands.
func count(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func percent(v float64) string {
	switch {
	case v == 0:
		return "0 %"
	case math.Abs(v) < 0.0001:
		return fmt.Sprintf("%.2g %%", 100*v)
	}
	return fmt.Sprintf("%.2f %%", 100*v)
}

func signedPercent(v float64) string {
	if s := percent(v); v > 0 {
		return "+" + s
	}
	return strings.Replace(percent(v), "-", "−", 1)
}

// amount writes a metric's value: large ones with commas, all with as many digits as tell something.
func (e *Effect) amount(v float64) string {
	var s string
	switch {
	case e.Rate:
		s = percent(v)
	case v == math.Trunc(v) && math.Abs(v) < 1e15:
		s = count(int64(v))
	case math.Abs(v) < 1e15:
		whole, part := math.Modf(math.Abs(math.Round(v*100) / 100))
		s = count(int64(whole)) + strconv.FormatFloat(part, 'f', 2, 64)[1:]
		if v < 0 {
			s = "-" + s
		}
	default:
		s = fmt.Sprintf("%.6g", v)
	}
	if e.Unit != "" && !e.Rate {
		s += " " + e.Unit
	}
	return strings.Replace(s, "-", "−", 1)
}

// change is a difference with its sign; rates differ by percentage points.
func (e *Effect) change(v float64) string {
	s := e.amount(v)
	if e.Rate {
		s = strings.TrimSuffix(s, " %") + " pp"
	}
	if v > 0 {
		s = "+" + s
	}
	return s
}

// interval is a metric's difference and between which it lies.
func (e *Effect) interval() string {
	if e.Note != "" {
		return e.Note
	}
	if e.Difference.Low == e.Difference.High {
		return "no stream differs"
	}
	return e.change(e.Difference.Low) + " to " + e.change(e.Difference.High)
}

func (e *Effect) relative() string {
	if e.Relative == nil {
		return "–"
	}
	return signedPercent(e.Relative.Value)
}

func times(v float64) string { return fmt.Sprintf("%.2f×", v) }

func timesInterval(i stats.Interval) string {
	if i.Value == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f× (%.2f to %.2f)", i.Value, i.Low, i.High)
}

func nanoseconds(v float64) string {
	switch d := time.Duration(v); {
	case d < time.Microsecond:
		return fmt.Sprintf("%.0f ns", v)
	case d < time.Millisecond:
		return fmt.Sprintf("%.2f µs", v/1e3)
	case d < time.Second:
		return fmt.Sprintf("%.2f ms", v/1e6)
	}
	return fmt.Sprintf("%.2f s", v/1e9)
}

func clock(t *time.Time) string {
	if t == nil {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// kinds are the kinds of differences for people; %s are control and candidate.
var kinds = map[string]string{
	KindRejects: "accepted → rejected",
	KindAccepts: "rejected → accepted",
	KindEvents:  "other events",
	KindCode:    "rejected otherwise",
	KindPanic:   "panicked",
	KindStuck:   "never ended",
}

// reasons are why commands were not compared, for people.
var reasons = map[string]string{
	"repeated":            "repeats of a command, answered as the first time",
	"conflict":            "refused as the version was not the expected one",
	"denied":              "denied",
	"invalid":             "invalid",
	"without_outcome":     "not decided yet, or their outcomes have expired",
	"without_events":      "events missing",
	"unreadable":          "unreadable by now",
	"stream_undecodable":  "on streams that cannot be folded",
	"version_left_behind": "not compared, as a version did not come to an end",
}

func reason(key string) string {
	if s, ok := reasons[key]; ok {
		return s
	}
	return key
}

// short is a type without its package where that is the command's own.
func short(typ string) string {
	parts := strings.Split(typ, " + ")
	for i, p := range parts {
		if k := strings.LastIndexByte(p, '.'); k >= 0 {
			parts[i] = p[k+1:]
		}
	}
	return strings.Join(parts, " + ")
}

// judged is the sentence that a reader must see first: whether the report can be relied on.
func (r *Report) judged() string {
	switch d := &r.Determinism; {
	case d.Differ > 0:
		return fmt.Sprintf("%s is NOT deterministic: %s of %s decisions that it made live came out otherwise now. Nothing below can be relied on.",
			r.Control, count(d.Differ), count(d.Checked))
	case !r.Deterministic:
		return fmt.Sprintf("%s is NOT deterministic: %s decisions came out otherwise when they were made again. Nothing below can be relied on.",
			r.Control, count(r.Versions[control].Nondeterministic))
	case d.Checked == 0:
		return fmt.Sprintf("%s did not serve live, so there is nothing to check its determinism against but itself.", r.Control)
	}
	return fmt.Sprintf("%s is deterministic: all %s decisions that it made live came out the same.", r.Control, count(r.Determinism.Checked))
}

// warnings are what else a reader must know before the numbers.
func (r *Report) warnings() (out []string) {
	for i := range r.Versions {
		v := &r.Versions[i]
		if v.Panics > 0 {
			out = append(out, fmt.Sprintf("%s panicked on %s commands; they count as rejected.", v.Name, count(v.Panics)))
		}
		if v.Stuck > 0 {
			out = append(out, fmt.Sprintf("%s did not come to an end within the budget, and was left out from then on: %s commands were not compared.",
				v.Name, count(r.Skipped["version_left_behind"])))
		}
		if v.Nondeterministic > 0 && i == candidate {
			out = append(out, fmt.Sprintf("%s is NOT deterministic: %s decisions came out otherwise when they were made again.", v.Name, count(v.Nondeterministic)))
		}
	}
	if r.Range.Expired > 0 {
		s := fmt.Sprintf("%s of what changed something in the range is still there; %s commands have expired", percent(r.Range.Covered), count(r.Range.Expired))
		if r.Range.Since != nil {
			s += ". Everything is there since " + clock(r.Range.Since)
		}
		out = append(out, s+".")
	}
	if r.Range.Lost > 0 {
		out = append(out, fmt.Sprintf("%s of them were lost with the topic of commands, which was accepted: only what was decided since is compared.", count(r.Range.Lost)))
	}
	if r.Commands == 0 {
		out = append(out, "There was no command to compare.")
	}
	return out
}
