package experiment_test

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/decider/decidertest"
	"github.com/cqrsflow/cqrsflow/domain/experiment"
	"github.com/cqrsflow/cqrsflow/event"
	experimentv1 "github.com/cqrsflow/cqrsflow/schemas/experiment/v1"
)

var update = flag.Bool("update", false, "write golden files")

type command = decider.Command[proto.Message]

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// at is the n-th hour.
func at(n int) *timestamppb.Timestamp {
	return timestamppb.New(epoch.Add(time.Duration(n) * time.Hour))
}

// cmd is a command that is recorded in the n-th hour, and says that it happened an hour before.
func cmd(n int, body proto.Message) command {
	return command{Command: event.Command{Stream: "shipping", Time: at(n - 1).AsTime(), RecordedTime: at(n).AsTime()}, Body: body}
}

// plan is one that passes, after a change.
func plan(change func(*experimentv1.Plan)) *experimentv1.Plan {
	p := &experimentv1.Plan{Hypothesis: "it pays", Aggregate: "order", Unit: "customer", Units: 4000,
		Variants:   []*experimentv1.Variant{{Name: "v1", Weight: 5000}, {Name: "v2", Weight: 5000}},
		Primary:    &experimentv1.Metric{Name: "revenue", Kind: "mean", Event: "order.v1.OrderPaid", Field: "total.amount"},
		Guardrails: []*experimentv1.Metric{{Name: "complaints", Kind: "mean", Lower: true}}}
	if change != nil {
		change(p)
	}
	return p
}

func define(p *experimentv1.Plan) *experimentv1.DefineExperiment {
	return &experimentv1.DefineExperiment{Plan: p}
}

func given(t *testing.T, events ...proto.Message) *decidertest.Scenario[command, proto.Message, *experimentv1.ExperimentState] {
	t.Helper()
	return decidertest.Given(t, experiment.Decider, events...)
}

// The life of an experiment, and that each step has its place in it.
func TestLife(t *testing.T) {
	start, stop, choose := &experimentv1.StartExperiment{}, &experimentv1.StopExperiment{Reason: "enough"}, &experimentv1.DecideExperiment{Variant: "v2", Reason: "it pays"}
	nothing := given(t)
	for _, c := range []proto.Message{start, stop, choose, &experimentv1.RecordOutcome{Unit: "ada", Metric: "complaints"}} {
		nothing.When(cmd(1, c)).ThenRejected(experiment.CodeNotFound)
	}
	defined := nothing.When(cmd(1, define(plan(nil)))).Then(&experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(nil), DefinedAt: at(1)})
	defined.When(cmd(2, stop)).ThenRejected(experiment.CodeNotRunning)
	defined.When(cmd(2, choose)).ThenRejected(experiment.CodeNotStopped)

	running := defined.When(cmd(2, start)).Then(&experimentv1.ExperimentStarted{PlanNumber: 1, StartedAt: at(2)})
	running.When(cmd(3, start)).ThenRejected(experiment.CodeRunning)
	running.When(cmd(3, choose)).ThenRejected(experiment.CodeNotStopped)

	stopped := running.When(cmd(3, stop)).Then(&experimentv1.ExperimentStopped{PlanNumber: 1, Reason: "enough", StoppedAt: at(3)})
	stopped.When(cmd(4, start)).ThenRejected(experiment.CodeEnded)
	stopped.When(cmd(4, stop)).ThenRejected(experiment.CodeNotRunning)
	stopped.When(cmd(4, &experimentv1.DecideExperiment{Variant: "v3"})).ThenRejected(experiment.CodeVariantUnknown)

	decided := stopped.When(cmd(4, choose)).Then(&experimentv1.ExperimentDecided{PlanNumber: 1, Variant: "v2", Reason: "it pays", DecidedAt: at(4)})
	decided.When(cmd(5, choose)).ThenRejected(experiment.CodeNotStopped)
	decided.When(cmd(5, start)).ThenRejected(experiment.CodeEnded)
	decided.ThenState(&experimentv1.ExperimentState{Status: experimentv1.ExperimentStatus_EXPERIMENT_STATUS_DECIDED, PlanNumber: 1, Plan: plan(nil),
		DefinedAt: at(1), StartedAt: at(2), StoppedAt: at(3), StopReason: "enough",
		Decision: &experimentv1.Decision{Variant: "v2", Reason: "it pays", DecidedAt: at(4)}})
}

