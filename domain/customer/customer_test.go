package customer_test

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/decider/decidertest"
	"github.com/cqrsflow/cqrsflow/domain/customer"
	"github.com/cqrsflow/cqrsflow/domain/money"
	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
)

var update = flag.Bool("update", false, "write golden files")

type command = decider.Command[proto.Message]

func day(n int) *timestamppb.Timestamp {
	return timestamppb.New(time.Date(1997, 1, n, 0, 0, 0, 0, time.UTC))
}

func amount(s, currency string) *typev1.Money { return &typev1.Money{Amount: s, Currency: currency} }

func record(id, order, total, currency string, units int32, on int) command {
	return command{Command: event.Command{ID: id, Stream: "ann", Time: day(on).AsTime()},
		Body: &customerv1.RecordPurchase{Order: order, Total: amount(total, currency), Units: units, PurchasedAt: day(on)}}
}

func recorded(order, total, currency string, units int32, on int) *customerv1.PurchaseRecorded {
	return &customerv1.PurchaseRecorded{Order: order, Total: amount(total, currency), Units: units, PurchasedAt: day(on)}
}

func given(t *testing.T, events ...proto.Message) *decidertest.Scenario[command, proto.Message, *customerv1.CustomerState] {
	t.Helper()
	return decidertest.Given(t, customer.Decider, events...)
}

func TestPurchases(t *testing.T) {
	// Neither time nor order ID follows the order in which the purchases are recorded.
	given(t).
		When(record("1", "order-5", "11.77", "USD", 1, 5)).Then(recorded("order-5", "11.77", "USD", 1, 5)).
		When(record("2", "order-2", "3.5", "EUR", 2, 2)).Then(recorded("order-2", "3.50", "EUR", 2, 2)).
		When(record("3", "order-9", "0.23", "USD", 3, 9)).Then(recorded("order-9", "0.23", "USD", 3, 9)).
		When(record("4", "order-3", "0", "USD", 0, 3)).Then(recorded("order-3", "0.00", "USD", 0, 3)).
		ThenState(&customerv1.CustomerState{
			Orders: 4, Units: 6, Spent: []*typev1.Money{amount("12.00", "USD"), amount("3.50", "EUR")},
			FirstPurchase: day(2), LastPurchase: day(9), OrderIds: []string{"order-2", "order-3", "order-5", "order-9"},
		})
}

// The business key counts, not the command's: a reactor that is started anew makes other command IDs.
func TestOrderCountsOnce(t *testing.T) {
	s := given(t, recorded("order-5", "11.77", "USD", 1, 5))
	s.When(record("1", "order-5", "11.77", "USD", 1, 5)).ThenNothing()
	s.When(record("2", "order-5", "99.00", "EUR", 9, 9)).ThenNothing()
	s.When(record("2", "order-50", "1.00", "USD", 1, 5)).Then(recorded("order-50", "1.00", "USD", 1, 5))
}

func TestTooMuch(t *testing.T) {
	rich := given(t, recorded("order-1", "92233720368547758.07", "USD", 1, 1))
	rich.When(record("1", "order-2", "0.01", "USD", 1, 2)).ThenRejected(customer.CodeAmountTooLarge)
	rich.When(record("1", "order-2", "0.01", "EUR", 1, 2)).Then(recorded("order-2", "0.01", "EUR", 1, 2))
	given(t).When(record("1", "order-2", "92233720368547758.08", "USD", 1, 2)).ThenRejected(customer.CodeAmountTooLarge)
	// Evolve is total all the same.
	given(t, recorded("order-1", "92233720368547758.07", "USD", 1, 1), recorded("order-2", "1.00", "USD", 1, 1)).ThenState(&customerv1.CustomerState{
		Orders: 2, Units: 2, Spent: []*typev1.Money{amount("92233720368547758.07", "USD")}, FirstPurchase: day(1), LastPurchase: day(1), OrderIds: []string{"order-1", "order-2"},
	})
}

func TestNotACommand(t *testing.T) {
	given(t).When(command{Body: recorded("order-1", "1.00", "USD", 1, 1)}).ThenFails(event.ErrUnknownType)
	before := given(t, recorded("order-1", "1.00", "USD", 1, 1)).State()
	if after := customer.Evolve(before, &customerv1.RecordPurchase{}); !proto.Equal(before, after) {
		t.Error("something that is no event changed the state")
	}
}

// The laws of every decider, and that the state is the sum of the distinct orders.
func TestLaws(t *testing.T) {
	purchases := rapid.Custom(func(t *rapid.T) command {
		return record("", fmt.Sprint("order-", rapid.IntRange(1, 12).Draw(t, "order")),
			money.Format(rapid.Int64Range(0, 1_000_000).Draw(t, "cents")), rapid.SampledFrom([]string{"USD", "EUR", "CHF"}).Draw(t, "currency"),
			rapid.Int32Range(0, 100).Draw(t, "units"), rapid.IntRange(1, 31).Draw(t, "day"))
	})
	rapid.Check(t, func(t *rapid.T) {
		commands := rapid.SliceOfN(purchases, 0, 25).Draw(t, "commands")
		s := customer.Decider.Fold(decidertest.Laws(t, customer.Decider, commands...)...)
		first := map[string]*customerv1.RecordPurchase{}
		for _, c := range commands {
			body := c.Body.(*customerv1.RecordPurchase)
			if first[body.GetOrder()] == nil {
				first[body.GetOrder()] = body
			}
		}
		var units int64
		cents := map[string]int64{}
		for _, body := range first {
			n, err := money.Parse(body.GetTotal().GetAmount())
			if err != nil {
				t.Fatal(err)
			}
			cents[body.GetTotal().GetCurrency()] += n
			units += int64(body.GetUnits())
		}
		if int(s.GetOrders()) != len(first) || len(s.GetOrderIds()) != len(first) || s.GetUnits() != units || !slices.IsSorted(s.GetOrderIds()) || len(s.GetSpent()) != len(cents) {
			t.Fatalf("%d orders, %d units and %d currencies gave %v", len(first), units, len(cents), s)
		}
		for _, m := range s.GetSpent() {
			if money.Format(cents[m.GetCurrency()]) != m.GetAmount() {
				t.Fatalf("%d cents gave %v", cents[m.GetCurrency()], m)
			}
		}
	})
}

func TestGoldenFolds(t *testing.T) {
	decidertest.GoldenFolds(t, "testdata/folds.json", *update, customer.Fingerprint, customer.Decider, map[string][]proto.Message{
		"two currencies": {recorded("order-5", "11.77", "USD", 1, 5), recorded("order-2", "3.50", "EUR", 2, 2), recorded("order-9", "0.23", "USD", 3, 9)},
		"empty":          {&customerv1.PurchaseRecorded{}, recorded("order-5", "11.77", "USD", 1, 5)},
		"too much":       {recorded("order-1", "92233720368547758.07", "USD", 1, 1), recorded("order-2", "1.00", "USD", 1, 1)},
	})
}

// Whatever is registered is handled: a state that exists afterwards says so.
func TestExhaustive(t *testing.T) {
	spec := customer.Spec(nil)
	if len(spec.Commands) != 1 || len(spec.Events) != 1 || spec.Commands[0].Public {
		t.Errorf("another command or event is registered: test it here. %v %v", spec.Commands, spec.Events)
	}
	if s := customer.Decider.Fold(&customerv1.PurchaseRecorded{}); s.GetOrders() != 1 {
		t.Error("customer.v1.PurchaseRecorded is not handled")
	}
}
