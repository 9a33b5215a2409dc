// Package customer is the aggregate of customers: what they bought. Its commands come from a reactor to
// paid orders only.
package customer

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/money"
	"github.com/cqrsflow/cqrsflow/event"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
)

// Name is the aggregate type.
const Name = "customer"

// Fingerprint numbers the meaning of Evolve. Raise it whenever Evolve makes another state of the same
// events: snapshots made before are then discarded. TestGoldenFolds fails where that was forgotten.
const Fingerprint = 1

// CodeAmountTooLarge rejects a purchase whose amount, or what the customer spent in its currency with it,
// is beyond 92,233,720,368,547,758.07. The code never changes its meaning.
const CodeAmountTooLarge = "amount_too_large"

// Decider is the aggregate. Bodies of commands and events are messages of customer.v1; the state of a
// customer without purchases has no orders.
var Decider = decider.Decider[decider.Command[proto.Message], proto.Message, *customerv1.CustomerState]{
	Initial: func() *customerv1.CustomerState { return &customerv1.CustomerState{} },
	Decide:  Decide,
	Evolve:  Evolve,
}

// Spec registers the aggregate.
func Spec(codec decider.Codec) decider.Spec[proto.Message, proto.Message, *customerv1.CustomerState] {
	return decider.Spec[proto.Message, proto.Message, *customerv1.CustomerState]{
		Name: Name, Plural: "customers", Fingerprint: Fingerprint, Decider: Decider, Codec: codec,
		Commands: []decider.CommandType{
			{Type: "customer.v1.RecordPurchase", Name: "record-purchase", Summary: "Count a paid order for its customer, once."},
		},
		Events: []string{"customer.v1.PurchaseRecorded"},
	}
}

// Decide says what a command causes. An order that is counted already is nothing to do, whatever the ID
// of the command: a reactor that is started anew may make its commands twice.
func Decide(cmd decider.Command[proto.Message], s *customerv1.CustomerState) ([]proto.Message, error) {
	c, ok := cmd.Body.(*customerv1.RecordPurchase)
	if !ok {
		return nil, fmt.Errorf("%w: a customer takes no %T", event.ErrUnknownType, cmd.Body)
	}
	if _, counted := slices.BinarySearch(s.GetOrderIds(), c.GetOrder()); counted {
		return nil, nil
	}
	total, err := money.Of(c.GetTotal())
	if err != nil {
		return nil, rejectAmount(c.GetOrder(), err)
	}
	if i := indexOf(s, total.Currency); i >= 0 {
		spent, err := money.Of(s.GetSpent()[i])
		if err == nil {
			_, err = spent.Add(total)
		}
		if err != nil {
			return nil, rejectAmount(c.GetOrder(), err)
		}
	}
	return []proto.Message{&customerv1.PurchaseRecorded{
		Order: c.GetOrder(), Total: total.Proto(), Units: c.GetUnits(), PurchasedAt: proto.CloneOf(c.GetPurchasedAt()),
	}}, nil
}
