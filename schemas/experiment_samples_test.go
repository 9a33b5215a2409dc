package schemas_test

import (
	"google.golang.org/protobuf/proto"

	experimentv1 "github.com/cqrsflow/cqrsflow/schemas/experiment/v1"
)

// experimentSamples are samples of what experiments say.
func experimentSamples() []proto.Message {
	coverage := int32(9_000)
	variant := &experimentv1.Variant{Name: "v2", Weight: 5000}
	metric := &experimentv1.Metric{Name: "revenue", Kind: "ratio", Lower: true, Cuped: true, Event: "order.v1.OrderPaid", Field: "total.amount",
		PerEvent: "order.v1.OrderPaid", PerField: "units", Cap: 500, CapQuantile: 0.99}
	plan := &experimentv1.Plan{
		Hypothesis: "a fee makes baskets larger", Aggregate: "order", Unit: "customer", Variants: []*experimentv1.Variant{{Name: "v1", Weight: 5000}, variant},
		Coverage: &coverage, Primary: metric, Guardrails: []*experimentv1.Metric{metric}, Effect: 0.05, Alpha: 0.01, Power: 0.9, Method: "sequential",
		Correction: "holm", Units: 4000, MinUnits: 50, MaxCrossed: 0.001, Tuning: 2000, BeforePlan: 1,
	}
	decision := &experimentv1.Decision{Variant: "v2", Reason: "it pays", DecidedAt: minutes(4)}
	return []proto.Message{
		variant, metric, plan, decision,
		&experimentv1.DefineExperiment{Plan: plan},
		&experimentv1.StartExperiment{},
		&experimentv1.StopExperiment{Reason: "enough"},
		&experimentv1.DecideExperiment{Variant: "v2", Reason: "it pays"},
		&experimentv1.RecordOutcome{Unit: "ada", Metric: "complaints", Value: 1.5, Per: 2, Before: true},
		&experimentv1.ExperimentDefined{PlanNumber: 2, Plan: plan, DefinedAt: minutes(1)},
		&experimentv1.ExperimentStarted{PlanNumber: 2, StartedAt: minutes(2)},
		&experimentv1.ExperimentStopped{PlanNumber: 2, Reason: "enough", StoppedAt: minutes(3)},
		&experimentv1.ExperimentDecided{PlanNumber: 2, Variant: "v2", Reason: "it pays", DecidedAt: minutes(4)},
		&experimentv1.OutcomeRecorded{PlanNumber: 2, Unit: "ada", Metric: "complaints", Value: 1.5, Per: 2, Before: true, MeasuredAt: minutes(3)},
		&experimentv1.ExperimentState{
			Status: experimentv1.ExperimentStatus_EXPERIMENT_STATUS_DECIDED, PlanNumber: 2, Plan: plan, DefinedAt: minutes(1), StartedAt: minutes(2),
			StoppedAt: minutes(3), StopReason: "enough", Decision: decision, Outcomes: 7,
		},
	}
}
