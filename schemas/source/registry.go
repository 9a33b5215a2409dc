// Package source names the messages of sources of attempts on the wire.
package source

import (
	"github.com/cqrsflow/cqrsflow/schemas"
	sourcev1 "github.com/cqrsflow/cqrsflow/schemas/source/v1"
)

// StateVersion is the version of the encoding of SourceState in snapshots.
const StateVersion = 1

// Commands are the commands that a source takes.
var Commands = schemas.NewRegistry(
	schemas.Current(&sourcev1.BeginAttempt{}),
	schemas.Current(&sourcev1.CompleteAttempt{}),
)

// Events are the events that may stand in a source's stream.
var Events = schemas.NewRegistry(
	schemas.Current(&sourcev1.AttemptBegun{}),
	schemas.Current(&sourcev1.AttemptFailed{}),
	schemas.Current(&sourcev1.AttemptSucceeded{}),
	schemas.Current(&sourcev1.AttemptExpired{}),
	schemas.Current(&sourcev1.AttemptWithdrawn{}),
	schemas.Current(&sourcev1.FailuresForgotten{}),
)

// Codec is the codec of sources whose state is a SourceState.
var Codec = schemas.NewCodec(StateVersion, Commands, Events, &sourcev1.SourceState{})
