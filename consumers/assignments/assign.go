package assignments

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/assign"
)

// known is what is known of experiments at a time. It does not change.
type known struct {
	all map[event.StreamID]*one
	// running are those that try an aggregate type, the one that was started first before the others.
	running map[string][]*one
}

// one is an experiment.
type one struct {
	id       string
	state    experiment.State
	assigner *assign.Assigner
	broken   bool
}

func (f *Follower) one(id event.StreamID, s *followed) (*one, error) {
	text, err := f.cfg.Experiment.Codec.JSON(s.State)
	if err != nil {
		return nil, err
	}
	o := &one{id: string(id), broken: s.broken}
	if o.state, err = experiment.ParseState(text); err != nil {
		return nil, err
	}
	if o.assigner, err = o.state.Plan.Assigner(o.id, o.state.PlanNumber); err != nil {
		return nil, err
	}
	if typ := f.cfg.Tried[o.state.Plan.Aggregate]; o.runs() && typ != nil {
		for _, v := range o.state.Plan.Variants {
			if !slices.Contains(typ.Variants(), v.Name) {
				f.cfg.Logger.Warn("an experiment has a variant that is not registered: its units get the control, and are not counted",
					"experiment", o.id, "aggregate", typ.Name, "variant", v.Name, "registered", typ.Variants())
			}
		}
	}
	return o, nil
}

func (o *one) runs() bool { return o.state.Status == experiment.Running && !o.broken }

// before orders experiments by when they were started: one that is started takes no unit from those that run.
func before(a, b *one) int {
	return cmp.Or(started(a).Compare(started(b)), cmp.Compare(a.id, b.id))
}

func started(o *one) time.Time {
	if o.state.StartedAt == nil {
		return time.Time{}
	}
	return *o.state.StartedAt
}

// Tries reports whether an experiment tries variants of the aggregate type.
func (f *Follower) Tries(aggregate string) bool { return len(f.known.Load().running[aggregate]) > 0 }

// Assign is the assignment of a command of that aggregate type, in text form; empty where no experiment has it. unit says who, or
// what, the command is of; empty where that is not known. A command is decided by one variant: of several experiments, the one that
// was started first and covers its unit has it.
func (f *Follower) Assign(aggregate string, unit func(kind string) string) string {
	for _, o := range f.known.Load().running[aggregate] {
		u := unit(o.state.Plan.Unit)
		if v, ok := o.assigner.Variant(u); ok {
			return event.Assignment{Experiment: experiment.Salt(o.id, o.state.PlanNumber), Variant: v, Unit: u}.String()
		}
	}
	return ""
}

// Variant is what a unit sees of an experiment; event.ErrNotFound where there is no such experiment.
func (f *Follower) Variant(id event.StreamID, unit string) (experiment.Shown, error) {
	k := f.known.Load()
	o := k.all[id]
	if o == nil {
		return experiment.Shown{}, fmt.Errorf("experiment %s: %w", id, event.ErrNotFound)
	}
	shown := experiment.Shown{Variant: o.state.Plan.Variants[0].Name, Experiment: o.id, PlanNumber: o.state.PlanNumber, Status: o.state.Status}
	if v, ok := o.assigner.Variant(unit); ok && o.runs() && !k.taken(o, unit) {
		shown.Variant, shown.Assigned = v, true
	}
	return shown, nil
}

// taken reports whether an experiment that was started before has the unit.
func (k *known) taken(o *one, unit string) bool {
	for _, other := range k.running[o.state.Plan.Aggregate] {
		if other == o {
			return false
		}
		if _, ok := other.assigner.Variant(unit); ok && other.state.Plan.Unit == o.state.Plan.Unit {
			return true
		}
	}
	return false
}
