package query_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/internal/readtest"
	"github.com/cqrsflow/cqrsflow/query"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func TestMain(m *testing.M) { readtest.Main(m) }

var start = time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)

func day(n int) time.Time { return start.AddDate(0, 0, n) }

func usd(amount string) *typev1.Money { return &typev1.Money{Amount: amount, Currency: "USD"} }

func place(customer, total string) *orderv1.PlaceOrder {
	return &orderv1.PlaceOrder{Customer: customer, Lines: []*orderv1.Line{{Sku: "cd", Name: "CD", Quantity: 2, Total: usd(total)}}}
}

func purchase(order string, units int32, money *typev1.Money, at time.Time) *customerv1.RecordPurchase {
	return &customerv1.RecordPurchase{Order: order, Total: money, Units: units, PurchasedAt: timestamppb.New(at)}
}

func side(t *testing.T) (*readtest.Side, *pgxpool.Pool) {
	t.Helper()
	s := readtest.New(t)
	pool, err := query.Open(t.Context(), s.URL, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return s, pool
}

// pages reads a list to its end and returns the IDs.
func pages(t *testing.T, next func(cursor string) (ids []string, following string, err error)) []string {
	t.Helper()
	var all []string
	for cursor, n := "", 0; ; n++ {
		ids, c, err := next(cursor)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ids...)
		if cursor = c; cursor == "" {
			return all
		}
		if n > 1000 {
			t.Fatal("the list has no end")
		}
	}
}

func ids(format string, numbers ...int) []string {
	out := make([]string, len(numbers))
	for i, n := range numbers {
		out[i] = fmt.Sprintf(format, n)
	}
	return out
}
