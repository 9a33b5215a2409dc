package experiment

import (
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
	experimentv1 "github.com/cqrsflow/cqrsflow/schemas/experiment/v1"
)

// Name is the aggregate type.
const Name = "experiment"

// Fingerprint numbers the meaning of Evolve. Raise it whenever Evolve makes another state of the same
// events: snapshots made before are then discarded. TestGoldenFolds fails where that was forgotten.
const Fingerprint = 1

// Parts is what weights are parts of; it is assign.Parts.
const Parts = 10_000

// The codes of rejections. They are part of the API: they never change their meaning.
const (
	// CodeNotFound: there is no such experiment; all commands but DefineExperiment.
	CodeNotFound = "experiment_not_found"
	// CodeRunning: it runs, so its plan does not change; DefineExperiment, StartExperiment.
	CodeRunning = "experiment_running"
	// CodeEnded: its plan has run, and needs a successor; StartExperiment.
	CodeEnded = "experiment_ended"
	// CodeNotRunning: it does not run; StopExperiment, and RecordOutcome where it never did or was decided.
	CodeNotRunning = "experiment_not_running"
	// CodeNotStopped: there is nothing to decide, yet or any more; DecideExperiment.
	CodeNotStopped = "experiment_not_stopped"
	// CodePlanInvalid: the parts of the plan do not fit together; DefineExperiment.
	CodePlanInvalid = "plan_invalid"
	// CodeVariantUnknown: the plan has no such variant; DecideExperiment.
	CodeVariantUnknown = "variant_unknown"
	// CodeMetricUnknown: the plan has no such metric that outcomes are posted for; RecordOutcome.
	CodeMetricUnknown = "metric_unknown"
)

// Decider is the aggregate. Bodies of commands and events are messages of experiment.v1. Decisions take the
// recorded time for now: a client does not choose when an experiment began.
var Decider = decider.Decider[decider.Command[proto.Message], proto.Message, *experimentv1.ExperimentState]{
	Initial: func() *experimentv1.ExperimentState { return &experimentv1.ExperimentState{} },
	Decide:  Decide,
	Evolve:  Evolve,
}

// Spec registers the aggregate.
func Spec(codec decider.Codec) decider.Spec[proto.Message, proto.Message, *experimentv1.ExperimentState] {
	return decider.Spec[proto.Message, proto.Message, *experimentv1.ExperimentState]{
		Name: Name, Plural: "experiments", Fingerprint: Fingerprint, Decider: Decider, Codec: codec,
		Commands: []decider.CommandType{
			{Type: "experiment.v1.DefineExperiment", Name: "define", Public: true, Summary: "Give an experiment that does not run a plan.", Example: example},
			{Type: "experiment.v1.StartExperiment", Name: "start", Public: true, Summary: "Begin to assign units by the plan, which does not change any more."},
			{Type: "experiment.v1.StopExperiment", Name: "stop", Public: true, Summary: "Stop assigning units: the control serves everybody."},
			{Type: "experiment.v1.DecideExperiment", Name: "decide", Public: true, Summary: "Record what follows from a stopped experiment."},
			{Type: "experiment.v1.RecordOutcome", Name: "outcomes", Public: true, Summary: "Post something that was measured of a unit."},
		},
		Events: []string{
			"experiment.v1.ExperimentDefined",
			"experiment.v1.ExperimentStarted",
			"experiment.v1.ExperimentStopped",
			"experiment.v1.ExperimentDecided",
			"experiment.v1.OutcomeRecorded",
		},
		Attributes: func(s *experimentv1.ExperimentState) map[string]any {
			return map[string]any{"status": word(s.GetStatus())}
		},
	}
}

type status = experimentv1.ExperimentStatus

// Short names of the statuses.
const (
	absent  = experimentv1.ExperimentStatus_EXPERIMENT_STATUS_UNSPECIFIED
	defined = experimentv1.ExperimentStatus_EXPERIMENT_STATUS_DEFINED
	running = experimentv1.ExperimentStatus_EXPERIMENT_STATUS_RUNNING
	stopped = experimentv1.ExperimentStatus_EXPERIMENT_STATUS_STOPPED
	decided = experimentv1.ExperimentStatus_EXPERIMENT_STATUS_DECIDED
)

// word is how people call a status, and the API as well; empty for an experiment that does not exist.
func word(s status) string {
	switch s {
	case defined:
		return "defined"
	case running:
		return "running"
	case stopped:
		return "stopped"
	case decided:
		return "decided"
	}
	return ""
}

// example is a plan, as it is sent.
const example = `{"plan": {"hypothesis": "A fee for shipping below 25 dollars brings more revenue a customer.", "aggregate": "order", "unit": "customer",
"variants": [{"name": "v1", "weight": 5000}, {"name": "v2", "weight": 5000}],
"primary": {"name": "revenue", "kind": "mean", "event": "order.v1.OrderPaid", "field": "total.amount"}, "effect": 0.1, "units": 6000}}`
