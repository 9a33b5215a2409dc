package experiment

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	experimentv1 "github.com/cqrsflow/cqrsflow/schemas/experiment/v1"
)

// Decide says what a command causes. It expects a command that keeps the schema's rules; the rejections
// have the codes of this package.
func Decide(cmd decider.Command[proto.Message], s *experimentv1.ExperimentState) ([]proto.Message, error) {
	now, id := timestamppb.New(cmd.RecordedTime), cmd.Stream
	if c, ok := cmd.Body.(*experimentv1.DefineExperiment); ok {
		return define(id, c, s, now)
	}
	if s.GetStatus() == absent {
		return nil, event.Reject(CodeNotFound, "there is no experiment %s", id)
	}
	switch c := cmd.Body.(type) {
	case *experimentv1.StartExperiment:
		switch s.GetStatus() {
		case running:
			return nil, event.Reject(CodeRunning, "experiment %s runs already", id)
		case stopped, decided:
			return nil, event.Reject(CodeEnded, "plan %d of experiment %s is %s; define the next plan, and start that", s.GetPlanNumber(), id, word(s.GetStatus()))
		}
		return one(&experimentv1.ExperimentStarted{PlanNumber: s.GetPlanNumber(), StartedAt: now})
	case *experimentv1.StopExperiment:
		if s.GetStatus() != running {
			return nil, notRunning(id, s)
		}
		return one(&experimentv1.ExperimentStopped{PlanNumber: s.GetPlanNumber(), Reason: c.GetReason(), StoppedAt: now})
	case *experimentv1.DecideExperiment:
		if s.GetStatus() != stopped {
			return nil, event.Reject(CodeNotStopped, "experiment %s is %s; what is to follow is decided once it is stopped", id, word(s.GetStatus()))
		}
		if !slices.ContainsFunc(s.GetPlan().GetVariants(), func(v *experimentv1.Variant) bool { return v.GetName() == c.GetVariant() }) {
			return nil, event.Reject(CodeVariantUnknown, "experiment %s has no variant %q", id, c.GetVariant())
		}
		return one(&experimentv1.ExperimentDecided{PlanNumber: s.GetPlanNumber(), Variant: c.GetVariant(), Reason: c.GetReason(), DecidedAt: now})
	case *experimentv1.RecordOutcome:
		return record(id, c, s, timestamppb.New(cmd.Time))
	}
	return nil, fmt.Errorf("%w: an experiment takes no %T", event.ErrUnknownType, cmd.Body)
}

func define(id event.StreamID, c *experimentv1.DefineExperiment, s *experimentv1.ExperimentState, now *timestamppb.Timestamp) ([]proto.Message, error) {
	number := s.GetPlanNumber()
	switch s.GetStatus() {
	case running:
		return nil, event.Reject(CodeRunning, "experiment %s runs by plan %d, which does not change; stop it before you define the next", id, number)
	case absent, stopped, decided:
		number++
	}
	if err := check(c.GetPlan(), number); err != nil {
		return nil, err
	}
	return one(&experimentv1.ExperimentDefined{PlanNumber: number, Plan: proto.CloneOf(c.GetPlan()), DefinedAt: now})
}

// record takes an outcome while units are assigned, and afterwards, as some are late; not once the decision was made.
func record(id event.StreamID, c *experimentv1.RecordOutcome, s *experimentv1.ExperimentState, at *timestamppb.Timestamp) ([]proto.Message, error) {
	before := c.GetBefore() && s.GetStatus() == defined // what was before may be known before
	if s.GetStatus() != running && s.GetStatus() != stopped && !before {
		return nil, notRunning(id, s)
	}
	for _, m := range metrics(s.GetPlan()) {
		if m.GetName() == c.GetMetric() && (c.GetBefore() || m.GetEvent() == "") {
			return one(&experimentv1.OutcomeRecorded{PlanNumber: s.GetPlanNumber(), Unit: c.GetUnit(), Metric: c.GetMetric(), Value: c.GetValue(),
				Per: c.GetPer(), Before: c.GetBefore(), MeasuredAt: at})
		}
	}
	return nil, event.Reject(CodeMetricUnknown, "the plan of experiment %s has no metric %q that outcomes are posted for", id, c.GetMetric())
}

func notRunning(id event.StreamID, s *experimentv1.ExperimentState) error {
	return event.Reject(CodeNotRunning, "experiment %s does not run; it is %s", id, word(s.GetStatus()))
}

func one(e proto.Message) ([]proto.Message, error) { return []proto.Message{e}, nil }

// metrics are the primary one, then the guardrails.
func metrics(p *experimentv1.Plan) []*experimentv1.Metric {
	return append([]*experimentv1.Metric{p.GetPrimary()}, p.GetGuardrails()...)
}
