// Package order is the aggregate of orders: placed, changed until they are paid, then shipped and
// delivered, or cancelled before that.
package order

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// Name is the aggregate type.
const Name = "order"

// Fingerprint numbers the meaning of Evolve. Raise it whenever Evolve makes another state of the same
// events: snapshots made before are then discarded. TestGoldenFolds fails where that was forgotten.
const Fingerprint = 1

// MaxLines is the largest number of lines of an order. PlaceOrder's schema has the same bound.
const MaxLines = 1000

// Decider is the aggregate. Bodies of commands and events are messages of order.v1 and order.v2; the
// state of an order that does not exist has no status.
var Decider = decider.Decider[decider.Command[proto.Message], proto.Message, *orderv1.OrderState]{
	Initial: func() *orderv1.OrderState { return &orderv1.OrderState{} },
	Decide:  Decide,
	Evolve:  Evolve,
}

// Spec registers the aggregate.
func Spec(codec decider.Codec) decider.Spec[proto.Message, proto.Message, *orderv1.OrderState] {
	return decider.Spec[proto.Message, proto.Message, *orderv1.OrderState]{
		Name: Name, Plural: "orders", Fingerprint: Fingerprint, Decider: Decider, Codec: codec,
		Variant: V1, Variants: variants,
		Commands: []decider.CommandType{
			{Type: "order.v1.PlaceOrder", Name: "place", Public: true, Summary: "Place an order of at least one line, all in one currency."},
			{Type: "order.v1.AddLine", Name: "add-line", Public: true, Summary: "Add a line to an order that is not paid yet."},
			{Type: "order.v1.RemoveLine", Name: "remove-line", Public: true, Summary: "Remove a line, but not the last one, from an order that is not paid yet."},
			{Type: "order.v1.PayOrder", Name: "pay", Public: true, Summary: "Mark a placed order as paid."},
			{Type: "order.v1.ShipOrder", Name: "ship", Public: true, Summary: "Mark a paid order as shipped."},
			{Type: "order.v1.DeliverOrder", Name: "deliver", Public: true, Summary: "Mark a shipped order as delivered."},
			{Type: "order.v1.CancelOrder", Name: "cancel", Public: true, Summary: "Cancel an order that is not shipped yet; cancelling it again changes nothing."},
			{Type: "order.v1.AnnotateOrder", Name: "annotate", Public: true, Summary: "Add a note to an order, whatever its status."},
		},
		Events: []string{
			"order.v1.OrderPlaced",
			"order.v1.LineAdded",
			"order.v1.LineRemoved",
			"order.v1.OrderPaid",
			"order.v1.OrderShipped",
			"order.v1.OrderDelivered",
			"order.v1.OrderCancelled",
			"order.v1.OrderAnnotated",
			"order.v2.OrderAnnotated",
		},
		Attributes: func(s *orderv1.OrderState) map[string]any {
			return map[string]any{"owner": s.GetCustomer(), "status": statusName(s)}
		},
		Owner: func(m proto.Message) string {
			if place, ok := m.(*orderv1.PlaceOrder); ok {
				return place.GetCustomer()
			}
			return ""
		},
	}
}

// statusName is the word for it that the API uses; empty for an order that does not exist.
func statusName(s *orderv1.OrderState) string {
	if s.GetStatus() == orderv1.OrderStatus_ORDER_STATUS_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(s.GetStatus().String(), "ORDER_STATUS_"))
}
