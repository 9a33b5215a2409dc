package searchindex

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	"github.com/cqrsflow/cqrsflow/schemas/order"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func recorded(v event.Version, body proto.Message) *event.Recorded {
	return &event.Recorded{Envelope: event.Envelope{Aggregate: "order", Stream: "o", Version: v, Principal: "clerk",
		Type: string(body.ProtoReflect().Descriptor().FullName()), Time: noon, RecordedTime: noon.Add(time.Hour)}, Body: body}
}

func usd(amount string) *typev1.Money { return &typev1.Money{Amount: amount, Currency: "USD"} }

func TestEachEvent(t *testing.T) {
	stamp := time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)
	pb := timestamppb.New(stamp)
	before := Document{ID: "o", Version: 1, Status: "placed", Customer: "c", Currency: "USD", TotalCents: 300,
		Lines: []Line{{SKU: "a", Quantity: 1, TotalCents: 100}, {SKU: "b", Quantity: 2, TotalCents: 200}}, Notes: []Note{{Text: "first"}}}
	for _, c := range []struct {
		body   proto.Message
		change func(*Document)
	}{
		{&orderv1.LineAdded{Line: &orderv1.LineItem{Sku: "c", Name: "C", Quantity: 3, Total: usd("0.5")}, OrderTotal: usd("3.5")}, func(d *Document) {
			d.Lines = append(d.Lines, Line{SKU: "c", Name: "C", Quantity: 3, TotalCents: 50})
			d.TotalCents = 350
		}},
		{&orderv1.LineRemoved{Sku: "a", OrderTotal: usd("2")}, func(d *Document) { d.Lines, d.TotalCents = d.Lines[1:], 200 }},
		{&orderv1.LineRemoved{Sku: "none", OrderTotal: usd("3")}, func(*Document) {}},
		{&orderv1.OrderPaid{Customer: "x", Total: usd("3"), Units: 3, PaidAt: pb}, func(d *Document) { d.Status, d.PaidAt = "paid", stamp }},
		{&orderv1.OrderShipped{ShippedAt: pb}, func(d *Document) { d.Status, d.ShippedAt = "shipped", stamp }},
		{&orderv1.OrderShipped{}, func(d *Document) { d.Status, d.ShippedAt = "shipped", noon }},
		{&orderv1.OrderDelivered{DeliveredAt: pb}, func(d *Document) { d.Status, d.DeliveredAt = "delivered", stamp }},
		{&orderv1.OrderCancelled{Reason: "why", CancelledAt: pb}, func(d *Document) { d.Status, d.CancelledAt, d.CancelReason = "cancelled", stamp, "why" }},
		{&orderv2.OrderAnnotated{Note: &orderv2.Note{Text: "second", NotedAt: pb, Author: "me"}}, func(d *Document) {
			d.Notes = append(d.Notes, Note{Text: "second", NotedAt: stamp, Author: "me"})
		}},
	} {
		want := before
		want.Version, want.UpdatedAt = 2, noon.Add(time.Hour)
		want.Lines, want.Notes = append([]Line{}, before.Lines...), append([]Note{}, before.Notes...)
		c.change(&want)
		untouched := before
		untouched.Lines, untouched.Notes = append([]Line{}, before.Lines...), append([]Note{}, before.Notes...)
		got, err := Fold(before, recorded(2, c.body), false)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(want, got), "%T", c.body)
		require.Empty(t, cmp.Diff(untouched, before), "%T changed what it was given", c.body)
	}
	got, err := Fold(Document{}, recorded(1, &orderv1.OrderPlaced{Customer: "c", Notes: "n", Total: usd("1.05"), PlacedAt: pb,
		Lines: []*orderv1.LineItem{{Sku: "a", Name: "A", Quantity: 7, Total: usd("1.05")}}}), false)
	require.NoError(t, err)
	require.Empty(t, cmp.Diff(Document{ID: "o", Version: 1, Status: "placed", Customer: "c", TotalCents: 105, Currency: "USD", PlacedAt: stamp,
		Lines: []Line{{SKU: "a", Name: "A", Quantity: 7, TotalCents: 105}}, Notes: []Note{{Text: "n", NotedAt: stamp}}, UpdatedAt: noon.Add(time.Hour)}, got))
}

