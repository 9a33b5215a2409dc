package compare

import "fmt"

// Thresholds say what a candidate may do and still pass. Nil ones do not count.
type Thresholds struct {
	// Diff is the largest share of commands that may be decided differently, 0 to 1.
	Diff *float64
	// Slowdown is the largest ratio of the candidate's time to the control's, such as 1.1.
	Slowdown *float64
}

// Verdict is what the thresholds say.
type Verdict struct {
	MaxDiff     *float64 `json:"maxDiff,omitempty"`
	MaxSlowdown *float64 `json:"maxSlowdown,omitempty"`
	Passed      bool     `json:"passed"`
	// Reasons are why it did not pass.
	Reasons []string `json:"reasons"`
}

// Judge holds the report against thresholds; without any there is no verdict, and nothing to fail. A comparison that could not
// be made, because a version was left behind or there was nothing to compare, does not pass. A candidate is
// too slow where that is beyond doubt: where the whole interval of the ratio is above the threshold.
func (r *Report) Judge(t Thresholds) {
	if t.Diff == nil && t.Slowdown == nil {
		return
	}
	v := &Verdict{MaxDiff: t.Diff, MaxSlowdown: t.Slowdown, Reasons: []string{}}
	fail := func(format string, args ...any) { v.Reasons = append(v.Reasons, fmt.Sprintf(format, args...)) }
	if r.Commands == 0 {
		fail("no command could be compared")
	}
	for _, version := range r.Versions {
		if version.Stuck > 0 {
			fail("%s did not come to an end, so that not everything was compared", version.Name)
		}
	}
	if s := share(r.Differ, r.Commands); t.Diff != nil && s > *t.Diff {
		fail("%.4g %% of the commands are decided differently; at most %.4g %% may be", 100*s, 100**t.Diff)
	}
	if t.Slowdown != nil && r.Speed != nil {
		switch {
		case r.Speed.Note != "":
			fail("the speed could not be compared: %s", r.Speed.Note)
		case r.Speed.Ratio.Low > *t.Slowdown:
			fail("%s takes %.3g times as long as %s (95 %%: %.3g to %.3g); at most %.3g may be", r.Candidate, r.Speed.Ratio.Value, r.Control,
				r.Speed.Ratio.Low, r.Speed.Ratio.High, *t.Slowdown)
		}
	}
	v.Passed = len(v.Reasons) == 0
	r.Verdict = v
}
