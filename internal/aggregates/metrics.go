package aggregates

import (
	"github.com/cqrsflow/cqrsflow/compare"
	"github.com/cqrsflow/cqrsflow/domain/money"
	"github.com/cqrsflow/cqrsflow/domain/order"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// metrics are what decisions of an aggregate type can be compared by, besides how many are rejected.
var metrics = map[string][]compare.Metric{order.Name: {
	{Name: "revenue", Title: "Revenue (paid)", Of: func(d *compare.Decision) (value, units float64) {
		for _, e := range d.Events {
			if p, ok := e.(*orderv1.OrderPaid); ok {
				if total, err := money.Of(p.GetTotal()); err == nil {
					value += float64(total.Cents) / 100
				}
			}
		}
		return value, 0
	}},
	{Name: "orders", Title: "Orders placed", Of: func(d *compare.Decision) (value, units float64) {
		for _, e := range d.Events {
			if _, ok := e.(*orderv1.OrderPlaced); ok {
				value++
			}
		}
		return value, 0
	}},
}}

// Metrics returns what decisions of an aggregate type can be compared by. The slice is the caller's.
func Metrics(aggregate string) []compare.Metric {
	return append(append([]compare.Metric(nil), metrics[aggregate]...), compare.RejectionRate)
}
