package schemas_test

import (
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	benchv1 "github.com/cqrsflow/cqrsflow/schemas/bench/v1"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	cqrsflowv1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/v1"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

var noon = time.Date(1997, 3, 14, 12, 0, 0, 0, time.UTC)

// minutes is noon and so many minutes, with parts of a second that need nanoseconds.
func minutes(n int) *timestamppb.Timestamp {
	return timestamppb.New(noon.Add(time.Duration(n)*time.Minute + time.Duration(n)*time.Nanosecond))
}

// samples has one message of every type with every field set: what golden files hold.
func samples() []proto.Message {
	item := &orderv1.LineItem{Sku: "cd-1", Name: "Blue “Train”", Quantity: 2, Total: usd("23.54")}
	line := &orderv1.Line{Sku: "cd-1", Name: "Blue “Train”", Quantity: 2, Price: usd("11.77"), Total: usd("23.54")}
	note := &orderv2.Note{Text: "ring\ttwice", NotedAt: minutes(7), Author: "user-3"}
	ref := &cqrsflowv1.EventRef{Type: "order.v1.OrderPlaced", Sequence: 9_007_199_254_740_993}
	field := &cqrsflowv1.FieldError{Field: "lines[0].quantity", Message: "must be at least 1"}
	return append(append(identitySamples(), experimentSamples()...), []proto.Message{
		usd("11.77"), line, item, note, ref, field,

		&cqrsflowv1.Outcome{
			Kind: cqrsflowv1.Outcome_KIND_REJECTED, Code: "order_already_shipped", Message: "it is on its way",
			Errors: []*cqrsflowv1.FieldError{field}, Version: 8, Events: []*cqrsflowv1.EventRef{ref},
			Position: "order/3@1024", Replayed: true, State: []byte{0x08, 0x01}, Digest: []byte{0xde, 0xad, 0xbe, 0xef},
		},
		&cqrsflowv1.Snapshot{
			Version: 100, EventOffset: 123_456, CodecVersion: 1, Fingerprint: 2, State: []byte{0x08, 0x01},
			RecordedTimeUnixNano: noon.UnixNano(), EffectiveTimeMaxUnixNano: noon.UnixNano() + 1, Hash: []byte{1, 2, 3, 4}, LossEpoch: 1795536000000,
		},
		&cqrsflowv1.CheckpointMarker{
			EventOffset: 123_456, AppendOffset: 699_998, CommandOffset: 700_000, TopicId: "Xb3kT1mBQ9-7dJ0bTqYv2A",
			RecordedTimeUnixNano: noon.UnixNano(), Fingerprint: 2, LossEpoch: 1795536000000,
		},

		&orderv1.PlaceOrder{Customer: "customer-17", Lines: []*orderv1.Line{line}, Notes: "leave it at the door"},
		&orderv1.AddLine{Sku: "cd-2", Name: "Giant Steps", Quantity: 1, Price: usd("9"), Total: usd("9.00")},
		&orderv1.RemoveLine{Sku: "cd-2"},
		&orderv1.PayOrder{},
		&orderv1.ShipOrder{},
		&orderv1.DeliverOrder{},
		&orderv1.CancelOrder{Reason: "changed my mind"},
		&orderv1.AnnotateOrder{Text: "ring twice"},

		&orderv1.OrderPlaced{
			Customer: "customer-17", Lines: []*orderv1.LineItem{item}, Total: usd("23.54"), Notes: "leave it at the door",
			PlacedAt: minutes(1),
		},
		&orderv1.LineAdded{Line: item, OrderTotal: usd("32.54"), AddedAt: minutes(2)},
		&orderv1.LineRemoved{Sku: "cd-2", OrderTotal: usd("23.54"), RemovedAt: minutes(3)},
		&orderv1.OrderPaid{Customer: "customer-17", Total: usd("23.54"), Units: 2, PaidAt: minutes(4), Shipping: usd("2.99")},
		&orderv1.OrderShipped{ShippedAt: minutes(5)},
		&orderv1.OrderDelivered{DeliveredAt: minutes(6)},
		&orderv1.OrderCancelled{Reason: "changed my mind", CancelledAt: minutes(5)},
		&orderv1.OrderAnnotated{Text: "ring\ttwice", AnnotatedAt: minutes(7)},
		&orderv2.OrderAnnotated{Note: note},
		&orderv1.OrderState{
			Status: orderv1.OrderStatus_ORDER_STATUS_PAID, Customer: "customer-17", Lines: []*orderv1.LineItem{item},
			Total: usd("23.54"), Notes: []*orderv2.Note{note}, PlacedAt: minutes(1), PaidAt: minutes(4), ShippedAt: minutes(5),
			DeliveredAt: minutes(6), CancelledAt: minutes(8), CancelReason: "changed my mind",
		},

		&customerv1.RecordPurchase{Order: "order-1", Total: usd("23.54"), Units: 2, PurchasedAt: minutes(4)},
		&customerv1.PurchaseRecorded{Order: "order-1", Total: usd("23.54"), Units: 2, PurchasedAt: minutes(4)},
		&customerv1.CustomerState{
			Orders: 2, Units: 3, Spent: []*typev1.Money{usd("23.54"), {Amount: "1.00", Currency: "EUR"}},
			FirstPurchase: minutes(4), LastPurchase: minutes(9), OrderIds: []string{"order-1", "order-2"},
		},

		&benchv1.Deposit{Amount: 5, Padding: []byte("xxx")},
		&benchv1.Deposited{Amount: 5, Version: 3, Padding: []byte("xxx")},
		&benchv1.AccountState{Balance: 15, Padding: []byte("xxx")},
	}...)
}
