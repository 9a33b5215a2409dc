package order_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/decider/decidertest"
	"github.com/cqrsflow/cqrsflow/domain/order"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// v2 is the aggregate as its variant decides.
var v2 = decider.Decider[command, proto.Message, *orderv1.OrderState]{Initial: order.Decider.Initial, Decide: order.DecideV2, Evolve: order.Decider.Evolve}

func TestShippingIsFreeFrom(t *testing.T) {
	for total, want := range map[string]*orderv1.OrderPaid{
		"0.00":  {Total: usd("2.99"), Shipping: usd("2.99")},
		"24.99": {Total: usd("27.98"), Shipping: usd("2.99")},
		"25.00": {Total: usd("25.00")},
		"25.01": {Total: usd("25.01")},
	} {
		history := []proto.Message{&orderv1.OrderPlaced{Customer: "ann", PlacedAt: day(1), Total: usd(total), Lines: []*orderv1.LineItem{item("cd", 1, total)}}}
		want.Customer, want.Units, want.PaidAt = "ann", 1, day(2)
		paid := decidertest.Given(t, v2, history...).When(cmd(2, &orderv1.PayOrder{})).Then(want)
		if got := paid.State(); !proto.Equal(got.GetTotal(), usd(total)) || got.GetStatus() != orderv1.OrderStatus_ORDER_STATUS_PAID {
			t.Errorf("paying %s led to %v", total, got)
		}
		// Whoever decided, the other goes on.
		decidertest.Given(t, order.Decider, append(history, want)...).When(cmd(3, &orderv1.ShipOrder{})).Then(&orderv1.OrderShipped{ShippedAt: day(3)})
	}
}

// The laws of every decider hold for the variant, and it accepts and refuses what the default does.
func TestVariantLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		life := lives.Draw(t, "life")
		decidertest.Laws(t, v2, life...)
		s := order.Decider.Initial()
		for _, c := range life {
			a, aerr := order.Decide(c, s)
			b, berr := order.DecideV2(c, s)
			ra, _ := decider.AsRejection(aerr)
			rb, _ := decider.AsRejection(berr)
			if len(a) != len(b) || (ra == nil) != (rb == nil) || ra != nil && *ra != *rb {
				t.Fatalf("%T: v1 %v, %v; v2 %v, %v", c.Body, a, aerr, b, berr)
			}
			s = order.Decider.FoldFrom(s, a...)
		}
	})
}
