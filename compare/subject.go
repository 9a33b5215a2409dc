package compare

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// The codes that the processor gives to what is no rejection by the domain.
const (
	codeInternal      = "internal"
	codeEventTooLarge = "event_too_large"
)

// The two versions.
const (
	control = iota
	candidate
)

// written is an event as it would stand in the log.
type written struct {
	typ, content string
	data         []byte
}

// verdict is what a version made of a command.
type verdict struct {
	rejected      bool
	code, message string
	// panicked says with what; empty where it did not.
	panicked string
	bodies   []any
	events   []written
	// unstable: asked again, it decided otherwise. after is the state that follows, where versions diverge.
	unstable bool
	after    decider.Snapshot
}

// same reports whether both say the same to the caller and to the log. Messages are for people.
func (v *verdict) same(w *verdict) bool {
	if v.rejected || w.rejected {
		return v.rejected == w.rejected && v.code == w.code
	}
	return slices.EqualFunc(v.events, w.events, func(a, b written) bool {
		return a.typ == b.typ && a.content == b.content && bytes.Equal(a.data, b.data)
	})
}

// task is a command to be judged: as Decide sees it, on a state for each version, and what was decided when it was live.
type task struct {
	entry   *entry
	command [2]event.Command
	body    any
	state   [2]any
	// moves: the versions diverge, so the state after is wanted.
	moves bool
	// past is what became of it; variant is the assignment under which it was decided.
	past    verdict
	variant string
	offset  int64
}

// subject is a version on trial. It decides in a goroutine of its own: one that does not return is left behind, and then
// the version is out of the comparison.
type subject struct {
	which      int
	name       string
	variant    decider.Deciding
	typ        *decider.Type
	eventBytes int

	work chan assignment
	done chan struct{}
	// at is the decision in progress.
	at atomic.Int64
	// left: it is left behind, and what it still writes is read by nobody.
	left atomic.Bool
	// out is shared by the subjects of all partitions that are this version: it is out of the comparison.
	out *atomic.Bool
}

// assignment is a batch, and where the verdicts go.
type assignment struct {
	tasks    []task
	verdicts []verdict
}

func newSubject(which int, variant decider.Deciding, cfg *Config, out *atomic.Bool) *subject {
	s := &subject{which: which, name: variant.Name, variant: variant, typ: cfg.Type, eventBytes: cfg.EventBytes, out: out,
		work: make(chan assignment), done: make(chan struct{}, 1)}
	go s.run()
	return s
}

// run ends when the work does, or when it has been left behind: then nobody waits for it.
func (s *subject) run() {
	for a := range s.work {
		for i := range a.tasks {
			s.at.Store(int64(i))
			v := s.decide(&a.tasks[i])
			// A decision that depends on more than command and state shows when it is made again. Those that are unlike
			// what was decided then are always tried, of the others each sixteenth.
			if i%16 == 0 || !v.same(&a.tasks[i].past) {
				again := s.decide(&a.tasks[i])
				v.unstable = !v.same(&again)
			}
			if s.left.Load() {
				return
			}
			a.verdicts[i] = v
		}
		s.at.Store(int64(len(a.tasks)))
		s.done <- struct{}{}
	}
}

// judge has it decide a batch. Where fewer verdicts come back than there are tasks, the next decision has been running
// for longer than the budget; then neither the subject nor the batch's memory may be used again.
func (s *subject) judge(tasks []task, budget time.Duration) []verdict {
	verdicts := make([]verdict, len(tasks))
	s.at.Store(0)
	s.work <- assignment{tasks, verdicts}
	timer := time.NewTimer(budget)
	defer timer.Stop()
	for last := int64(-1); ; {
		select {
		case <-s.done:
			return verdicts
		case <-timer.C:
			at := s.at.Load()
			if at == last && at < int64(len(tasks)) {
				s.left.Store(true)
				s.out.Store(true)
				return verdicts[:at]
			}
			last = at
			timer.Reset(budget)
		}
	}
}

// close ends it, or lets it end should it ever come back.
func (s *subject) close() { close(s.work) }

// decide does what the processor does with a command that has come so far. What panics is rejected, as there.
func (s *subject) decide(t *task) (v verdict) {
	defer func() {
		if reason := recover(); reason != nil {
			v = verdict{rejected: true, code: codeInternal, panicked: fmt.Sprint(reason)}
		}
	}()
	bodies, err := s.variant.Decide(t.command[s.which], t.body, t.state[s.which])
	if r, ok := errors.AsType[*event.Rejection](err); ok {
		return verdict{rejected: true, code: r.Code, message: r.Message}
	}
	if err != nil {
		return verdict{rejected: true, code: codeInternal, message: err.Error()}
	}
	v.bodies, v.events = bodies, make([]written, len(bodies))
	if t.moves {
		v.after = decider.Snapshot{State: t.state[s.which], Version: t.command[s.which].Version, RecordedTime: t.command[s.which].RecordedTime}
	}
	for i, b := range bodies {
		w := &v.events[i]
		if w.typ, w.content, w.data, err = s.typ.Codec.EncodeEvent(nil, b); err != nil {
			return verdict{rejected: true, code: codeInternal, message: err.Error()}
		}
		if len(w.data) > s.eventBytes {
			return verdict{rejected: true, code: codeEventTooLarge, message: fmt.Sprintf("%s has %d bytes; at most %d are allowed", w.typ, len(w.data), s.eventBytes)}
		}
		if t.moves {
			v.after.State = s.typ.Evolve(v.after.State, b)
			v.after.Version++
		}
	}
	return v
}
