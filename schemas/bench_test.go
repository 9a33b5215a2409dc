package schemas_test

import (
	"fmt"
	"testing"

	"github.com/cqrsflow/cqrsflow/schemas"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	"github.com/cqrsflow/cqrsflow/schemas/order"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func placeOrder(lines int) *orderv1.PlaceOrder {
	m := &orderv1.PlaceOrder{Customer: "customer-17", Notes: "leave it at the door"}
	for i := range lines {
		m.Lines = append(m.Lines, &orderv1.Line{
			Sku:      fmt.Sprintf("sku-%d", i),
			Name:     "a disc",
			Quantity: int32(i) + 1,
			Price:    &typev1.Money{Amount: "11.77", Currency: "USD"},
		})
	}
	return m
}

func BenchmarkValidate(b *testing.B) {
	if err := schemas.Warm(order.Commands); err != nil {
		b.Fatal(err)
	}
	for _, lines := range []int{1, 3, 100} {
		b.Run(fmt.Sprintf("PlaceOrder/lines=%d", lines), func(b *testing.B) {
			m := placeOrder(lines)
			b.ReportAllocs()
			for b.Loop() {
				if errs := schemas.Validate(m); errs != nil {
					b.Fatal(errs)
				}
			}
		})
	}
	b.Run("PayOrder", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			schemas.Validate(&orderv1.PayOrder{})
		}
	})
}
