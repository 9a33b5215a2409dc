package order_test

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/decider/decidertest"
	"github.com/cqrsflow/cqrsflow/domain/order"
	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

type command = decider.Command[proto.Message]

var epoch = time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)

// day is the n-th day: each command and event of a test has one of its own, so that times cannot be mixed up.
func day(n int) *timestamppb.Timestamp { return timestamppb.New(epoch.AddDate(0, 0, n)) }

// cmd is a command on order-1, on the n-th day.
func cmd(n int, body proto.Message) command {
	return command{Command: event.Command{Stream: "order-1", Time: epoch.AddDate(0, 0, n), Principal: "user:ann"}, Body: body}
}

func usd(amount string) *typev1.Money { return &typev1.Money{Amount: amount, Currency: "USD"} }
func eur(amount string) *typev1.Money { return &typev1.Money{Amount: amount, Currency: "EUR"} }

func item(sku string, quantity int32, total string) *orderv1.LineItem {
	return &orderv1.LineItem{Sku: sku, Name: "name of " + sku, Quantity: quantity, Total: usd(total)}
}

func lineOfPrice(sku string, quantity int32, price *typev1.Money) *orderv1.Line {
	return &orderv1.Line{Sku: sku, Name: "name of " + sku, Quantity: quantity, Price: price}
}

func lineOfTotal(sku string, quantity int32, total *typev1.Money) *orderv1.Line {
	return &orderv1.Line{Sku: sku, Name: "name of " + sku, Quantity: quantity, Total: total}
}

// Histories that lead to each status.
var (
	placed = []proto.Message{&orderv1.OrderPlaced{Customer: "ann", Notes: "as a gift", PlacedAt: day(1), Total: usd("25.54"),
		Lines: []*orderv1.LineItem{item("cd", 2, "23.54"), item("pen", 1, "2.00")}}}
	paid      = append(placed[:1:1], &orderv1.OrderPaid{Customer: "ann", Total: usd("25.54"), Units: 3, PaidAt: day(2)})
	shipped   = append(paid[:2:2], &orderv1.OrderShipped{ShippedAt: day(3)})
	delivered = append(shipped[:3:3], &orderv1.OrderDelivered{DeliveredAt: day(4)})
	cancelled = append(placed[:1:1], &orderv1.OrderCancelled{Reason: "changed my mind", CancelledAt: day(5)})
)

func given(t *testing.T, events []proto.Message) *decidertest.Scenario[command, proto.Message, *orderv1.OrderState] {
	t.Helper()
	return decidertest.Given(t, order.Decider, events...)
}

