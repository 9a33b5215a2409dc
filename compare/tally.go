package compare

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/experiment/stats"
)

// tally is what one partition's comparison came to.
type tally struct {
	commands, agree, differ, uncompared int64
	differences                         differences
	metrics                             []stats.Sums
	streams                             int64
	// versions are the control and the candidate.
	versions [2]versionTally

	// checked are decisions of the control that were made live by the same variant; strayed were made otherwise then.
	checked, strayed int64
	strays           []Example
	skipped          map[string]int64
	// expired are commands with events in the range that are not there any more; since is when the first command that
	// is there was decided, zero where none is missing before it.
	expired int64
	// lost are those of the expired whose loss was accepted.
	lost int64
	// changing commands were compared and have events.
	changing    int64
	since       time.Time
	first, last time.Time
	folded      int64
}

type versionTally struct {
	accepted, rejected, panics, unstable, stuck int64
	panic, stuckAt, unstableAt                  *Example
}

func newTally(metrics int) *tally {
	return &tally{differences: differences{}, metrics: make([]stats.Sums, metrics), skipped: map[string]int64{}}
}

func (t *tally) merge(o *tally, examples int) {
	t.commands += o.commands
	t.agree += o.agree
	t.differ += o.differ
	t.uncompared += o.uncompared
	t.differences.merge(o.differences, examples)
	for i := range t.metrics {
		merge(&t.metrics[i], &o.metrics[i])
	}
	t.streams += o.streams
	for i := range t.versions {
		v, w := &t.versions[i], &o.versions[i]
		v.accepted += w.accepted
		v.rejected += w.rejected
		v.panics += w.panics
		v.unstable += w.unstable
		v.stuck += w.stuck
		for _, e := range []struct{ into, from **Example }{{&v.panic, &w.panic}, {&v.stuckAt, &w.stuckAt}, {&v.unstableAt, &w.unstableAt}} {
			if *e.into == nil {
				*e.into = *e.from
			}
		}
	}
	t.checked += o.checked
	t.strayed += o.strayed
	t.strays = append(t.strays, o.strays...)
	t.strays = t.strays[:min(len(t.strays), examples)]
	for k, n := range o.skipped {
		t.skipped[k] += n
	}
	t.expired += o.expired
	t.lost += o.lost
	t.changing += o.changing
	if o.since.After(t.since) {
		t.since = o.since
	}
	if t.first.IsZero() || !o.first.IsZero() && o.first.Before(t.first) {
		t.first = o.first
	}
	if o.last.After(t.last) {
		t.last = o.last
	}
	t.folded += o.folded
}

// seen notes when commands were decided.
func (t *tally) seen(at time.Time) {
	if t.first.IsZero() || at.Before(t.first) {
		t.first = at
	}
	if at.After(t.last) {
		t.last = at
	}
}

// sample is a decision to be made again and measured.
type sample struct {
	command [2]event.Command
	body    any
	state   [2]any
}

// reservoir draws a number of decisions, each as likely as the others (Vitter's algorithm R). Safe for concurrent use.
type reservoir struct {
	mu      sync.Mutex
	size    int
	seen    uint64
	rand    *rand.Rand
	samples []sample
}

func newReservoir(size int) *reservoir {
	return &reservoir{size: size, rand: rand.New(rand.NewPCG(1, 2))}
}

func (r *reservoir) offer(tasks []task) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range tasks {
		t := &tasks[i]
		r.seen++
		at := uint64(len(r.samples))
		if len(r.samples) < r.size {
			r.samples = append(r.samples, sample{})
		} else if at = r.rand.Uint64N(r.seen); at >= uint64(r.size) {
			continue
		}
		r.samples[at] = sample{command: t.command, body: t.body, state: t.state}
	}
}
