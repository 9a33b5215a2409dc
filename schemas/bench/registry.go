// Package bench names the messages of the benchmarks' accounts on the wire.
package bench

import (
	"github.com/cqrsflow/cqrsflow/schemas"
	benchv1 "github.com/cqrsflow/cqrsflow/schemas/bench/v1"
)

// StateVersion is the version of the encoding of AccountState in snapshots.
const StateVersion = 1

// Commands are the commands that an account takes.
var Commands = schemas.NewRegistry(schemas.Current(&benchv1.Deposit{}))

// Events are the events that may stand in an account's stream.
var Events = schemas.NewRegistry(schemas.Current(&benchv1.Deposited{}))

// Codec is the codec of accounts whose state is an AccountState.
var Codec = schemas.NewCodec(StateVersion, Commands, Events, &benchv1.AccountState{})
