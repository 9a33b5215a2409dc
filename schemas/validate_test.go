package schemas_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas"
	"github.com/cqrsflow/cqrsflow/schemas/bench"
	benchv1 "github.com/cqrsflow/cqrsflow/schemas/bench/v1"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	"github.com/cqrsflow/cqrsflow/schemas/customer"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
	"github.com/cqrsflow/cqrsflow/schemas/order"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func usd(amount string) *typev1.Money { return &typev1.Money{Amount: amount, Currency: "USD"} }

// placed is a valid PlaceOrder with the change made to it; lineOf the same with the change made to its first line.
func placed(change func(*orderv1.PlaceOrder)) proto.Message {
	m := placeOrder(2)
	change(m)
	return m
}

func lineOf(change func(*orderv1.Line)) proto.Message {
	return placed(func(m *orderv1.PlaceOrder) { change(m.Lines[0]) })
}

func priced(amount string) proto.Message {
	return lineOf(func(l *orderv1.Line) { l.Price.Amount = amount })
}

func added(change func(*orderv1.AddLine)) proto.Message {
	m := &orderv1.AddLine{Sku: "sku-1", Name: "a disc", Quantity: 1, Price: usd("11.77")}
	change(m)
	return m
}

func purchase(change func(*customerv1.RecordPurchase)) proto.Message {
	m := &customerv1.RecordPurchase{
		Order: "order-1", Total: usd("11.77"), Units: 1, PurchasedAt: timestamppb.New(noon),
	}
	change(m)
	return m
}

// at makes errors of pairs of field and message.
func at(pairs ...string) []event.FieldError {
	var errs []event.FieldError
	for pair := range slices.Chunk(pairs, 2) {
		errs = append(errs, event.FieldError{Field: pair[0], Message: pair[1]})
	}
	return errs
}

