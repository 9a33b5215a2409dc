package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/readtest"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/query"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func TestMain(m *testing.M) { readtest.Main(m) }

// live is the API over HTTP, reading a real PostgreSQL.
type live struct {
	t    *testing.T
	side *readtest.Side
	url  string
}

func newLive(t *testing.T) *live {
	t.Helper()
	side := readtest.New(t)
	pool, err := query.Open(t.Context(), side.URL, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w, err := query.NewWaiter(query.WaiterConfig{Pool: pool, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	cfg := Config{Aggregates: aggregates.All(), Logger: slog.New(slog.DiscardHandler)}
	cfg.ReadPostgres(pool, w)
	a, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	return &live{t: t, side: side, url: s.URL}
}

func (l *live) get(path string, headers ...string) reply {
	l.t.Helper()
	r, err := http.NewRequestWithContext(l.t.Context(), http.MethodGet, l.url+path, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		l.t.Fatal(err)
	}
	return reply{t: l.t, status: res.StatusCode, header: res.Header, body: string(body)}
}

// TestOneShape takes orders through their lives. After each step the order looks the same whether it
// comes from the command's own state, the SQL read model, the search document, or the history.
func TestOneShape(t *testing.T) {
	l := newLive(t)
	odd := time.Date(2026, 1, 31, 12, 0, 0, 123456000, time.UTC)
	line := func(sku, amount string) *orderv1.Line {
		return &orderv1.Line{Sku: sku, Name: sku + " “ü” <&>", Quantity: 3, Price: &typev1.Money{Amount: amount, Currency: "EUR"}}
	}
	documents := map[event.StreamID]searchindex.Document{}
	for i, step := range []struct {
		stream string
		body   proto.Message
	}{
		{"a", &orderv1.PlaceOrder{Customer: "c1", Lines: []*orderv1.Line{line("x", "0.1"), line("y", "11.77"), line("z", "0")}, Notes: "first\nnote"}},
		{"a", &orderv1.AddLine{Sku: "w", Quantity: 1, Total: &typev1.Money{Amount: "5", Currency: "EUR"}}},
		{"a", &orderv1.RemoveLine{Sku: "y"}},
		{"a", &orderv1.AnnotateOrder{Text: "second note"}},
		{"a", &orderv1.PayOrder{}},
		{"a", &orderv1.ShipOrder{}},
		{"a", &orderv1.DeliverOrder{}},
		{"b", &orderv1.PlaceOrder{Customer: "c:2", Lines: []*orderv1.Line{line("x", "999999999999.99")}}},
		{"b", &orderv1.CancelOrder{Reason: "no longer needed"}},
		{"c", &orderv1.PlaceOrder{Customer: "c1", Lines: []*orderv1.Line{line("x", "1.00")}}},
		{"c", &orderv1.CancelOrder{}},
	} {
		at := odd.Add(time.Duration(i) * time.Hour)
		events, o := l.side.Decide("order", step.stream, step.body, at, at)
		if o.Kind != event.Accepted {
			t.Fatalf("step %d: %v %s", i, o.Kind, o.Message)
		}
		for _, p := range readtest.Projections {
			l.side.Apply(p, events...)
		}
		order, _ := aggregates.Lookup("order")
		text, err := stateOf(order, o)
		if err != nil {
			t.Fatal(err)
		}
		state := decode[Order](t, string(text))

		r := l.get("/v1/orders/"+step.stream, "Cqrs-After", o.Position.String()).want(200)
		if diff := cmp.Diff(state, decode[Order](t, r.body)); diff != "" {
			t.Errorf("step %d: state and row differ (-state +row):\n%s", i, diff)
		}
		if r.header.Get("ETag") != fmt.Sprintf(`"%d"`, o.Version) || r.header.Get("Cqrs-Position") != o.Position.String() {
			t.Errorf("step %d: headers %v", i, r.header)
		}
		past := l.get("/v1/orders/"+step.stream+"/state", "Cqrs-After", o.Position.String()).want(200)
		if diff := cmp.Diff(state, decode[struct{ State Order }](t, past.body).State); diff != "" {
			t.Errorf("step %d: state and history differ (-state +history):\n%s", i, diff)
		}
		d := documents[o.Stream]
		for j := range events {
			if d, err = searchindex.Fold(d, &events[j], false); err != nil {
				t.Fatal(err)
			}
		}
		documents[o.Stream] = d
		if diff := cmp.Diff(state, orderOfDocument(&d)); diff != "" {
			t.Errorf("step %d: state and document differ (-state +document):\n%s", i, diff)
		}
	}
}

func TestOneShapeOfCustomers(t *testing.T) {
	l := newLive(t)
	customer, _ := aggregates.Lookup("customer")
	for i, m := range []*typev1.Money{{Amount: "11.77", Currency: "USD"}, {Amount: "0.50", Currency: "EUR"}, {Amount: "3.23", Currency: "USD"}} {
		at := time.Date(1997, 5, 9-2*i, 23, 59, 59, 0, time.UTC)
		o := l.side.Command("customer", "c1", &customerv1.RecordPurchase{Order: fmt.Sprint("o", i), Total: m, Units: 2, PurchasedAt: timestamppb.New(at)}, at)
		text, err := stateOf(customer, o)
		if err != nil {
			t.Fatal(err)
		}
		r := l.get("/v1/customers/c1", "Cqrs-After", o.Position.String()).want(200)
		if diff := cmp.Diff(decode[Customer](t, string(text)), decode[Customer](t, r.body)); diff != "" {
			t.Errorf("purchase %d: state and row differ (-state +row):\n%s", i, diff)
		}
	}
}

// TestReading goes through the queries over HTTP.
func TestReading(t *testing.T) {
	l := newLive(t)
	at := time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)
	var last event.Outcome
	for i := range 5 {
		id := fmt.Sprint("o", i)
		l.side.Command("order", id, &orderv1.PlaceOrder{Customer: "c1", Lines: []*orderv1.Line{{Sku: "cd", Name: "CD", Quantity: 1, Total: &typev1.Money{Amount: "10.00", Currency: "USD"}}}}, at.AddDate(0, 0, i))
		last = l.side.Command("order", id, &orderv1.PayOrder{}, at.AddDate(0, 0, i).Add(time.Hour))
	}
	rejected := l.side.Command("order", "o1", &orderv1.DeliverOrder{}, at.AddDate(0, 1, 0))

	after := []string{"Cqrs-After", last.Position.String() + ", customer/7@99"} // customers are not read here
	var seen []string
	for path := "/v1/orders?limit=2&sort=-total&status=paid"; ; {
		page := decode[OrderList](t, l.get(path, after...).want(200).body)
		for _, o := range page.Items {
			seen = append(seen, o.ID)
		}
		if page.Cursor == "" {
			break
		}
		path = "/v1/orders?limit=2&sort=-total&status=paid&cursor=" + page.Cursor
	}
	if diff := cmp.Diff([]string{"o4", "o3", "o2", "o1", "o0"}, seen); diff != "" {
		t.Errorf("orders (-want +got):\n%s", diff)
	}
	sales := l.get("/v1/sales/daily?from=1997-01-02&to=1997-01-03", after...).want(200)
	if want := `"total":{"orders":2,"units":2,"revenue":{"amount":"20.00","currency":"USD"}}`; !strings.Contains(sales.body, want) {
		t.Errorf("sales: %s", sales.body)
	}
	events := decode[EventList](t, l.get("/v1/orders/o1/events?limit=1", "Cqrs-After", last.Position.String()).want(200).body)
	if len(events.Items) != 1 || events.Cursor != "1" || events.Items[0].Type != "order.v1.OrderPlaced" {
		t.Errorf("events: %+v", events)
	}
	events = decode[EventList](t, l.get("/v1/orders/o1/events?limit=1&cursor="+events.Cursor).want(200).body)
	if len(events.Items) != 1 || events.Cursor != "" || events.Items[0].Sequence != 2 {
		t.Errorf("more events: %+v", events)
	}

	r := l.get("/v1/orders/o1/commands/" + rejected.CommandID).want(200)
	if got := decode[Problem](t, r.body); got.Code != "order_not_shipped" || *got.Version != 2 || decode[Order](t, string(got.State)).Status != "paid" {
		t.Errorf("the rejected command: %s", r.body)
	}
	if r := l.get("/v1/orders/o1/state?effectiveAt=1997-01-02T00:30:00Z").want(200); decode[struct{ State Order }](t, r.body).State.Status != "placed" {
		t.Errorf("the state before it was paid: %s", r.body)
	}
	if got := l.get("/v1/orders/o1/state?effectiveAt=1996-01-01T00:00:00Z").want(404).problem().Code; got != "not_yet" {
		t.Errorf("before it was placed: %s", got)
	}
	for path, code := range map[string]string{"/v1/orders?cursor=AAAA": "malformed_request", "/v1/orders?sort=name": "malformed_request"} {
		if got := l.get(path).want(400).problem(); got.Code != code || len(got.Errors) == 0 {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := l.get("/v1/orders/o1", "Cqrs-After", "order/3@999999", "Prefer", "wait=0").want(503).problem().Code; got != "projection_behind" {
		t.Errorf("behind: %s", got)
	}
	l.side.Park("orders", "order", "o1")
	if r := l.get("/v1/orders/o1").want(200); r.header.Get("Cqrs-Stale") != "parked" {
		t.Errorf("parked: %v", r.header)
	}
}
