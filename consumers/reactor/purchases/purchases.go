// Package purchases is the reactor that records a paid order as a purchase of its customer.
package purchases

import (
	"cmp"
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/consumers/reactor"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// Name is the reactor's name.
const Name = "purchases"

// Configure fills in what the reactor is; base says how to reach Kafka, the registrations, and the rest.
func Configure(base reactor.Config) reactor.Config {
	base.Name = Name
	base.Wants = map[string][]string{"order": {"order.v1.OrderPaid"}}
	base.Targets = []string{"customer"}
	base.React = React
	return base
}

// React asks the order's customer to record the purchase.
func React(e *event.Recorded) ([]reactor.Command, error) {
	paid, ok := e.Body.(*orderv1.OrderPaid)
	if !ok {
		return nil, fmt.Errorf("%w: purchases does not know %s", event.ErrUnknownType, e.Type)
	}
	data, err := schemas.Marshal(&customerv1.RecordPurchase{
		Order:       string(e.Stream),
		Total:       paid.GetTotal(),
		Units:       paid.GetUnits(),
		PurchasedAt: cmp.Or(paid.GetPaidAt(), timestamppb.New(e.Time)),
	})
	if err != nil {
		return nil, fmt.Errorf("encode the purchase of order %s: %w", e.Stream, err)
	}
	return []reactor.Command{{Aggregate: "customer", Stream: event.StreamID(paid.GetCustomer()),
		Type: "customer.v1.RecordPurchase", ContentType: schemas.ContentTypeProtobuf, Data: data}}, nil
}
