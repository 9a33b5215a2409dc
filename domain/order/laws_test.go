package order_test

import (
	"flag"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/decider/decidertest"
	"github.com/cqrsflow/cqrsflow/domain/money"
	"github.com/cqrsflow/cqrsflow/domain/order"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

var update = flag.Bool("update", false, "write golden files")

var skus = rapid.SampledFrom([]string{"cd", "pen", "cup", "mug"})

var amounts = rapid.Custom(func(t *rapid.T) *typev1.Money {
	return &typev1.Money{Amount: money.Format(rapid.Int64Range(0, 99_999_999_999_999).Draw(t, "cents")), Currency: rapid.SampledFrom([]string{"USD", "USD", "USD", "EUR"}).Draw(t, "currency")}
})

var lines = rapid.Custom(func(t *rapid.T) *orderv1.Line {
	l := &orderv1.Line{Sku: skus.Draw(t, "sku"), Quantity: rapid.Int32Range(1, 1_000_000).Draw(t, "quantity")}
	if rapid.Bool().Draw(t, "priced") {
		l.Price = amounts.Draw(t, "price")
	} else {
		l.Total = amounts.Draw(t, "total")
	}
	return l
})

var commands = rapid.Custom(func(t *rapid.T) command {
	var body proto.Message
	switch rapid.IntRange(0, 9).Draw(t, "command") {
	case 0, 1:
		body = &orderv1.PlaceOrder{Customer: "ann", Notes: rapid.SampledFrom([]string{"", "quick"}).Draw(t, "notes"), Lines: rapid.SliceOfN(lines, 1, 3).Draw(t, "lines")}
	case 2, 3:
		l := lines.Draw(t, "line")
		body = &orderv1.AddLine{Sku: l.GetSku(), Quantity: l.GetQuantity(), Price: l.GetPrice(), Total: l.GetTotal()}
	case 4:
		body = &orderv1.RemoveLine{Sku: skus.Draw(t, "sku")}
	case 5:
		body = &orderv1.PayOrder{}
	case 6:
		body = &orderv1.ShipOrder{}
	case 7:
		body = &orderv1.DeliverOrder{}
	case 8:
		body = &orderv1.CancelOrder{}
	default:
		body = &orderv1.AnnotateOrder{Text: "hello"}
	}
	return cmd(rapid.IntRange(0, 1000).Draw(t, "day"), body)
})

// lives are some way along the usual one, then anything.
var lives = rapid.Custom(func(t *rapid.T) []command {
	usual := []command{
		cmd(1, &orderv1.PlaceOrder{Customer: "ann", Lines: []*orderv1.Line{lineOfTotal("cd", 1, usd("11.77"))}}),
		cmd(2, &orderv1.PayOrder{}), cmd(3, &orderv1.ShipOrder{}), cmd(4, &orderv1.DeliverOrder{}),
	}
	n := rapid.SampledFrom([]int{0, 1, 2, 3, 4, 5}).Draw(t, "usual")
	if n == 5 {
		usual, n = []command{usual[0], cmd(2, &orderv1.CancelOrder{})}, 2
	}
	return append(usual[:n:n], rapid.SliceOfN(commands, 0, 20).Draw(t, "commands")...)
})

// The laws of every decider, and that an order's total is the sum of its lines whatever was done to it.
func TestLaws(t *testing.T) {
	reached := map[orderv1.OrderStatus]int{}
	rapid.Check(t, func(t *rapid.T) {
		events := decidertest.Laws(t, order.Decider, lives.Draw(t, "life")...)
		s := order.Decider.Fold(events...)
		reached[s.GetStatus()]++
		total := money.Amount{Currency: s.GetTotal().GetCurrency()}
		for _, l := range s.GetLines() {
			amount, err := money.Of(l.GetTotal())
			if err == nil {
				total, err = total.Add(amount)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if s.GetStatus() != orderv1.OrderStatus_ORDER_STATUS_UNSPECIFIED && !proto.Equal(total.Proto(), s.GetTotal()) {
			t.Fatalf("the total is %v, the lines' sum %v", s.GetTotal(), total)
		}
	})
	t.Logf("histories by status: %v", reached)
	for status, name := range orderv1.OrderStatus_name {
		if reached[orderv1.OrderStatus(status)] == 0 {
			t.Errorf("no history led to %s: the generator tests less than it should", name)
		}
	}
}

// Histories for the golden folds hold every event that can happen.
func histories() map[string][]proto.Message {
	return map[string][]proto.Message{
		"delivered": delivered,
		"cancelled": cancelled,
		"changed": append(placed[:1:1],
			&orderv1.LineAdded{Line: item("cup", 3, "1.50"), OrderTotal: usd("27.04"), AddedAt: day(2)},
			&orderv1.LineRemoved{Sku: "cd", OrderTotal: usd("3.50"), RemovedAt: day(3)},
			&orderv1.LineAdded{Line: item("cd", 1, "5.00"), OrderTotal: usd("8.50"), AddedAt: day(4)}),
		"annotated": append(placed[:1:1],
			&orderv2.OrderAnnotated{Note: &orderv2.Note{Text: "call first", NotedAt: day(2), Author: "user:ann"}},
			&orderv2.OrderAnnotated{Note: &orderv2.Note{Text: "twice"}}),
		"without notes": {&orderv1.OrderPlaced{Customer: "bob", Lines: []*orderv1.LineItem{item("cd", 1, "1.00")}, Total: usd("1.00"), PlacedAt: day(1)}},
		// Events with nothing set are events too: a fold never fails.
		"empty": {&orderv1.OrderPlaced{}, &orderv1.LineAdded{}, &orderv1.LineRemoved{}, &orderv1.OrderPaid{}, &orderv1.OrderShipped{},
			&orderv1.OrderDelivered{}, &orderv1.OrderCancelled{}, &orderv2.OrderAnnotated{}},
	}
}

func TestGoldenFolds(t *testing.T) {
	decidertest.GoldenFolds(t, "testdata/folds.json", *update, order.Fingerprint, order.Decider, histories())
	for name, events := range histories() {
		t.Run(name, func(t *testing.T) { decidertest.Given(t, order.Decider, events...) })
	}
}

func BenchmarkFold(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		order.Decider.Fold(delivered...)
	}
}