// Weights change only in a new plan: not while it runs, and afterwards under another number, which divides units anew.
func TestWeightsChangeOnlyInANewPlan(t *testing.T) {
	other := plan(func(p *experimentv1.Plan) { p.Variants[0].Weight, p.Variants[1].Weight = 9000, 1000 })
	defined := given(t).When(cmd(1, define(plan(nil)))).Then(&experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(nil), DefinedAt: at(1)})
	better := defined.When(cmd(2, define(other))).Then(&experimentv1.ExperimentDefined{PlanNumber: 1, Plan: other, DefinedAt: at(2)})
	running := better.When(cmd(3, &experimentv1.StartExperiment{})).Then(&experimentv1.ExperimentStarted{PlanNumber: 1, StartedAt: at(3)})
	running.When(cmd(4, define(plan(nil)))).ThenRejected(experiment.CodeRunning)
	next := running.When(cmd(5, &experimentv1.StopExperiment{})).Then(&experimentv1.ExperimentStopped{PlanNumber: 1, StoppedAt: at(5)}).
		When(cmd(6, define(plan(nil)))).Then(&experimentv1.ExperimentDefined{PlanNumber: 2, Plan: plan(nil), DefinedAt: at(6)})
	next.ThenState(&experimentv1.ExperimentState{Status: experimentv1.ExperimentStatus_EXPERIMENT_STATUS_DEFINED, PlanNumber: 2, Plan: plan(nil), DefinedAt: at(6)})
	next.When(cmd(7, &experimentv1.StartExperiment{})).Then(&experimentv1.ExperimentStarted{PlanNumber: 2, StartedAt: at(7)})
}

func TestOutcomes(t *testing.T) {
	posted := &experimentv1.RecordOutcome{Unit: "ada", Metric: "complaints", Value: 2, Per: 3}
	before := &experimentv1.RecordOutcome{Unit: "ada", Metric: "revenue", Value: 70, Before: true}
	defined := given(t, &experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(nil)})
	defined.When(cmd(1, posted)).ThenRejected(experiment.CodeNotRunning)
	defined.When(cmd(1, before)).Then(&experimentv1.OutcomeRecorded{PlanNumber: 1, Unit: "ada", Metric: "revenue", Value: 70, Before: true, MeasuredAt: at(0)})
	running := given(t, &experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(nil)}, &experimentv1.ExperimentStarted{PlanNumber: 1})
	recorded := &experimentv1.OutcomeRecorded{PlanNumber: 1, Unit: "ada", Metric: "complaints", Value: 2, Per: 3, MeasuredAt: at(0)}
	running.When(cmd(1, posted)).Then(recorded)
	running.When(cmd(1, &experimentv1.RecordOutcome{Unit: "ada", Metric: "revenue", Value: 70})).ThenRejected(experiment.CodeMetricUnknown) // it is measured in events
	running.When(cmd(1, &experimentv1.RecordOutcome{Unit: "ada", Metric: "smiles", Value: 70, Before: true})).ThenRejected(experiment.CodeMetricUnknown)
	running.When(cmd(1, recorded)).ThenFails(event.ErrUnknownType)
	stopped := given(t, &experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(nil)}, &experimentv1.ExperimentStarted{PlanNumber: 1}, &experimentv1.ExperimentStopped{PlanNumber: 1})
	stopped.When(cmd(1, posted)).Then(recorded).
		When(cmd(2, &experimentv1.DecideExperiment{Variant: "v1"})).Then(&experimentv1.ExperimentDecided{PlanNumber: 1, Variant: "v1", DecidedAt: at(2)}).
		When(cmd(3, posted)).ThenRejected(experiment.CodeNotRunning)
}