// Every command in every status: the table of docs/api, written out. "" is accepted with events, "-" with none.
func TestEveryCommandInEveryStatus(t *testing.T) {
	histories := []struct {
		name   string
		events []proto.Message
	}{{"absent", nil}, {"placed", placed}, {"paid", paid}, {"shipped", shipped}, {"delivered", delivered}, {"cancelled", cancelled}}
	for _, tc := range []struct {
		body proto.Message
		want [6]string
	}{
		{&orderv1.PlaceOrder{Customer: "ann", Lines: []*orderv1.Line{lineOfTotal("cd", 1, usd("1"))}},
			[6]string{"", order.CodeAlreadyPlaced, order.CodeAlreadyPlaced, order.CodeAlreadyPlaced, order.CodeAlreadyPlaced, order.CodeAlreadyPlaced}},
		{&orderv1.AddLine{Sku: "cup", Quantity: 1, Total: usd("1")},
			[6]string{order.CodeNotFound, "", order.CodeAlreadyPaid, order.CodeAlreadyPaid, order.CodeAlreadyPaid, order.CodeCancelled}},
		{&orderv1.RemoveLine{Sku: "cd"},
			[6]string{order.CodeNotFound, "", order.CodeAlreadyPaid, order.CodeAlreadyPaid, order.CodeAlreadyPaid, order.CodeCancelled}},
		{&orderv1.PayOrder{},
			[6]string{order.CodeNotFound, "", order.CodeAlreadyPaid, order.CodeAlreadyPaid, order.CodeAlreadyPaid, order.CodeCancelled}},
		{&orderv1.ShipOrder{},
			[6]string{order.CodeNotFound, order.CodeNotPaid, "", order.CodeAlreadyShipped, order.CodeAlreadyShipped, order.CodeCancelled}},
		{&orderv1.DeliverOrder{},
			[6]string{order.CodeNotFound, order.CodeNotShipped, order.CodeNotShipped, "", order.CodeAlreadyDelivered, order.CodeCancelled}},
		{&orderv1.CancelOrder{},
			[6]string{order.CodeNotFound, "", "", order.CodeAlreadyShipped, order.CodeAlreadyShipped, "-"}},
		{&orderv1.AnnotateOrder{Text: "hello"},
			[6]string{order.CodeNotFound, "", "", "", "", ""}},
	} {
		for i, h := range histories {
			t.Run(string(tc.body.ProtoReflect().Descriptor().Name())+"/"+h.name, func(t *testing.T) {
				decision := given(t, h.events).When(cmd(9, tc.body))
				switch tc.want[i] {
				case "":
					events, err := order.Decide(cmd(9, tc.body), given(t, h.events).State())
					if err != nil || len(events) != 1 {
						t.Errorf("it gave %v, %v; want one event", events, err)
					}
				case "-":
					decision.ThenNothing()
				default:
					decision.ThenRejected(tc.want[i])
				}
			})
		}
	}
}

func TestPlace(t *testing.T) {
	body := &orderv1.PlaceOrder{Customer: "ann", Notes: "as a gift", Lines: []*orderv1.Line{
		lineOfPrice("cd", 2, usd("11.77")), lineOfTotal("pen", 1, usd("2")),
	}}
	given(t, nil).When(cmd(1, body)).Then(placed...).ThenState(&orderv1.OrderState{
		Status: orderv1.OrderStatus_ORDER_STATUS_PLACED, Customer: "ann", Total: usd("25.54"), PlacedAt: day(1),
		Lines: []*orderv1.LineItem{item("cd", 2, "23.54"), item("pen", 1, "2.00")},
		Notes: []*orderv2.Note{{Text: "as a gift", NotedAt: day(1)}},
	})
}

func TestPlaceForNothing(t *testing.T) {
	body := &orderv1.PlaceOrder{Customer: "ann", Lines: []*orderv1.Line{lineOfPrice("sample", 3, usd("0")), lineOfTotal("flyer", 1, usd("0.00"))}}
	given(t, nil).When(cmd(1, body)).Then(&orderv1.OrderPlaced{Customer: "ann", Total: usd("0.00"), PlacedAt: day(1),
		Lines: []*orderv1.LineItem{item("sample", 3, "0.00"), item("flyer", 1, "0.00")}})
}

// What the schema refuses first is refused here too: a decider is also called by comparisons and tools.
func TestPlaceRejected(t *testing.T) {
	for name, tc := range map[string]struct {
		lines []*orderv1.Line
		code  string
	}{
		"a sku twice":     {[]*orderv1.Line{lineOfPrice("cd", 1, usd("1")), lineOfTotal("cd", 1, usd("1"))}, order.CodeLineExists},
		"two currencies":  {[]*orderv1.Line{lineOfPrice("cd", 1, usd("1")), lineOfTotal("pen", 1, eur("1"))}, order.CodeCurrencyMismatch},
		"a line too dear": {[]*orderv1.Line{lineOfPrice("cd", 1_000_000, usd("999999999999.99"))}, order.CodeAmountTooLarge},
		"too dear in all": {[]*orderv1.Line{lineOfTotal("cd", 1, usd("92233720368547758.07")), lineOfTotal("pen", 1, usd("0.01"))}, order.CodeAmountTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			given(t, nil).When(cmd(1, &orderv1.PlaceOrder{Customer: "ann", Lines: tc.lines})).ThenRejected(tc.code)
		})
	}
}