// Folds of one document that go on differently must not write into each other's memory.
func TestFoldsShareNothingThatChanges(t *testing.T) {
	note := func(v event.Version, text string) *event.Recorded {
		return recorded(v, &orderv2.OrderAnnotated{Note: &orderv2.Note{Text: text}})
	}
	d, err := Fold(Document{}, note(1, "a"), false)
	require.NoError(t, err)
	for v := event.Version(2); v < 9; v++ {
		left, err := Fold(d, note(v, "left"), false)
		require.NoError(t, err)
		right, err := Fold(d, note(v, "right"), false)
		require.NoError(t, err)
		require.Equal(t, "left", left.Notes[v-1].Text)
		require.Equal(t, "right", right.Notes[v-1].Text)
		d = left
	}
}

func TestVersions(t *testing.T) {
	d := Document{ID: "o", Version: 3}
	paid := &orderv1.OrderPaid{Total: usd("1")}
	for _, v := range []event.Version{1, 2, 3} {
		got, err := Fold(d, recorded(v, paid), false)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(d, got), "version %d is in it already", v)
	}
	_, err := Fold(d, recorded(5, paid), false)
	require.ErrorIs(t, err, event.ErrCorrupt)
	_, err = Fold(Document{}, recorded(2, paid), false)
	require.ErrorIs(t, err, event.ErrCorrupt)
	got, err := Fold(d, recorded(5, paid), true)
	require.NoError(t, err)
	require.EqualValues(t, 5, got.Version)
}

func TestPoison(t *testing.T) {
	for _, body := range []proto.Message{
		&orderv1.OrderPlaced{Total: usd("-1")},
		&orderv1.OrderPlaced{Total: usd("1"), Lines: []*orderv1.LineItem{{Sku: "a", Total: usd("x")}}},
		&orderv1.LineAdded{Line: &orderv1.LineItem{Total: usd("1.234")}, OrderTotal: usd("1")},
		&orderv1.LineRemoved{OrderTotal: usd("99999999999999999999")},
		&orderv1.PlaceOrder{},
	} {
		got, err := Fold(Document{ID: "o", Version: 1}, recorded(2, body), false)
		require.Error(t, err, "%T", body)
		require.NotErrorIs(t, err, event.ErrCorrupt, "%T", body)
		require.ErrorContains(t, err, "o/2")
		require.EqualValues(t, 1, got.Version)
	}
	_, err := Fold(Document{}, &event.Recorded{Envelope: event.Envelope{Version: 1}}, false)
	require.Error(t, err, "an event without a body")
}

// Every event that may stand in an order's stream, once decoded, is known here.
func TestEveryEventIsKnown(t *testing.T) {
	types := order.Events.Types()
	require.NotEmpty(t, types)
	for _, typ := range types {
		body, err := order.Events.Decode(typ, "application/protobuf", nil)
		require.NoError(t, err, typ)
		e := recorded(1, body)
		_, err = Fold(Document{}, e, false)
		require.NoError(t, err, typ)
	}
}

func TestCents(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "0.00": 0, "11.77": 1177, "11.7": 1170, "11": 1100, "0.05": 5, "999999999999.99": 99999999999999,
		"92233720368547758.07": 9223372036854775807} {
		got, err := cents(usd(text))
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", ".", ".5", "5.", "1.234", "-1", "+1", "1e3", "1,5", " 1", "١", "92233720368547758.08", "1..2"} {
		_, err := cents(usd(text))
		require.Error(t, err, text)
	}
	got, err := cents(nil)
	require.NoError(t, err)
	require.Zero(t, got)
}

func TestPlacedNanos(t *testing.T) {
	at := func(year int) int64 {
		d := Document{PlacedAt: time.Date(year, 1, 1, 0, 0, 0, 1, time.UTC)}
		return d.PlacedNanos()
	}
	require.EqualValues(t, time.Date(1997, 1, 1, 0, 0, 0, 1, time.UTC).UnixNano(), at(1997))
	require.Less(t, at(1), at(1700))
	require.Less(t, at(1969), at(1970))
	require.Less(t, at(2200), at(9999))
	require.Zero(t, (&Document{}).PlacedNanos())
}
