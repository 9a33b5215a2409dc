package order

import (
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/money"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// The versions of Decide. V1 serves; V2 is there to be compared with it.
const (
	// V1 charges what the lines cost.
	V1 = "v1"
	// V2 charges ShippingFee on top, where the lines cost less than FreeShippingFrom.
	V2 = "v2"
)

// The rule of V2, in cents of whatever currency the order is in.
const (
	FreeShippingFrom = 25_00
	ShippingFee      = 2_99
)

// variants are the versions of Decide besides V1.
var variants = []decider.Variant[proto.Message, proto.Message, *orderv1.OrderState]{{Name: V2, Decide: DecideV2}}

// DecideV2 is Decide, but that paying a small order costs a fee for shipping, which its OrderPaid shows. The fee is decided
// when the order is paid, as its lines may change until then. The order's own total stays the sum of its lines, so
// Evolve has nothing to learn, and an order may be paid under one variant and shipped under the other.
func DecideV2(cmd decider.Command[proto.Message], s *orderv1.OrderState) ([]proto.Message, error) {
	events, err := Decide(cmd, s)
	for _, e := range events {
		if p, ok := e.(*orderv1.OrderPaid); ok {
			if err := charge(p); err != nil {
				return nil, err
			}
		}
	}
	return events, err
}

// charge adds the fee to what is paid.
func charge(p *orderv1.OrderPaid) error {
	total, err := money.Of(p.GetTotal())
	if err != nil || total.Cents >= FreeShippingFrom {
		return err
	}
	fee := money.Amount{Cents: ShippingFee, Currency: total.Currency}
	if total, err = total.Add(fee); err != nil {
		return err
	}
	p.Total, p.Shipping = total.Proto(), fee.Proto()
	return nil
}