func TestAddLine(t *testing.T) {
	given(t, placed).
		When(cmd(2, &orderv1.AddLine{Sku: "cup", Name: "name of cup", Quantity: 3, Price: usd("0.5")})).
		Then(&orderv1.LineAdded{Line: item("cup", 3, "1.50"), OrderTotal: usd("27.04"), AddedAt: day(2)}).
		ThenState(&orderv1.OrderState{
			Status: orderv1.OrderStatus_ORDER_STATUS_PLACED, Customer: "ann", Total: usd("27.04"), PlacedAt: day(1),
			Lines: []*orderv1.LineItem{item("cd", 2, "23.54"), item("pen", 1, "2.00"), item("cup", 3, "1.50")},
			Notes: []*orderv2.Note{{Text: "as a gift", NotedAt: day(1)}},
		})
	given(t, placed).When(cmd(2, &orderv1.AddLine{Sku: "pen", Quantity: 1, Price: usd("1")})).ThenRejected(order.CodeLineExists)
	given(t, placed).When(cmd(2, &orderv1.AddLine{Sku: "cup", Quantity: 1, Price: eur("1")})).ThenRejected(order.CodeCurrencyMismatch)
	given(t, placed).When(cmd(2, &orderv1.AddLine{Sku: "cup", Quantity: 1, Total: usd("92233720368547758.07")})).ThenRejected(order.CodeAmountTooLarge)
	given(t, placed).When(cmd(2, &orderv1.AddLine{Sku: "cup", Quantity: math.MaxInt32, Price: usd("999999999999.99")})).ThenRejected(order.CodeAmountTooLarge)
}

// The largest order has units that fit, and no line more.
func TestTooManyLines(t *testing.T) {
	full := &orderv1.OrderPlaced{Customer: "ann", Total: usd("0.00"), PlacedAt: day(1)}
	for i := range order.MaxLines {
		full.Lines = append(full.Lines, item(string(rune('a'+i/100))+string(rune('0'+i%100)), 1_000_000, "0.00"))
	}
	given(t, []proto.Message{full}).When(cmd(2, &orderv1.AddLine{Sku: "cup", Quantity: 1, Price: usd("1")})).ThenRejected(order.CodeTooManyLines)
	given(t, []proto.Message{full}).When(cmd(2, &orderv1.PayOrder{})).Then(
		&orderv1.OrderPaid{Customer: "ann", Total: usd("0.00"), Units: order.MaxLines * 1_000_000, PaidAt: day(2)})
}

func TestRemoveLine(t *testing.T) {
	one := given(t, placed).
		When(cmd(2, &orderv1.RemoveLine{Sku: "cd"})).
		Then(&orderv1.LineRemoved{Sku: "cd", OrderTotal: usd("2.00"), RemovedAt: day(2)})
	one.ThenState(&orderv1.OrderState{
		Status: orderv1.OrderStatus_ORDER_STATUS_PLACED, Customer: "ann", Total: usd("2.00"), PlacedAt: day(1),
		Lines: []*orderv1.LineItem{item("pen", 1, "2.00")},
		Notes: []*orderv2.Note{{Text: "as a gift", NotedAt: day(1)}},
	})
	one.When(cmd(3, &orderv1.RemoveLine{Sku: "pen"})).ThenRejected(order.CodeHasOneLine)
	one.When(cmd(3, &orderv1.RemoveLine{Sku: "cd"})).ThenRejected(order.CodeLineNotFound)
	// A removed line may come back, and a line of another currency may not, though the old ones are gone.
	one.When(cmd(3, &orderv1.AddLine{Sku: "cd", Name: "name of cd", Quantity: 1, Total: usd("5")})).
		Then(&orderv1.LineAdded{Line: item("cd", 1, "5.00"), OrderTotal: usd("7.00"), AddedAt: day(3)})
	one.When(cmd(3, &orderv1.AddLine{Sku: "cup", Quantity: 1, Total: eur("5")})).ThenRejected(order.CodeCurrencyMismatch)
}