// Whatever keeps a plan from being judged is found before it runs; each line breaks one thing.
func TestPlansThatDoNotFit(t *testing.T) {
	for want, change := range map[string]func(*experimentv1.Plan){
		"the name \"v1\" is taken":            func(p *experimentv1.Plan) { p.Variants[1].Name = "v1" },
		"add up to 9999; make it 10000":       func(p *experimentv1.Plan) { p.Variants[0].Weight = 4999 },
		"beforePlan is 1, and this is plan 1": func(p *experimentv1.Plan) { p.BeforePlan = 1 },
		"say of which aggregate type":         func(p *experimentv1.Plan) { p.Unit, p.Aggregate, p.Primary = "stream", "", p.Guardrails[0] },
		"two metrics are called":              func(p *experimentv1.Plan) { p.Guardrails[0].Name = "revenue" },
		"for a conversion without cuped":      func(p *experimentv1.Plan) { p.Method = "proportions" },
		"no event that it would be in":        func(p *experimentv1.Plan) { p.Primary.Event = "" },
		"no perEvent that it would be in":     func(p *experimentv1.Plan) { p.Primary.PerField = "units" },
		"perEvent is for a ratio":             func(p *experimentv1.Plan) { p.Primary.PerEvent = "order.v1.OrderPaid" },
		"take one for both":                   func(p *experimentv1.Plan) { p.Primary.Kind = "ratio" },
		"plan.aggregate is empty":             func(p *experimentv1.Plan) { p.Aggregate = "" },
		"cannot be capped":                    func(p *experimentv1.Plan) { p.Primary.Kind, p.Primary.Cap = "conversion", 5 },
		"not both":                            func(p *experimentv1.Plan) { p.Primary.Cap, p.Primary.CapQuantile = 5, 0.99 },
	} {
		_, err := experiment.Decide(cmd(1, define(plan(change))), experiment.Decider.Initial())
		if r, ok := decider.AsRejection(err); !ok || r.Code != experiment.CodePlanInvalid || !strings.Contains(r.Message, want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// The laws of every decider, and that at most one plan runs at a time, each under a number of its own.
func TestLaws(t *testing.T) {
	happened := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		var life []command
		for i := range rapid.IntRange(1, 20).Draw(t, "commands") {
			life = append(life, cmd(i, rapid.SampledFrom([]proto.Message{
				define(plan(nil)), define(plan(func(p *experimentv1.Plan) { p.Units = 1 })), &experimentv1.StartExperiment{}, &experimentv1.StopExperiment{},
				&experimentv1.DecideExperiment{Variant: "v2"}, &experimentv1.RecordOutcome{Unit: "ada", Metric: "complaints", Value: 1},
			}).Draw(t, "command")))
		}
		started, runs := int32(0), false
		for _, e := range decidertest.Laws(t, experiment.Decider, life...) {
			happened[string(e.ProtoReflect().Descriptor().FullName())]++
			switch e := e.(type) {
			case *experimentv1.ExperimentStarted:
				if runs || e.GetPlanNumber() <= started {
					t.Fatalf("plan %d was started after %d (running: %v)", e.GetPlanNumber(), started, runs)
				}
				started, runs = e.GetPlanNumber(), true
			case *experimentv1.ExperimentStopped:
				runs = false
			case *experimentv1.ExperimentDefined:
				if runs {
					t.Fatal("a plan changed while it ran")
				}
			}
		}
	})
	for _, typ := range experiment.Spec(nil).Events {
		if happened[typ] == 0 {
			t.Errorf("%s never happened: the generator tests less than it should; %v", typ, happened)
		}
	}
}

func TestGoldenFolds(t *testing.T) {
	whole := []proto.Message{&experimentv1.ExperimentDefined{PlanNumber: 1, Plan: plan(nil), DefinedAt: at(1)}, &experimentv1.ExperimentStarted{PlanNumber: 1, StartedAt: at(2)},
		&experimentv1.OutcomeRecorded{PlanNumber: 1, Unit: "ada", Metric: "complaints", Value: 1}, &experimentv1.ExperimentStopped{PlanNumber: 1, Reason: "enough", StoppedAt: at(3)},
		&experimentv1.ExperimentDecided{PlanNumber: 1, Variant: "v2", DecidedAt: at(4)}}
	decidertest.GoldenFolds(t, "testdata/folds.json", *update, experiment.Fingerprint, experiment.Decider, map[string][]proto.Message{
		"whole": whole,
		"again": append(whole[:len(whole):len(whole)], &experimentv1.ExperimentDefined{PlanNumber: 2, Plan: plan(nil), DefinedAt: at(5)}),
		"empty": {&experimentv1.ExperimentDefined{}, &experimentv1.ExperimentStarted{}, &experimentv1.OutcomeRecorded{}, &experimentv1.ExperimentStopped{}, &experimentv1.ExperimentDecided{}},
	})
}

// Whatever is registered is handled, and the attributes are those of the state.
func TestExhaustive(t *testing.T) {
	spec := experiment.Spec(nil)
	if len(spec.Commands) != 5 || len(spec.Events) != 5 {
		t.Errorf("another command or event is registered: test it here. %v %v", spec.Commands, spec.Events)
	}
	for n, want := range []string{"", "defined", "running", "stopped", "decided"} {
		s := &experimentv1.ExperimentState{Status: experimentv1.ExperimentStatus(n)}
		if got := spec.Attributes(s); fmt.Sprint(got) != fmt.Sprintf("map[status:%s]", want) {
			t.Errorf("the attributes of status %d are %v", n, got)
		}
	}
	before := experiment.Decider.Fold(&experimentv1.ExperimentDefined{PlanNumber: 1})
	if after := experiment.Evolve(before, &experimentv1.StartExperiment{}); !proto.Equal(before, after) {
		t.Error("something that is no event changed the state")
	}
}
