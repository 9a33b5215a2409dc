package logtest

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/order"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	schema "github.com/cqrsflow/cqrsflow/schemas/order"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// OrderType is the registration of orders.
func OrderType(t testing.TB) *decider.Type {
	t.Helper()
	typ, err := decider.NewType(order.Spec(schema.Codec))
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

// Money is an amount in USD.
func Money(amount string) *typev1.Money { return &typev1.Money{Amount: amount, Currency: "USD"} }

// Placed is an order of one line of sku "cd".
func Placed(customer string, quantity int32, total string, at time.Time) *orderv1.OrderPlaced {
	return &orderv1.OrderPlaced{Customer: customer, Total: Money(total), PlacedAt: timestamppb.New(at),
		Lines: []*orderv1.LineItem{{Sku: "cd", Name: "CD", Quantity: quantity, Total: Money(total)}}}
}

// Paid pays an order.
func Paid(customer string, units int32, total string, at time.Time) *orderv1.OrderPaid {
	return &orderv1.OrderPaid{Customer: customer, Units: units, Total: Money(total), PaidAt: timestamppb.New(at)}
}
