// Package experiment names the messages of experiments on the wire.
package experiment

import (
	"github.com/cqrsflow/cqrsflow/schemas"
	experimentv1 "github.com/cqrsflow/cqrsflow/schemas/experiment/v1"
)

// StateVersion is the version of the encoding of ExperimentState in snapshots.
const StateVersion = 1

// Commands are the commands that an experiment takes.
var Commands = schemas.NewRegistry(
	schemas.Current(&experimentv1.DefineExperiment{}),
	schemas.Current(&experimentv1.StartExperiment{}),
	schemas.Current(&experimentv1.StopExperiment{}),
	schemas.Current(&experimentv1.DecideExperiment{}),
	schemas.Current(&experimentv1.RecordOutcome{}),
)

// Events are the events that may stand in an experiment's stream.
var Events = schemas.NewRegistry(
	schemas.Current(&experimentv1.ExperimentDefined{}),
	schemas.Current(&experimentv1.ExperimentStarted{}),
	schemas.Current(&experimentv1.ExperimentStopped{}),
	schemas.Current(&experimentv1.ExperimentDecided{}),
	schemas.Current(&experimentv1.OutcomeRecorded{}),
)

// Codec is the codec of experiments whose state is an ExperimentState.
var Codec = schemas.NewCodec(StateVersion, Commands, Events, &experimentv1.ExperimentState{})
