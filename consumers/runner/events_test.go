package runner_test

import (
	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func usd(amount string) *typev1.Money { return &typev1.Money{Amount: amount, Currency: "USD"} }

func placed(stream string) logtest.Command {
	return logtest.One(stream, &orderv1.OrderPlaced{Customer: "c-1", Total: usd("1.00")})
}

func paid(stream string) logtest.Command {
	return logtest.One(stream, &orderv1.OrderPaid{Customer: "c-1", Units: 1, Total: usd("1.00")})
}

func shipped(stream string) logtest.Command { return logtest.One(stream, &orderv1.OrderShipped{}) }

// garbage is an event of a known type whose body is no message.
func garbage(stream string) logtest.Command {
	return logtest.Raw(stream, "order.v1.OrderPaid", []byte("\xff\xff\xff"))
}
