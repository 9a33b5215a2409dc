package compare

import (
	"context"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

// How decisions are measured.
const (
	// rounds are how often each decision of the sample is timed, the versions in turns; the median counts.
	rounds = 7
	// leastTimed is how long a timing takes at least: a faster decision is made several times in a row.
	leastTimed = time.Microsecond
	// enough ends measuring, however many decisions are left.
	enough = 10 * time.Second
)

// Speed compares how long Decide takes and what it allocates, on the same decisions. All ratios are candidate by control.
type Speed struct {
	// Samples is how many decisions were measured.
	Samples int `json:"samples"`
	// Ratio is the median of the decisions' ratios, with its interval: 1.10 is a tenth slower. Thresholds are held against it.
	Ratio stats.Interval `json:"ratio"`
	// P50 and P99 are the ratios of the versions' own quantiles.
	P50 stats.Interval `json:"p50"`
	P99 stats.Interval `json:"p99"`
	// Slower is the share of decisions in which the candidate took longer.
	Slower float64 `json:"slower"`
	// Allocations is the ratio of allocations a decision.
	Allocations stats.Interval `json:"allocations"`
	Control     Cost           `json:"control"`
	Candidate   Cost           `json:"candidate"`
	// Note says why there are no ratios; empty where there are.
	Note string `json:"note,omitempty"`
	// Ratios are those of the single decisions, sorted, for plots.
	Ratios []float64 `json:"-"`
}

// Cost is what a decision of a version takes: nanoseconds, allocations, bytes.
type Cost struct {
	P50Ns       float64 `json:"p50Ns"`
	P99Ns       float64 `json:"p99Ns"`
	Allocations float64 `json:"allocations"`
	Bytes       float64 `json:"bytes"`
}

// measured is one decision under both versions.
type measured struct {
	took, allocations, bytes [2]float64
}

// measure makes the sampled decisions again, when nothing else runs. It has a goroutine of its own, as a decision may
// never end.
func measure(ctx context.Context, cfg *Config, variants [2]decider.Deciding, samples []sample) *Speed {
	all := make([]measured, len(samples))
	var at atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		began := time.Now()
		for i := range samples {
			if ctx.Err() != nil || time.Since(began) > enough {
				return
			}
			all[i] = samples[i].measure(variants, i)
			at.Store(int64(i + 1))
		}
	}()
	timer := time.NewTicker(max(cfg.Budget, time.Second) * rounds)
	defer timer.Stop()
	for last := int64(-1); ; {
		select {
		case <-done:
			return speedOf(all[:at.Load()])
		case <-timer.C:
			if now := at.Load(); now == last {
				s := speedOf(all[:now])
				s.Note = "a decision did not come to an end while it was measured"
				return s
			}
			last = at.Load()
		}
	}
}

// measure times the versions in turns, and begins with another one each time; then it counts allocations.
func (s *sample) measure(variants [2]decider.Deciding, n int) (m measured) {
	decide := func(v int) {
		defer func() { _ = recover() }() // panics have been counted
		_, _ = variants[v].Decide(s.command[v], s.body, s.state[v])
	}
	repeat := [2]int{1, 1}
	for v := range repeat {
		began := time.Now()
		decide(v)
		if took := time.Since(began); took < leastTimed {
			repeat[v] = int(leastTimed/max(took, 50*time.Nanosecond)) + 1
		}
	}
	var took [2][rounds]float64
	for round := range rounds {
		for turn := range 2 {
			v := (n + round + turn) % 2
			began := time.Now()
			for range repeat[v] {
				decide(v)
			}
			took[v][round] = max(1, float64(time.Since(began))) / float64(repeat[v])
		}
	}
	var before, after runtime.MemStats
	for v := range took {
		slices.Sort(took[v][:])
		m.took[v] = took[v][rounds/2]
		runtime.ReadMemStats(&before)
		decide(v)
		runtime.ReadMemStats(&after)
		m.allocations[v], m.bytes[v] = float64(after.Mallocs-before.Mallocs), float64(after.TotalAlloc-before.TotalAlloc)
	}
	return m
}

// speedOf makes the comparison of what was measured.
func speedOf(all []measured) *Speed {
	out := &Speed{Samples: len(all)}
	pairs := make([]stats.Durations, len(all))
	var allocations stats.Pairs
	costs := [2]*Cost{&out.Control, &out.Candidate}
	for i, m := range all {
		pairs[i] = stats.Durations{Control: m.took[control], Candidate: m.took[candidate]}
		allocations.Add(stats.Pair{Control: m.allocations[control], Candidate: m.allocations[candidate], ControlUnits: 1, CandidateUnits: 1})
		for v, c := range costs {
			c.Allocations += m.allocations[v] / float64(len(all))
			c.Bytes += m.bytes[v] / float64(len(all))
		}
		out.Ratios = append(out.Ratios, m.took[candidate]/m.took[control])
	}
	slices.Sort(out.Ratios)
	s, err := stats.CompareSpeed(pairs, stats.DefaultAlpha, 1)
	if err != nil {
		out.Note = "too few decisions to say: " + err.Error()
		return out
	}
	out.Ratio, out.P50, out.P99, out.Slower = s.Ratio, s.P50, s.P99, s.Slower
	out.Control.P50Ns, out.Control.P99Ns = s.Control.P50, s.Control.P99
	out.Candidate.P50Ns, out.Candidate.P99Ns = s.Candidate.P50, s.Candidate.P99
	if a, err := allocations.Compare(stats.Relative, 0); err == nil {
		out.Allocations = stats.Interval{Value: 1 + a.Lift, Low: 1 + a.Low, High: 1 + a.High}
	}
	return out
}
