package compare

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

// Report is a comparison's result. Its fields are explained in docs/compare.md.
type Report struct {
	Aggregate string `json:"aggregate"`
	Control   string `json:"control"`
	Candidate string `json:"candidate"`
	// Mode is "live", each decision judged on the state that was live, or "diverge".
	Mode string `json:"mode"`
	// Commands were decided by both; Agree and Differ add up to them.
	Commands int64 `json:"commands"`
	Agree    int64 `json:"agree"`
	Differ   int64 `json:"differ"`
	// Deterministic is false where the control decided otherwise than it did live, or otherwise when asked again: then
	// nothing else in the report can be relied on.
	Deterministic bool         `json:"deterministic"`
	Determinism   Determinism  `json:"determinism"`
	Differences   []Difference `json:"differences"`
	Metrics       []Effect     `json:"metrics"`
	// Speed is nil where a version was left behind.
	Speed    *Speed    `json:"speed"`
	Versions []Version `json:"versions"`
	Range    Range     `json:"range"`
	// Skipped are commands in the range that were not compared, by reason.
	Skipped map[string]int64 `json:"skipped"`
	// Verdict is there where thresholds were given.
	Verdict *Verdict `json:"verdict,omitempty"`
}

// Determinism is how the control's replay compares with what it decided live.
type Determinism struct {
	// Checked decisions were made live by the control; Differ of them came out otherwise now.
	Checked int64 `json:"checked"`
	Differ  int64 `json:"differ"`
	// Examples have the live decision as Control, and the replay's as Candidate.
	Examples []Example `json:"examples"`
}

// Version is how a variant behaved.
type Version struct {
	Name     string `json:"name"`
	Accepted int64  `json:"accepted"`
	Rejected int64  `json:"rejected"`
	// Panics are among the rejected, as the processor would have it.
	Panics int64 `json:"panics"`
	// Nondeterministic decisions came out otherwise when they were made again. Not every decision is made twice.
	Nondeterministic int64 `json:"nondeterministic"`
	// Stuck decisions took longer than the budget; after the first ones the version is out of the comparison.
	Stuck    int64               `json:"stuck"`
	Examples map[string]*Example `json:"examples,omitempty"`
}

// Effect is what the candidate does to a metric.
type Effect struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Unit  string `json:"unit,omitempty"`
	Rate  bool   `json:"rate,omitempty"`
	// Streams are what the interval takes for independent of each other.
	Streams int64 `json:"streams"`
	// Control and Candidate are totals, or rates; Difference is between them, with its 95 % interval.
	Control    float64        `json:"control"`
	Candidate  float64        `json:"candidate"`
	Difference stats.Interval `json:"difference"`
	// Relative is the difference by the control; nil where the control has none.
	Relative *stats.Interval `json:"relative"`
	// Note says why there is no interval; empty where there is.
	Note string `json:"note,omitempty"`
}

// Range is what was compared of what was asked for.
type Range struct {
	From *time.Time `json:"from"`
	To   *time.Time `json:"to"`
	// First and Last are when the first and the last command that was compared were decided.
	First *time.Time `json:"first"`
	Last  *time.Time `json:"last"`
	// Expired are commands in the range whose events are there, but not they themselves any more, nor anything of commands
	// without events. Covered is the share of those with events that is there still; Since is from when everything is.
	Expired int64      `json:"expired"`
	Covered float64    `json:"covered"`
	Since   *time.Time `json:"since"`
	// Lost are those of the expired that were lost with their topic, which an operator has accepted.
	Lost int64 `json:"lost,omitempty"`
	// Streams had a command that was compared; Folded is how many events their states were made of.
	Streams int64 `json:"streams"`
	Folded  int64 `json:"folded"`
}

func newReport(cfg *Config, t *tally) *Report {
	r := &Report{Aggregate: cfg.Type.Name, Control: cfg.Control, Candidate: cfg.Candidate, Mode: "live",
		Commands: t.commands, Agree: t.agree, Differ: t.differ, Deterministic: t.strayed == 0 && t.versions[control].unstable == 0,
		Determinism: Determinism{Checked: t.checked, Differ: t.strayed, Examples: append([]Example{}, t.strays...)},
		Differences: t.differences.sorted(t.commands), Skipped: t.skipped}
	if cfg.Diverge {
		r.Mode = "diverge"
	}
	if t.uncompared > 0 {
		r.Skipped["version_left_behind"] = t.uncompared
	}
	for i, name := range []string{cfg.Control, cfg.Candidate} {
		v := &t.versions[i]
		out := Version{Name: name, Accepted: v.accepted, Rejected: v.rejected, Panics: v.panics, Nondeterministic: v.unstable, Stuck: v.stuck}
		for what, e := range map[string]*Example{"panic": v.panic, "stuck": v.stuckAt, "nondeterministic": v.unstableAt} {
			if e != nil {
				if out.Examples == nil {
					out.Examples = map[string]*Example{}
				}
				out.Examples[what] = e
			}
		}
		r.Versions = append(r.Versions, out)
	}
	r.Metrics = []Effect{}
	for i, m := range cfg.Metrics {
		r.Metrics = append(r.Metrics, effect(m, t.metrics[i], t.streams))
	}
	at := func(t time.Time) *time.Time {
		if t.IsZero() {
			return nil
		}
		return &t
	}
	r.Range = Range{From: at(cfg.From), To: at(cfg.To), First: at(t.first), Last: at(t.last), Expired: t.expired, Lost: t.lost, Covered: 1, Since: at(t.since),
		Streams: t.streams, Folded: t.folded}
	if t.expired > 0 {
		r.Range.Covered = float64(t.changing) / float64(t.changing+t.expired)
	}
	return r
}

// effect makes a metric's comparison of the streams' sums.
func effect(m Metric, all stats.Sums, streams int64) Effect {
	e := Effect{Name: m.Name, Title: m.Title, Unit: m.Unit, Rate: m.Rate, Streams: streams}
	by := 1.0
	if m.Rate {
		if all.Sum[1] > 0 && all.Sum[3] > 0 {
			e.Control, e.Candidate = all.Sum[0]/all.Sum[1], all.Sum[2]/all.Sum[3]
		}
	} else {
		e.Control, e.Candidate, by = all.Sum[0], all.Sum[2], float64(streams)
	}
	d := e.Candidate - e.Control
	e.Difference = stats.Interval{Value: d, Low: d, High: d}
	all.N = streams
	pairs := stats.Pairs{Moments: all.Moments()}
	absolute, err := pairs.Compare(stats.Absolute, 0)
	if err != nil {
		e.Note = why(err)
		return e
	}
	e.Difference = stats.Interval{Value: d, Low: absolute.Low * by, High: absolute.High * by}
	if relative, err := pairs.Compare(stats.Relative, 0); err == nil {
		e.Relative = &stats.Interval{Value: relative.Lift, Low: relative.Low, High: relative.High}
	}
	return e
}

func why(err error) string {
	switch {
	case errors.Is(err, stats.ErrTooFew):
		return "fewer than two streams: no interval"
	case errors.Is(err, stats.ErrNoVariance):
		return "no stream has anything to count"
	}
	return err.Error()
}

// reasons lists the reasons for which commands were skipped, sorted.
func (r *Report) reasons() []string { return slices.Sorted(maps.Keys(r.Skipped)) }
