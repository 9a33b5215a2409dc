// Package customer names the messages of customers on the wire.
package customer

import (
	"github.com/cqrsflow/cqrsflow/schemas"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
)

// StateVersion is the version of the encoding of CustomerState in snapshots.
const StateVersion = 1

// Commands are the commands that a customer takes.
var Commands = schemas.NewRegistry(schemas.Current(&customerv1.RecordPurchase{}))

// Events are the events that may stand in a customer's stream.
var Events = schemas.NewRegistry(schemas.Current(&customerv1.PurchaseRecorded{}))

// Codec is the codec of customers whose state is a CustomerState.
var Codec = schemas.NewCodec(StateVersion, Commands, Events, &customerv1.CustomerState{})
