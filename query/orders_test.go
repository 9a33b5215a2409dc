package query_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func TestOrder(t *testing.T) {
	s, pool := side(t)
	q := query.NewOrders(pool)
	at := time.Date(2026, 1, 31, 12, 0, 0, 123456000, time.UTC)
	cmd := place("c1", "5.50")
	cmd.Notes = "Wrap it."
	s.Command("order", "o1", cmd, at)
	s.Command("order", "o1", &orderv1.AddLine{Sku: "dvd", Name: "A DVD", Quantity: 1, Price: usd("7")}, at.Add(time.Second))
	s.Command("order", "o1", &orderv1.PayOrder{}, at.Add(time.Minute))
	s.Command("order", "o1", &orderv1.AnnotateOrder{Text: "Thanks."}, at.Add(time.Hour))
	got, err := q.Get(t.Context(), "o1", "")
	if err != nil {
		t.Fatal(err)
	}
	paid := at.Add(time.Minute)
	want := query.Order{ID: "o1", Version: 4, Status: "paid", Customer: "c1", Total: query.Money{Cents: 1250, Currency: "USD"}, PlacedAt: at, PaidAt: &paid,
		Lines: []query.OrderLine{{SKU: "cd", Name: "CD", Quantity: 2, TotalCents: 550}, {SKU: "dvd", Name: "A DVD", Quantity: 1, TotalCents: 700}},
		Notes: []query.OrderNote{{Text: "Wrap it.", NotedAt: at}, {Text: "Thanks.", NotedAt: at.Add(time.Hour)}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if _, err := q.Get(t.Context(), "o2", ""); !errors.Is(err, event.ErrNotFound) {
		t.Errorf("an absent order: %v", err)
	}

	s.Park("orders", "order", "o1")
	if got, err = q.Get(t.Context(), "o1", ""); err != nil || !got.Parked {
		t.Errorf("a parked order: %v, %v", got.Parked, err)
	}
	parked := query.NewParked(pool)
	for _, tc := range []struct {
		projection, aggregate string
		stream                event.StreamID
		want                  bool
	}{{"orders", "order", "o1", true}, {"orders", "order", "o2", false}, {"history", "order", "o1", false}, {"orders", "customer", "o1", false}} {
		if got, err := parked.ParkedStream(t.Context(), tc.projection, tc.aggregate, tc.stream); got != tc.want || err != nil {
			t.Errorf("parked %v: %v, %v", tc, got, err)
		}
	}
}

// orderFixture places o00 to o23: customers c0 to c2 in turn, four on a day, totals 0 to 5 in turn; every third is paid.
func orderFixture(t *testing.T) *query.Orders {
	t.Helper()
	s, pool := side(t)
	for i := range 24 {
		id := fmt.Sprintf("o%02d", i)
		s.Command("order", id, place(fmt.Sprint("c", i%3), fmt.Sprintf("%d.00", i%6)), day(i/4))
		if i%3 == 0 {
			s.Command("order", id, &orderv1.PayOrder{}, day(i/4))
		}
	}
	return query.NewOrders(pool)
}

func TestListOrders(t *testing.T) {
	q := orderFixture(t)
	everything := make([]int, 24)
	for i := range everything {
		everything[i] = i
	}
	by := func(less func(a, b int) int, keep func(int) bool) []int {
		out := slices.DeleteFunc(slices.Clone(everything), func(i int) bool { return !keep(i) })
		slices.SortStableFunc(out, less)
		return out
	}
	all := func(int) bool { return true }
	up := func(a, b int) int { return a - b }
	down := func(a, b int) int { return b - a }
	total := func(a, b int) int { return 100*(a%6-b%6) + a - b }
	for _, tc := range []struct {
		name   string
		filter query.OrderFilter
		want   []int
	}{
		{"by ID", query.OrderFilter{}, by(up, all)},
		{"by ID, descending", query.OrderFilter{Sort: "-id"}, by(down, all)},
		{"by time, with ties", query.OrderFilter{Sort: "placedAt"}, by(up, all)},
		{"by time, descending", query.OrderFilter{Sort: "-placedAt"}, by(down, all)},
		{"by total, with ties", query.OrderFilter{Sort: "total"}, by(total, all)},
		{"by total, descending", query.OrderFilter{Sort: "-total"}, by(func(a, b int) int { return total(b, a) }, all)},
		{"customer", query.OrderFilter{Customer: "c1"}, by(up, func(i int) bool { return i%3 == 1 })},
		{"status", query.OrderFilter{Status: "paid"}, by(up, func(i int) bool { return i%3 == 0 })},
		{"span", query.OrderFilter{PlacedFrom: day(1), PlacedBefore: day(3)}, by(up, func(i int) bool { return i/4 == 1 || i/4 == 2 })},
		{"least total", query.OrderFilter{MinCents: 400, Sort: "total"}, by(total, func(i int) bool { return i%6 >= 4 })},
		{"everything", query.OrderFilter{Customer: "c0", Status: "paid", PlacedFrom: day(2), MinCents: 1, Sort: "-placedAt"},
			by(down, func(i int) bool { return i%3 == 0 && i >= 8 && i%6 > 0 })},
		{"nothing", query.OrderFilter{Customer: "nobody"}, nil},
	} {
		for _, limit := range []int{1, 3, 23, 24, 25} {
			filter := tc.filter
			filter.Limit = limit
			got := pages(t, func(cursor string) (out []string, next string, err error) {
				filter.Cursor = cursor
				p, err := q.List(t.Context(), filter)
				if len(p.Items) > limit {
					t.Fatalf("%d items, limit %d", len(p.Items), limit)
				}
				for _, o := range p.Items {
					out = append(out, o.ID)
				}
				return out, p.Cursor, err
			})
			want := ids("o%02d", tc.want...)
			if len(want) == 0 {
				want = nil
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, %d at a time (-want +got):\n%s", tc.name, limit, diff)
			}
		}
	}
}

// TestCursorIsStable writes between two pages: what was there is neither repeated nor left out.
func TestCursorIsStable(t *testing.T) {
	s, pool := side(t)
	q := query.NewOrders(pool)
	for i := range 6 {
		s.Command("order", fmt.Sprint("o", i), place("c1", "1.00"), day(i))
	}
	first, err := q.List(t.Context(), query.OrderFilter{Sort: "-placedAt", Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	s.Command("order", "newer", place("c1", "1.00"), day(9))
	s.Command("order", "older", place("c1", "1.00"), day(-1))
	second, err := q.List(t.Context(), query.OrderFilter{Sort: "-placedAt", Limit: 9, Cursor: first.Cursor})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range append(first.Items, second.Items...) {
		got = append(got, o.ID)
	}
	if diff := cmp.Diff([]string{"o5", "o4", "o3", "o2", "o1", "o0", "older"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestBadCursorsAndSorts(t *testing.T) {
	q := orderFixture(t)
	first, err := q.List(t.Context(), query.OrderFilter{Sort: "total", Limit: 2})
	if err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]query.OrderFilter{
		"another order":  {Sort: "-total", Cursor: first.Cursor},
		"another filter": {Sort: "total", Customer: "c1", Cursor: first.Cursor},
		"text":           {Cursor: "hello"},
		"cut off":        {Sort: "total", Cursor: first.Cursor[:len(first.Cursor)-2]},
		"more":           {Sort: "total", Cursor: first.Cursor + "AA"},
	} {
		f.Limit = 2
		if _, err := q.List(t.Context(), f); !errors.Is(err, query.ErrBadCursor) || !errors.Is(err, event.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var bad *query.BadSortError
	if _, err := q.List(t.Context(), query.OrderFilter{Sort: "customer", Limit: 1}); !errors.As(err, &bad) {
		t.Errorf("sort: %v", err)
	} else if diff := cmp.Diff([]string{"id", "placedAt", "total"}, bad.Allowed); diff != "" {
		t.Errorf("allowed:\n%s", diff)
	}
}