func TestValidate(t *testing.T) {
	const (
		streamID = "must be 1 to 128 of the characters A-Z a-z 0-9 . _ : -"
		decimal  = "must be a decimal such as 11.77"
		currency = "must be three capital letters such as USD"
		total    = "total must have an amount such as 11.77 and a currency such as USD"
	)
	tests := []struct {
		name    string
		message proto.Message
		want    []event.FieldError
	}{
		{"order", placeOrder(2), nil},
		{"order with 1000 lines", placeOrder(1000), nil},
		{"order without lines", placeOrder(0), at("lines", "must not be empty")},
		{"order with 1001 lines", placeOrder(1001), at("lines", "must have at most 1000 items")},
		{"no customer", placed(func(m *orderv1.PlaceOrder) { m.Customer = "" }), at("customer", streamID)},
		{"longest customer", placed(func(m *orderv1.PlaceOrder) { m.Customer = strings.Repeat("a", 128) }), nil},
		{"customer too long", placed(func(m *orderv1.PlaceOrder) { m.Customer = strings.Repeat("a", 129) }), at("customer", streamID)},
		{"customer with a slash", placed(func(m *orderv1.PlaceOrder) { m.Customer = "a/b" }), at("customer", streamID)},
		{"customer with a line end", placed(func(m *orderv1.PlaceOrder) { m.Customer = "a\n" }), at("customer", streamID)},
		{"longest notes", placed(func(m *orderv1.PlaceOrder) { m.Notes = strings.Repeat("ü", 10_000) }), nil},
		{"notes too long", placed(func(m *orderv1.PlaceOrder) { m.Notes = strings.Repeat("ü", 10_001) }), at("notes", "must be at most 10000 characters")},
		{"sku twice", placed(func(m *orderv1.PlaceOrder) { m.Lines[1].Sku = m.Lines[0].Sku }), at("lines", "sku sku-0 appears twice")},
		{"sku twice in many lines", func() proto.Message {
			m := placeOrder(101)
			m.Lines[100].Sku = m.Lines[0].Sku
			return m
		}(), at("lines", "a sku appears twice")},
		{"two currencies", placed(func(m *orderv1.PlaceOrder) { m.Lines[1].Price.Currency = "EUR" }), at("lines", "all lines must have one currency")},
		{"two currencies, price and total", placed(func(m *orderv1.PlaceOrder) {
			m.Lines[1].Price, m.Lines[1].Total = nil, &typev1.Money{Amount: "1", Currency: "EUR"}
		}), at("lines", "all lines must have one currency")},
		{"one currency, price and total", placed(func(m *orderv1.PlaceOrder) { m.Lines[1].Price, m.Lines[1].Total = nil, usd("1") }), nil},

		{"no sku", lineOf(func(l *orderv1.Line) { l.Sku = "" }), at("lines[0].sku", "must not be empty")},
		{"longest sku", lineOf(func(l *orderv1.Line) { l.Sku = strings.Repeat("s", 64) }), nil},
		{"sku too long", lineOf(func(l *orderv1.Line) { l.Sku = strings.Repeat("s", 65) }), at("lines[0].sku", "must be at most 64 characters")},
		{"no name", lineOf(func(l *orderv1.Line) { l.Name = "" }), nil},
		{"name too long", lineOf(func(l *orderv1.Line) { l.Name = strings.Repeat("n", 201) }), at("lines[0].name", "must be at most 200 characters")},
		{"no quantity", lineOf(func(l *orderv1.Line) { l.Quantity = 0 }), at("lines[0].quantity", "must be at least 1 and at most 1000000")},
		{"largest quantity", lineOf(func(l *orderv1.Line) { l.Quantity = 1_000_000 }), nil},
		{"quantity too large", lineOf(func(l *orderv1.Line) { l.Quantity = 1_000_001 }), at("lines[0].quantity", "must be at least 1 and at most 1000000")},
		{"neither price nor total", lineOf(func(l *orderv1.Line) { l.Price = nil }), at("lines[0]", "one of price, total must be set")},
		{"price and total", lineOf(func(l *orderv1.Line) { l.Total = usd("1") }), at("lines[0]", "only one of price, total can be set")},
		{"the second line is wrong", placed(func(m *orderv1.PlaceOrder) { m.Lines[1].Quantity = -1 }), at("lines[1].quantity", "must be at least 1 and at most 1000000")},

		{"free of charge", priced("0"), nil},
		{"without decimals", priced("12"), nil},
		{"one decimal", priced("12.5"), nil},
		{"12 digits", priced("123456789012.99"), nil},
		{"13 digits", priced("1234567890123"), at("lines[0].price.amount", "must have at most 12 digits before the point")},
		{"3 decimals", priced("1.234"), at("lines[0].price.amount", "must have at most 2 decimals")},
		{"negative", priced("-1.00"), at("lines[0].price.amount", "must not be negative")},
		{"no amount", priced(""), at("lines[0].price.amount", decimal)},
		{"a word", priced("ten"), at("lines[0].price.amount", decimal)},
		{"a comma", priced("1,50"), at("lines[0].price.amount", decimal)},
		{"a point and nothing", priced("1."), at("lines[0].price.amount", decimal)},
		{"an exponent", priced("1e3"), at("lines[0].price.amount", decimal)},
		{"a line end", priced("1\n"), at("lines[0].price.amount", decimal)},
		{"the line's total", lineOf(func(l *orderv1.Line) { l.Price, l.Total = nil, usd("-5") }), at("lines[0].total.amount", "must not be negative")},
		{"no currency", placed(func(m *orderv1.PlaceOrder) { m.Lines = m.Lines[:1]; m.Lines[0].Price.Currency = "" }), at("lines[0].price.currency", currency)},
		{"small letters", placed(func(m *orderv1.PlaceOrder) { m.Lines = m.Lines[:1]; m.Lines[0].Price.Currency = "usd" }), at("lines[0].price.currency", currency)},
		{"several errors, in the schema's order", placed(func(m *orderv1.PlaceOrder) {
			m.Customer, m.Lines[0].Quantity, m.Lines[1].Price.Amount = "", 0, "x"
		}), at(
			"customer", streamID, "lines[0].quantity", "must be at least 1 and at most 1000000", "lines[1].price.amount", decimal,
		)},

		{"line", added(func(*orderv1.AddLine) {}), nil},
		{"line with total", added(func(m *orderv1.AddLine) { m.Price, m.Total = nil, usd("0.5") }), nil},
		{"line without sku", added(func(m *orderv1.AddLine) { m.Sku = "" }), at("sku", "must not be empty")},
		{"line with long sku", added(func(m *orderv1.AddLine) { m.Sku = strings.Repeat("s", 65) }), at("sku", "must be at most 64 characters")},
		{"line with long name", added(func(m *orderv1.AddLine) { m.Name = strings.Repeat("n", 201) }), at("name", "must be at most 200 characters")},
		{"line without quantity", added(func(m *orderv1.AddLine) { m.Quantity = 0 }), at("quantity", "must be at least 1 and at most 1000000")},
		{"line with large quantity", added(func(m *orderv1.AddLine) { m.Quantity = 1_000_001 }), at("quantity", "must be at least 1 and at most 1000000")},
		{"line without money", added(func(m *orderv1.AddLine) { m.Price = nil }), at("", "one of price, total must be set")},
		{"line with too much money", added(func(m *orderv1.AddLine) { m.Total = usd("1") }), at("", "only one of price, total can be set")},
		{"line with bad price", added(func(m *orderv1.AddLine) { m.Price.Amount = "-1" }), at("price.amount", "must not be negative")},

		{"remove", &orderv1.RemoveLine{Sku: "sku-1"}, nil},
		{"remove nothing", &orderv1.RemoveLine{}, at("sku", "must not be empty")},
		{"remove a long sku", &orderv1.RemoveLine{Sku: strings.Repeat("s", 65)}, at("sku", "must be at most 64 characters")},
		{"pay", &orderv1.PayOrder{}, nil},
		{"ship", &orderv1.ShipOrder{}, nil},
		{"deliver", &orderv1.DeliverOrder{}, nil},
		{"cancel", &orderv1.CancelOrder{}, nil},
		{"cancel with a reason", &orderv1.CancelOrder{Reason: strings.Repeat("r", 1000)}, nil},
		{"cancel with a long reason", &orderv1.CancelOrder{Reason: strings.Repeat("r", 1001)}, at("reason", "must be at most 1000 characters")},
		{"annotate", &orderv1.AnnotateOrder{Text: strings.Repeat("t", 10_000)}, nil},
		{"annotate nothing", &orderv1.AnnotateOrder{}, at("text", "must not be empty")},
		{"annotate too much", &orderv1.AnnotateOrder{Text: strings.Repeat("t", 10_001)}, at("text", "must be at most 10000 characters")},

		{"purchase", purchase(func(*customerv1.RecordPurchase) {}), nil},
		{"purchase of no units", purchase(func(m *customerv1.RecordPurchase) { m.Units = 0 }), nil},
		{"purchase of a sum of many lines", purchase(func(m *customerv1.RecordPurchase) { m.Total.Amount = "12345678901234567890.12" }), nil},
		{"purchase without order", purchase(func(m *customerv1.RecordPurchase) { m.Order = "" }), at("order", streamID)},
		{"purchase of a bad order", purchase(func(m *customerv1.RecordPurchase) { m.Order = "a b" }), at("order", streamID)},
		{"purchase without total", purchase(func(m *customerv1.RecordPurchase) { m.Total = nil }), at("", total)},
		{"purchase of a negative total", purchase(func(m *customerv1.RecordPurchase) { m.Total.Amount = "-1" }), at("", total)},
		{"purchase without currency", purchase(func(m *customerv1.RecordPurchase) { m.Total.Currency = "" }), at("", total)},
		{"purchase of less than nothing", purchase(func(m *customerv1.RecordPurchase) { m.Units = -1 }), at("units", "must be at least 0")},
		{"purchase at no time", purchase(func(m *customerv1.RecordPurchase) { m.PurchasedAt = nil }), at("purchasedAt", "is required")},

		{"deposit", &benchv1.Deposit{}, nil},
		{"deposit less than nothing", &benchv1.Deposit{Amount: -1}, at("amount", "must be at least 0")},

		{"a state is not validated", &customerv1.CustomerState{Orders: -1}, nil},
	}
	covered := map[string]bool{}
	for _, tt := range tests {
		covered[string(tt.message.ProtoReflect().Descriptor().FullName())] = true
		t.Run(tt.name, func(t *testing.T) {
			if diff := cmp.Diff(tt.want, schemas.Validate(tt.message)); diff != "" {
				t.Errorf("Validate (-want +got):\n%s", diff)
			}
		})
	}
	for _, name := range slices.Concat(order.Commands.Types(), customer.Commands.Types(), bench.Commands.Types()) {
		if !covered[name] {
			t.Errorf("no test validates a %s", name)
		}
	}
}

func TestValidateBoundsWhatItReports(t *testing.T) {
	m := &orderv1.PlaceOrder{Customer: "customer-17", Lines: make([]*orderv1.Line, 100_000)}
	for i := range m.Lines {
		m.Lines[i] = &orderv1.Line{}
	}
	errs := schemas.Validate(m)
	if len(errs) != 100 {
		t.Fatalf("%d errors, want 100", len(errs))
	}
	if want := (event.FieldError{Field: "lines", Message: "must have at most 1000 items"}); errs[0] != want {
		t.Errorf("first error %v, want %v", errs[0], want)
	}
}

func TestWarmFindsNoBrokenRule(t *testing.T) {
	if err := schemas.Warm(order.Commands, customer.Commands, bench.Commands, order.Events, customer.Events, bench.Events); err != nil {
		t.Fatal(err)
	}
}
