// Package order names the messages of orders on the wire, and turns old events into current ones.
package order

import (
	"github.com/cqrsflow/cqrsflow/schemas"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

// StateVersion is the version of the encoding of OrderState in snapshots.
const StateVersion = 1

// Commands are the commands that an order takes.
var Commands = schemas.NewRegistry(
	schemas.Current(&orderv1.PlaceOrder{}),
	schemas.Current(&orderv1.AddLine{}),
	schemas.Current(&orderv1.RemoveLine{}),
	schemas.Current(&orderv1.PayOrder{}),
	schemas.Current(&orderv1.ShipOrder{}),
	schemas.Current(&orderv1.DeliverOrder{}),
	schemas.Current(&orderv1.CancelOrder{}),
	schemas.Current(&orderv1.AnnotateOrder{}),
)

// Events are the events that may stand in an order's stream.
var Events = schemas.NewRegistry(
	schemas.Current(&orderv1.OrderPlaced{}),
	schemas.Current(&orderv1.LineAdded{}),
	schemas.Current(&orderv1.LineRemoved{}),
	schemas.Current(&orderv1.OrderPaid{}),
	schemas.Current(&orderv1.OrderShipped{}),
	schemas.Current(&orderv1.OrderDelivered{}),
	schemas.Current(&orderv1.OrderCancelled{}),
	schemas.Old(&orderv1.OrderAnnotated{}, upcastOrderAnnotated),
	schemas.Current(&orderv2.OrderAnnotated{}),
)

// Codec is the codec of orders whose state is an OrderState.
var Codec = schemas.NewCodec(StateVersion, Commands, Events, &orderv1.OrderState{})
