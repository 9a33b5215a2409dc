package query_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func TestCustomers(t *testing.T) {
	s, pool := side(t)
	q := query.NewCustomers(pool)
	s.Command("customer", "c1", purchase("o1", 2, usd("11.77"), day(3)), day(3))
	s.Command("customer", "c1", purchase("o2", 1, &typev1.Money{Amount: "5.00", Currency: "EUR"}, day(1)), day(4))
	s.Command("customer", "c1", purchase("o3", 1, usd("0.23"), day(2)), day(5))
	got, err := q.Get(t.Context(), "c1")
	want := query.Customer{ID: "c1", Version: 3, Orders: 3, Units: 4, Spent: query.Money{Cents: 1200, Currency: "USD"},
		SpentOther: []query.Money{{Cents: 500, Currency: "EUR"}}, FirstPurchase: day(1), LastPurchase: day(3)}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	if _, err := q.Get(t.Context(), "c2"); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("an absent customer: %v", err)
	}
}

func TestListCustomers(t *testing.T) {
	s, pool := side(t)
	q := query.NewCustomers(pool)
	for i := range 6 { // spent 0, 1, 2, 0, 1, 2; units 6 to 1; orders 1 or 2; days 0, 0, 1, 1, 2, 2
		id := fmt.Sprint("c", i)
		s.Command("customer", id, purchase("a"+id, int32(6-i), usd(fmt.Sprintf("%d.00", i%3)), day(i/2)), day(i/2))
		if i%2 == 1 {
			s.Command("customer", id, purchase("b"+id, 0, usd("0"), day(i/2)), day(i/2))
		}
	}
	for sort, want := range map[string][]int{
		"": {0, 1, 2, 3, 4, 5}, "-id": {5, 4, 3, 2, 1, 0}, "spent": {0, 3, 1, 4, 2, 5}, "-spent": {5, 2, 4, 1, 3, 0}, "units": {5, 4, 3, 2, 1, 0},
		"-orders": {5, 3, 1, 4, 2, 0}, "firstPurchase": {0, 1, 2, 3, 4, 5}, "-lastPurchase": {5, 4, 3, 2, 1, 0},
	} {
		for _, limit := range []int{1, 2, 6} {
			got := pages(t, func(cursor string) (out []string, next string, err error) {
				p, err := q.List(t.Context(), query.CustomerFilter{Sort: sort, Limit: limit, Cursor: cursor})
				for _, c := range p.Items {
					out = append(out, c.ID)
				}
				return out, p.Cursor, err
			})
			if diff := cmp.Diff(ids("c%d", want...), got); diff != "" {
				t.Errorf("sort %q, %d at a time (-want +got):\n%s", sort, limit, diff)
			}
		}
	}
	if _, err := q.List(t.Context(), query.CustomerFilter{Sort: "spent", Limit: 1, Cursor: "x"}); !errors.Is(err, query.ErrBadCursor) {
		t.Errorf("a bad cursor: %v", err)
	}
}

func TestDailySales(t *testing.T) {
	s, pool := side(t)
	q := query.NewSales(pool)
	for i := range 4 {
		id := fmt.Sprint("o", i)
		s.Command("order", id, place("c1", fmt.Sprintf("%d.50", i)), day(i))
		if i != 2 {
			s.Command("order", id, &orderv1.PayOrder{}, day(i).Add(23*time.Hour))
		}
	}
	row := func(n int, cents int64) query.DaySales {
		return query.DaySales{Day: day(n), Orders: 1, Units: 2, Revenue: query.Money{Cents: cents, Currency: "USD"}}
	}
	for _, tc := range []struct {
		name     string
		from, to time.Time
		want     []query.DaySales
	}{
		{"all", time.Time{}, time.Time{}, []query.DaySales{row(0, 50), row(1, 150), row(3, 350)}},
		{"from", day(1), time.Time{}, []query.DaySales{row(1, 150), row(3, 350)}},
		{"to", time.Time{}, day(1), []query.DaySales{row(0, 50), row(1, 150)}},
		{"both", day(1), day(1), []query.DaySales{row(1, 150)}},
		{"none", day(2), day(2), []query.DaySales{}},
	} {
		got, err := q.Daily(t.Context(), tc.from, tc.to)
		if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", tc.name, err, diff)
		}
	}
}
