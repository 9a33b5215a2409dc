package api

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/query/search"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

func someOrder() query.Order {
	paid := start.Add(time.Hour)
	return query.Order{ID: "o1", Version: 7, Status: "paid", Customer: "c1", Lines: []query.OrderLine{{SKU: "cd", Name: "A <CD>", Quantity: 2, TotalCents: 1100}},
		Total: query.Money{Cents: 1100, Currency: "USD"}, Notes: []query.OrderNote{{Text: "Wrap it.", NotedAt: start}}, PlacedAt: start, PaidAt: &paid}
}

func TestGetOrder(t *testing.T) {
	f := newFixture(t)
	f.orders.rows["o1"] = someOrder()
	f.models["orders"].through = []event.Position{{Aggregate: "order", Partition: 0, Offset: 9}, {Aggregate: "order", Partition: 3, Offset: 1024}}
	r := f.do(http.MethodGet, "/v1/orders/o1", "", "Cqrs-After", "order/3@1024, customer/1@5", "Prefer", "wait=3").want(200)
	want := `{"id":"o1","version":7,"status":"paid","customer":"c1","lines":[{"sku":"cd","name":"A <CD>","quantity":2,"total":{"amount":"11.00","currency":"USD"}}],` +
		`"total":{"amount":"11.00","currency":"USD"},"notes":[{"text":"Wrap it.","notedAt":"2026-01-31T12:00:00.123456Z"}],"placedAt":"2026-01-31T12:00:00.123456Z","paidAt":"2026-01-31T13:00:00.123456Z"}` + "\n"
	if diff := cmp.Diff(want, r.body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
	for name, want := range map[string]string{"ETag": `"7"`, "Cqrs-Position": "order/0@9, order/3@1024", "Cqrs-Stale": "", "Content-Type": "application/json", "Cache-Control": "private, no-cache"} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s is %q, not %q", name, got, want)
		}
	}
	if diff := cmp.Diff([]event.Position{{Aggregate: "order", Partition: 3, Offset: 1024}, {Aggregate: "customer", Partition: 1, Offset: 5}}, f.models["orders"].asked); diff != "" {
		t.Errorf("positions (-want +got):\n%s", diff)
	}
	if s := f.models["orders"].within.Seconds(); s > 3 || s < 1 {
		t.Errorf("it would have waited for %.1f s, not 3", s)
	}
}

// TestStamp: events of other programs may have nanoseconds, which rows do not keep.
func TestStamp(t *testing.T) {
	at := time.Date(2026, 1, 31, 12, 0, 0, 123456789, time.FixedZone("", 3600))
	if got := stamp(at); got != "2026-01-31T11:00:00.123456Z" {
		t.Errorf("stamp is %s", got)
	}
}

func TestConditionalGet(t *testing.T) {
	f := newFixture(t)
	f.orders.rows["o1"] = someOrder()
	f.orders.page = query.Page[query.Order]{Items: []query.Order{someOrder()}, Cursor: "next"}
	hash := f.do(http.MethodGet, "/v1/orders", "").want(200).header.Get("ETag")
	for _, tc := range []struct {
		path, match string
		status      int
	}{
		{"/v1/orders/o1", `"7"`, 304}, {"/v1/orders/o1", `W/"7"`, 304}, {"/v1/orders/o1", `"6", "7"`, 304}, {"/v1/orders/o1", `*`, 304},
		{"/v1/orders/o1", `"6"`, 200}, {"/v1/orders/o1", `7`, 200}, {"/v1/orders", hash, 304}, {"/v1/orders", `"x"`, 200},
	} {
		r := f.do(http.MethodGet, tc.path, "", "If-None-Match", tc.match).want(tc.status)
		if tc.status == 304 && (r.body != "" || r.header.Get("ETag") == "") {
			t.Errorf("%s: 304 with body %q and ETag %q", tc.match, r.body, r.header.Get("ETag"))
		}
	}
}

func TestHead(t *testing.T) {
	f := newFixture(t)
	f.orders.rows["o1"] = someOrder()
	if got := f.do(http.MethodHead, "/v1/orders/o1", "").want(200).header.Get("ETag"); got != `"7"` {
		t.Errorf("ETag of HEAD is %q", got)
	}
}