func TestPayShipDeliver(t *testing.T) {
	given(t, placed).
		When(cmd(2, &orderv1.PayOrder{})).Then(paid[1]).
		When(cmd(3, &orderv1.ShipOrder{})).Then(shipped[2]).
		When(cmd(4, &orderv1.DeliverOrder{})).Then(delivered[3]).
		ThenState(&orderv1.OrderState{
			Status: orderv1.OrderStatus_ORDER_STATUS_DELIVERED, Customer: "ann", Total: usd("25.54"),
			PlacedAt: day(1), PaidAt: day(2), ShippedAt: day(3), DeliveredAt: day(4),
			Lines: []*orderv1.LineItem{item("cd", 2, "23.54"), item("pen", 1, "2.00")},
			Notes: []*orderv2.Note{{Text: "as a gift", NotedAt: day(1)}},
		})
}

// What is paid are the lines as they are then.
func TestPayAfterChanges(t *testing.T) {
	given(t, placed).
		When(cmd(2, &orderv1.AddLine{Sku: "cup", Name: "name of cup", Quantity: 7, Price: usd("1.10")})).
		Then(&orderv1.LineAdded{Line: item("cup", 7, "7.70"), OrderTotal: usd("33.24"), AddedAt: day(2)}).
		When(cmd(3, &orderv1.RemoveLine{Sku: "cd"})).
		Then(&orderv1.LineRemoved{Sku: "cd", OrderTotal: usd("9.70"), RemovedAt: day(3)}).
		When(cmd(4, &orderv1.PayOrder{})).
		Then(&orderv1.OrderPaid{Customer: "ann", Total: usd("9.70"), Units: 8, PaidAt: day(4)})
}

func TestCancel(t *testing.T) {
	given(t, placed).When(cmd(5, &orderv1.CancelOrder{Reason: "changed my mind"})).Then(cancelled[1]).
		ThenState(&orderv1.OrderState{
			Status: orderv1.OrderStatus_ORDER_STATUS_CANCELLED, Customer: "ann", Total: usd("25.54"),
			PlacedAt: day(1), CancelledAt: day(5), CancelReason: "changed my mind",
			Lines: []*orderv1.LineItem{item("cd", 2, "23.54"), item("pen", 1, "2.00")},
			Notes: []*orderv2.Note{{Text: "as a gift", NotedAt: day(1)}},
		})
	given(t, paid).When(cmd(5, &orderv1.CancelOrder{})).Then(&orderv1.OrderCancelled{CancelledAt: day(5)})
	given(t, cancelled).When(cmd(6, &orderv1.CancelOrder{Reason: "another reason"})).ThenNothing()
}

func TestAnnotate(t *testing.T) {
	note := &orderv2.Note{Text: "call first", NotedAt: day(6), Author: "user:ann"}
	given(t, cancelled).When(cmd(6, &orderv1.AnnotateOrder{Text: "call first"})).Then(&orderv2.OrderAnnotated{Note: note}).
		ThenState(&orderv1.OrderState{
			Status: orderv1.OrderStatus_ORDER_STATUS_CANCELLED, Customer: "ann", Total: usd("25.54"),
			PlacedAt: day(1), CancelledAt: day(5), CancelReason: "changed my mind",
			Lines: []*orderv1.LineItem{item("cd", 2, "23.54"), item("pen", 1, "2.00")},
			Notes: []*orderv2.Note{{Text: "as a gift", NotedAt: day(1)}, note},
		})
}

// What cannot come from a validated command is an error, not a rejection: it is nobody's choice.
func TestNotACommand(t *testing.T) {
	given(t, placed).When(cmd(2, &orderv1.OrderPaid{})).ThenFails(event.ErrUnknownType)
	_, err := order.Decide(cmd(1, &orderv1.PlaceOrder{Lines: []*orderv1.Line{lineOfPrice("cd", 1, usd("free"))}}), order.Decider.Initial())
	if _, rejected := decider.AsRejection(err); err == nil || rejected {
		t.Errorf("an amount that is none gave %v", err)
	}
}
