package experiment

import (
	"google.golang.org/protobuf/proto"

	experimentv1 "github.com/cqrsflow/cqrsflow/schemas/experiment/v1"
)

// Evolve returns the state after an event, sharing nothing that could change with the one before.
// Anything but an event of experiment.v1 leaves the state as it is, which does not happen: the codec knows no
// other events, and a test holds that each is handled.
func Evolve(s *experimentv1.ExperimentState, e proto.Message) *experimentv1.ExperimentState {
	next := proto.CloneOf(s)
	evolve(next, proto.CloneOf(e))
	return next
}

// evolve changes a state that is its own, with an event that is its own; it reports whether it knows the event.
func evolve(s *experimentv1.ExperimentState, e proto.Message) bool {
	switch e := e.(type) {
	case *experimentv1.ExperimentDefined:
		outcomes := s.GetOutcomes()
		proto.Reset(s)
		s.Status, s.PlanNumber, s.Plan, s.DefinedAt, s.Outcomes = defined, e.GetPlanNumber(), e.GetPlan(), e.GetDefinedAt(), outcomes
	case *experimentv1.ExperimentStarted:
		s.Status, s.StartedAt = running, e.GetStartedAt()
	case *experimentv1.ExperimentStopped:
		s.Status, s.StopReason, s.StoppedAt = stopped, e.GetReason(), e.GetStoppedAt()
	case *experimentv1.ExperimentDecided:
		s.Status = decided
		s.Decision = &experimentv1.Decision{Variant: e.GetVariant(), Reason: e.GetReason(), DecidedAt: e.GetDecidedAt()}
	case *experimentv1.OutcomeRecorded:
		s.Outcomes++
	default:
		return false
	}
	return true
}