func TestBehind(t *testing.T) {
	f := newFixture(t)
	for _, m := range f.models {
		m.err = fmt.Errorf("wait: %w", query.ErrBehind)
	}
	for _, path := range []string{"/v1/orders", "/v1/orders/o1", "/v1/orders/search", "/v1/customers", "/v1/customers/c1", "/v1/sales/daily",
		"/v1/orders/o1/events", "/v1/orders/o1/state", "/v1/orders/o1/commands/x"} {
		r := f.do(http.MethodGet, path, "", "Cqrs-After", "order/0@1").want(503)
		if p := r.problem(); p.Code != "projection_behind" || r.header.Get("Retry-After") == "" {
			t.Errorf("%s: %s, Retry-After %q", path, p.Code, r.header.Get("Retry-After"))
		}
	}
}

func TestWaits(t *testing.T) {
	f := newFixture(t)
	f.orders.rows["o1"] = someOrder()
	for prefer, want := range map[string]float64{"": 10, "wait=0": 0.1, "wait=25": 25, "wait=9999": 60, "respond-async": 10, `wait="4"; foo=1`: 4, "handling=lenient, WAIT=6": 6} {
		f.do(http.MethodGet, "/v1/orders/o1", "", "Prefer", prefer).want(200)
		if got := f.models["orders"].within.Seconds(); got > want || got < want-2 {
			t.Errorf("Prefer %q waits for %.1f s, not %.1f", prefer, got, want)
		}
	}
}

func TestStale(t *testing.T) {
	f := newFixture(t)
	o := someOrder()
	o.Parked = true
	f.orders.rows["o1"], f.parked["o1"], f.parked["o2"] = o, true, true
	f.orders.page.Items = []query.Order{someOrder(), o, someOrder()}
	f.customers.rows["c1"] = query.Customer{ID: "c1", Parked: true}
	f.history.snapshot = decider.Snapshot{State: &orderv1.OrderState{}, Version: 1}
	for path, status := range map[string]int{"/v1/orders/o1": 200, "/v1/orders": 200, "/v1/customers/c1": 200, "/v1/orders/o1/events": 200, "/v1/orders/o1/state": 200, "/v1/orders/o2": 404} {
		if got := f.do(http.MethodGet, path, "").want(status).header.Get("Cqrs-Stale"); got != "parked" {
			t.Errorf("%s: Cqrs-Stale is %q", path, got)
		}
	}
}

func TestListOrders(t *testing.T) {
	f := newFixture(t)
	f.orders.page = query.Page[query.Order]{Items: []query.Order{someOrder()}, Cursor: "next"}
	r := f.do(http.MethodGet, "/v1/orders?customer=c1&status=paid&placedFrom=1997-01-01&placedTo=1997-12-31&minTotal=11.7&sort=-total&limit=200&cursor=abc", "").want(200)
	day := func(y int, m time.Month, d int) time.Time { return time.Date(y, m, d, 0, 0, 0, 0, time.UTC) }
	want := query.OrderFilter{Customer: "c1", Status: "paid", PlacedFrom: day(1997, 1, 1), PlacedBefore: day(1998, 1, 1), MinCents: 1170, Sort: "-total", Limit: 200, Cursor: "abc"}
	if diff := cmp.Diff(want, f.orders.filter); diff != "" {
		t.Errorf("filter (-want +got):\n%s", diff)
	}
	if m := r.json(); len(m["items"].([]any)) != 1 || m["cursor"] != "next" {
		t.Errorf("the page is %s", r.body)
	}
	f.orders.page = query.Page[query.Order]{}
	r = f.do(http.MethodGet, "/v1/orders?placedTo=1997-12-31T10:00:00.5%2B01:00", "").want(200)
	want = query.OrderFilter{Sort: "-placedAt", Limit: 50, PlacedBefore: time.Date(1997, 12, 31, 9, 0, 0, 500001000, time.UTC)}
	if diff := cmp.Diff(want, f.orders.filter); diff != "" {
		t.Errorf("filter (-want +got):\n%s", diff)
	}
	if r.body != `{"items":[]}`+"\n" {
		t.Errorf("the empty page is %s", r.body)
	}
}

func (r reply) json() map[string]any {
	r.t.Helper()
	return decode[map[string]any](r.t, r.body)
}

func TestCustomers(t *testing.T) {
	f := newFixture(t)
	c := query.Customer{ID: "c1", Version: 2, Orders: 2, Units: 5, Spent: query.Money{Cents: 3005, Currency: "USD"}, SpentOther: []query.Money{{Cents: 7, Currency: "EUR"}},
		FirstPurchase: time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC), LastPurchase: time.Date(1998, 6, 30, 0, 0, 0, 0, time.UTC)}
	f.customers.rows["c1"], f.customers.page.Items = c, []query.Customer{c}
	const want = `{"id":"c1","version":2,"orders":2,"units":5,"spent":{"amount":"30.05","currency":"USD"},"spentOther":[{"amount":"0.07","currency":"EUR"}],"firstPurchase":"1997-01-01","lastPurchase":"1998-06-30"}`
	if got := f.do(http.MethodGet, "/v1/customers/c1", "").want(200).body; got != want+"\n" {
		t.Errorf("customer: %s", got)
	}
	if got := f.do(http.MethodGet, "/v1/customers?sort=-spent", "").want(200).body; got != `{"items":[`+want+"]}\n" {
		t.Errorf("customers: %s", got)
	}
}

func TestDailySales(t *testing.T) {
	day := func(d int) time.Time { return time.Date(1997, 1, d, 0, 0, 0, 0, time.UTC) }
	row := func(d int, orders, units, cents int64, currency string) query.DaySales {
		return query.DaySales{Day: day(d), Orders: orders, Units: units, Revenue: query.Money{Cents: cents, Currency: currency}}
	}
	for name, tc := range map[string]struct {
		rows sales
		want string
	}{
		"none": {nil, `{"days":[],"total":{"orders":0,"units":0,"revenue":null}}`},
		"one currency": {sales{row(1, 2, 3, 1177, "USD"), row(3, 1, 1, 100, "USD")},
			`{"days":[{"date":"1997-01-01","orders":2,"units":3,"revenue":{"amount":"11.77","currency":"USD"}},{"date":"1997-01-03","orders":1,"units":1,"revenue":{"amount":"1.00","currency":"USD"}}],` +
				`"total":{"orders":3,"units":4,"revenue":{"amount":"12.77","currency":"USD"}}}`},
		"two currencies": {sales{row(1, 1, 1, 500, "EUR"), row(2, 1, 1, 200, "EUR"), row(2, 3, 9, 900, "USD")},
			`{"days":[{"date":"1997-01-01","orders":1,"units":1,"revenue":{"amount":"0.00","currency":"USD"},"revenueOther":[{"amount":"5.00","currency":"EUR"}]},` +
				`{"date":"1997-01-02","orders":4,"units":10,"revenue":{"amount":"9.00","currency":"USD"},"revenueOther":[{"amount":"2.00","currency":"EUR"}]}],` +
				`"total":{"orders":5,"units":11,"revenue":{"amount":"9.00","currency":"USD"},"revenueOther":[{"amount":"7.00","currency":"EUR"}]}}`},
	} {
		f := newFixture(t, func(c *Config) { c.Sales = tc.rows })
		if diff := cmp.Diff(tc.want+"\n", f.do(http.MethodGet, "/v1/sales/daily?from=1997-01-01&to=1997-01-31", "").want(200).body); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestSearch(t *testing.T) {
	f := newFixture(t)
	f.search.result = search.Result{Total: 12345, Cursor: "next", Facets: map[string][]search.FacetCount{"status": {{Value: "paid", Count: 12000}}},
		Hits: []search.Hit{{Order: search.Order{ID: "o1", Version: 3, Status: "paid", Customer: "c1", Currency: "USD", TotalCents: 5, PlacedAt: start}, Score: 1.5, Highlights: map[string][]string{"notes": {"<em>a</em>"}}}}}
	r := f.do(http.MethodGet, `/v1/orders/search?q=%22a+b%22&status=paid&customer=c1&facets=status,customer&limit=7`, "").want(200)
	want := search.Request{Q: `"a b"`, Status: "paid", Customer: "c1", Facets: []string{"status", "customer"}, Limit: 7}
	if diff := cmp.Diff(want, f.search.request); diff != "" {
		t.Errorf("request (-want +got):\n%s", diff)
	}
	const body = `{"hits":[{"order":{"id":"o1","version":3,"status":"paid","customer":"c1","lines":[],"total":{"amount":"0.05","currency":"USD"},"notes":[],"placedAt":"2026-01-31T12:00:00.123456Z"},` +
		`"score":1.5,"highlights":{"notes":["<em>a</em>"]}}],"total":12345,"facets":{"status":[{"value":"paid","count":12000}]},"cursor":"next"}` + "\n"
	if diff := cmp.Diff(body, r.body); diff != "" {
		t.Errorf("body (-want +got):\n%s", diff)
	}
}

func recorded(v event.Version, typ string, body any) query.Event {
	e := query.Event{}
	e.Aggregate, e.Stream, e.Version, e.Type, e.Body = "order", "o1", v, typ, body
	e.Time, e.RecordedTime, e.Partition, e.CommandOffset, e.CausationID = start, start.Add(time.Second), 3, 40+int64(v), "key"
	return e
}

func TestEvents(t *testing.T) {
	f := newFixture(t)
	unread := recorded(3, "order.v9.OrderForgotten", nil)
	unread.Err = event.ErrUnknownType
	f.history.more = true
	f.history.events = []query.Event{recorded(1, "order.v1.OrderShipped", &orderv1.OrderShipped{}),
		recorded(2, "order.v1.OrderAnnotated", &orderv2.OrderAnnotated{Note: &orderv2.Note{Text: "hello"}}), unread}
	r := f.do(http.MethodGet, "/v1/orders/o1/events?cursor=0&limit=3", "").want(200)
	golden(t, "events.json", r.masked())
	if f.do(http.MethodGet, "/v1/orders/o1/events?after=12", "").want(200); f.history.after != 12 {
		t.Errorf("events after %d", f.history.after)
	}
}

func TestState(t *testing.T) {
	f := newFixture(t)
	f.history.snapshot = decider.Snapshot{State: &orderv1.OrderState{Status: orderv1.OrderStatus_ORDER_STATUS_PAID, Customer: "c1"}, Version: 4, RecordedTime: start}
	for path, want := range map[string]query.At{
		"":                                 {},
		"?version=4":                       {Version: 4},
		"?recordedAt=2026-01-31T12:00:00Z": {RecordedAt: time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)},
		"?effectiveAt=1997-03-01T00:00:00%2B02:00":    {EffectiveAt: time.Date(1997, 2, 28, 22, 0, 0, 0, time.UTC)},
		"?effectiveAt=1997-03-01T00:00:00.000000009Z": {EffectiveAt: time.Date(1997, 3, 1, 0, 0, 0, 9, time.UTC)},
	} {
		r := f.do(http.MethodGet, "/v1/orders/o1/state"+path, "").want(200)
		if diff := cmp.Diff(want, f.history.at); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
		m := r.json()
		if m["version"] != 4.0 || m["recordedAt"] != "2026-01-31T12:00:00.123456Z" || m["state"].(map[string]any)["status"] != "paid" {
			t.Errorf("%s: %s", path, r.body)
		}
	}
}

func TestOutcome(t *testing.T) {
	position := event.Position{Aggregate: "order", Partition: 3, Offset: 41}
	f := newFixture(t)
	f.history.snapshot = decider.Snapshot{State: &orderv1.OrderState{Status: orderv1.OrderStatus_ORDER_STATUS_SHIPPED, Customer: "c1"}, Version: 4}
	f.history.outcome = event.Outcome{Aggregate: "order", Stream: "o1", CommandID: "a/b", Kind: event.Accepted, Version: 4, Position: position,
		Events: []event.Ref{{Type: "order.v1.OrderShipped", Version: 4}}}
	r := f.do(http.MethodGet, "/v1/orders/o1/commands/a%2Fb", "").want(200)
	golden(t, "outcome_accepted.json", r.masked())
	if diff := cmp.Diff(query.At{Version: 4}, f.history.at); diff != "" {
		t.Errorf("state at (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]event.Position{position}, f.models["history"].asked); diff != "" {
		t.Errorf("waited for (-want +got):\n%s", diff)
	}

	f.history.outcome.Kind, f.history.outcome.Code, f.history.outcome.Message, f.history.outcome.Events = event.Rejected, "order_already_shipped", "it is on its way", nil
	r = f.do(http.MethodGet, "/v1/orders/o1/commands/a%2Fb", "").want(200)
	golden(t, "outcome_rejected.json", r.masked())

	f.history.outcome = event.Outcome{Aggregate: "order", Stream: "o1", CommandID: "x", Kind: event.Invalid, Code: "malformed_command", Message: "no JSON"}
	if m := f.do(http.MethodGet, "/v1/orders/o1/commands/x", "").want(200).json(); m["code"] != "malformed_command" || m["status"] != 400.0 {
		t.Errorf("a malformed record: %v", m)
	}

	f.parked["o1"] = true
	f.history.outcome.Kind, f.history.outcome.Version = event.Accepted, 4
	if r := f.do(http.MethodGet, "/v1/orders/o1/commands/x", "").want(200); r.header.Get("Cqrs-Stale") != "parked" || !strings.Contains(r.body, `"state":null`) {
		t.Errorf("of a parked stream: %s", r.body)
	}
}
