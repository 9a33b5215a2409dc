package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/integration/robustness/model"
	"github.com/cqrsflow/cqrsflow/integration/robustness/validate"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// The whole flow: commands on every way in, every read model, every question about the past, and the reactor.
func TestFlow(t *testing.T) {
	onBoth(t, func(t *testing.T, g harness.Target) {
		f := &flow{t: t, Target: g, today: time.Now().UTC().Format(time.DateOnly)}
		f.byHTTP()
		f.byCommandLine()
		f.byKafka()
		f.refused()
		f.pastStates()
		f.everywhere()
		f.byTools()
	})
}

type flow struct {
	harness.Target
	t     *testing.T
	today string
}

// reply is what the tests look at in answers to commands.
type reply struct {
	CommandID string
	Outcome   string
	Code      string
	Version   int64
	Position  string
	Replayed  bool
	Events    []struct {
		Type     string
		Sequence int64
	}
	State  map[string]any
	Behind []string
}

// post sends a command and expects the status.
func (f *flow) post(status int, path, body string, headers ...string) (reply, harness.Answer) {
	f.t.Helper()
	a := f.Do(f.t, http.MethodPost, path, body, headers...)
	if a.Status != status {
		f.t.Fatalf("POST %s: want %d: %s", path, status, a)
	}
	var r reply
	a.Into(f.t, &r)
	return r, a
}

// get asks and decodes a 200.
func (f *flow) get(path string, into any, headers ...string) harness.Answer {
	f.t.Helper()
	a := f.Do(f.t, http.MethodGet, path, "", headers...)
	if a.Status != http.StatusOK {
		f.t.Fatalf("GET %s: %s", path, a)
	}
	a.Into(f.t, into)
	return a
}

func (f *flow) equal(what string, want, got any) {
	f.t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		f.t.Errorf("%s: %s", what, d)
	}
}

const placeByAda = `{"customer":"ada","lines":[{"sku":"cd","name":"Blue Train","quantity":2,"price":{"amount":"11.77","currency":"USD"}}],"notes":"leave with the neighbour"}`

// byHTTP places an order, and reads it from everywhere once the answer says that it is there.
func (f *flow) byHTTP() {
	r, a := f.post(200, "/v1/orders/http-1/place", placeByAda, "Idempotency-Key: place-http-1", "Cqrs-Wait-For: sql, search, history")
	f.equal("answer", []any{"place-http-1", "accepted", int64(1), `"1"`, "placed", "order.v1.OrderPlaced"},
		[]any{r.CommandID, r.Outcome, r.Version, a.Header.Get("ETag"), r.State["status"], r.Events[0].Type})
	if r.Behind != nil || r.Position == "" || a.Header.Get("Cqrs-Position") != r.Position {
		f.t.Errorf("not everything has acknowledged: %s", a)
	}
	var order struct {
		Version int64
		Status  string
		Total   struct{ Amount string }
	}
	a = f.get("/v1/orders/http-1", &order)
	f.equal("row", []any{int64(1), "placed", "23.54", `"1"`}, []any{order.Version, order.Status, order.Total.Amount, a.Header.Get("ETag")})
	var found struct {
		Hits []struct{ Order struct{ ID string } }
	}
	f.get(harness.Query("/v1/orders/search", "q", `"blue train" neighb`), &found)
	if len(found.Hits) != 1 || found.Hits[0].Order.ID != "http-1" {
		f.t.Errorf("search finds %+v", found)
	}
	var events struct {
		Items []struct {
			Type        string
			CausationID string
		}
	}
	f.get("/v1/orders/http-1/events", &events)
	if len(events.Items) != 1 || events.Items[0].Type != "order.v1.OrderPlaced" || events.Items[0].CausationID != "place-http-1" {
		f.t.Errorf("history has %+v", events)
	}

	again, a := f.post(200, "/v1/orders/http-1/place", placeByAda, "Idempotency-Key: place-http-1")
	f.equal("the same again", []any{"true", int64(1), 1}, []any{a.Header.Get("Idempotent-Replayed"), again.Version, len(again.Events)})
	if r, a := f.post(422, "/v1/orders/http-1/place", strings.Replace(placeByAda, "ada", "bob", 1), "Idempotency-Key: place-http-1"); r.Code != "command_id_reused" {
		f.t.Error(a)
	}
	a = f.Do(f.t, http.MethodPost, "/v1/orders/http-1/annotate", `{"text":"gift"}`, "Prefer: respond-async", "Idempotency-Key: note")
	if where := a.Header.Get("Location"); a.Status != 202 || where != "/v1/orders/http-1/commands/note" {
		f.t.Fatal(a)
	}
	harness.Eventually(f.t, harness.Patience, "the outcome can be asked for", func() error {
		if a := f.Do(f.t, http.MethodGet, "/v1/orders/http-1/commands/note", ""); a.Status != 200 {
			return fmt.Errorf("%s", a)
		}
		return nil
	})
}

// byCommandLine pays with `cqrsflow publish`, and asks with the position that it prints.
func (f *flow) byCommandLine() {
	var r reply
	out := f.Must(f.t, "publish", "order/http-1", "pay", "--json")
	if err := json.Unmarshal([]byte(out.Stdout), &r); err != nil {
		f.t.Fatal(err, out)
	}
	f.equal("publish", []any{"accepted", int64(3), "paid"}, []any{r.Outcome, r.Version, r.State["status"]})
	var order struct {
		Status string
		PaidAt string
	}
	f.get("/v1/orders/http-1", &order, "Cqrs-After: "+r.Position)
	if order.Status != "paid" || !strings.HasPrefix(order.PaidAt, f.today) {
		f.t.Errorf("after %s: %+v", r.Position, order)
	}
	if out := f.CLI(f.t, "publish", "order/http-1", "pay"); out.Code != 1 || !strings.Contains(out.Stdout, "order_already_paid") {
		f.t.Errorf("paying twice: %s", out)
	}
}

// byKafka publishes with a client that knows the contract only: key, ce_id, ce_type and a value, as JSON and as protobuf,
// on the partition that every client's murmur2 chooses.
func (f *flow) byKafka() {
	cl := f.Kafka(f.t)
	header := func(pairs ...string) (hs []kgo.RecordHeader) {
		for i := 0; i < len(pairs); i += 2 {
			hs = append(hs, kgo.RecordHeader{Key: pairs[i], Value: []byte(pairs[i+1])})
		}
		return hs
	}
	body, err := proto.Marshal(&orderv1.AnnotateOrder{Text: "from afar"})
	if err != nil {
		f.t.Fatal(err)
	}
	topic := f.Topic("order.commands")
	for _, r := range []*kgo.Record{
		{Value: []byte(placeByAda), Headers: header("ce_id", "k-place", "ce_type", "order.v1.PlaceOrder")},
		{Value: body, Headers: header("ce_id", "k-note", "ce_type", "order.v1.AnnotateOrder", "content-type", "application/protobuf")},
		{Value: []byte(`{}`), Headers: header("ce_id", "k-pay", "ce_type", "order.v1.PayOrder", "ce_time", "2020-02-29T12:00:00Z", "other", "ignored")},
	} {
		r.Topic, r.Key = topic, []byte("kafka-1")
		if err := cl.ProduceSync(f.t.Context(), r).FirstErr(); err != nil {
			f.t.Fatal(err)
		}
	}
	var last reply
	harness.Eventually(f.t, harness.Patience, "the last one has its outcome", func() error {
		a := f.Do(f.t, http.MethodGet, "/v1/orders/kafka-1/commands/k-pay", "")
		if a.Status != 200 {
			return fmt.Errorf("%s", a)
		}
		a.Into(f.t, &last)
		return nil
	})
	f.equal("outcome", []any{"accepted", int64(3), "paid", "2020-02-29T12:00:00Z"}, []any{last.Outcome, last.Version, last.State["status"], last.State["paidAt"]})

	// Two owners of one stream must be impossible.
	manual := f.Kafka(f.t, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	right := f.partitionOf("kafka-1")
	wrong := &kgo.Record{Topic: topic, Key: []byte("kafka-1"), Partition: (right + 1) % harness.Partitions, Value: []byte(`{}`),
		Headers: header("ce_id", "k-wrong", "ce_type", "order.v1.ShipOrder")}
	if err := manual.ProduceSync(f.t.Context(), wrong).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
	harness.Eventually(f.t, harness.Patience, "it is refused", func() error {
		a := f.Do(f.t, http.MethodGet, "/v1/orders/kafka-1/commands/k-wrong", "")
		if a.Status != 200 {
			return fmt.Errorf("%s", a)
		}
		var r reply
		a.Into(f.t, &r)
		f.equal("wrong partition", []any{"invalid", "wrong_partition"}, []any{r.Outcome, r.Code})
		return nil
	})
}

// partitionOf learns the partition of a stream from the log.
func (f *flow) partitionOf(key string) int32 {
	f.t.Helper()
	l, err := validate.ReadLog(f.t.Context(), f.Target)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, e := range l.Events {
		if e.Key == key {
			return e.Partition
		}
	}
	f.t.Fatalf("there is no event of %s", key)
	return 0
}

// refused: a rejection carries the state that refused it, even where there is none.
func (f *flow) refused() {
	f.post(200, "/v1/orders/http-2/place", placeByAda)
	r, a := f.post(409, "/v1/orders/http-2/ship", `{}`)
	f.equal("rejection", []any{"order_not_paid", int64(1), "placed"}, []any{r.Code, r.Version, r.State["status"]})
	if ct := a.Header.Get("Content-Type"); ct != "application/problem+json" {
		f.t.Errorf("content type %s", ct)
	}
	if r, a = f.post(409, "/v1/orders/nowhere/pay", `{}`); r.Code != "order_not_found" || r.Version != 0 || !strings.Contains(string(a.Body), `"state":null`) {
		f.t.Error(a)
	}
	if r, a = f.post(412, "/v1/orders/http-2/pay", `{}`, `If-Match: "7"`); r.Code != "version_conflict" || r.Version != 1 || r.State["status"] != "placed" {
		f.t.Error(a)
	}
	if r, a = f.post(422, "/v1/orders/http-3/place", `{"customer":"ada","lines":[{"sku":"a","quantity":0,"price":{"amount":"-1.00","currency":"USD"}}]}`); r.Code != "invalid_command" ||
		!strings.Contains(string(a.Body), "lines[0].quantity") || !strings.Contains(string(a.Body), "lines[0].price.amount") {
		f.t.Error(a)
	}
	f.post(200, "/v1/orders/http-2/cancel", `{"reason":"changed her mind"}`)
}

// pastStates asks what was known then, and what had happened by then.
func (f *flow) pastStates() {
	const long = "1997-03-01T00:00:00Z"
	f.Must(f.t, "publish", "order/old-1", "place", placeByAda, "--time", "1997-01-01T00:00:00Z")
	f.Must(f.t, "publish", "order/old-1", "pay", "--time", long)
	last := f.Must(f.t, "publish", "order/old-1", "ship", "--json")
	var r reply
	if err := json.Unmarshal([]byte(last.Stdout), &r); err != nil {
		f.t.Fatal(err)
	}
	after := "Cqrs-After: " + r.Position
	var events struct {
		Items []struct {
			Time         string
			RecordedTime string
		}
	}
	f.get("/v1/orders/old-1/events", &events, after)
	if len(events.Items) != 3 || events.Items[1].Time != long || !strings.HasPrefix(events.Items[1].RecordedTime, f.today) {
		f.t.Fatalf("events: %+v", events)
	}
	for _, c := range []struct {
		at      []string
		version int64
		status  string
	}{
		{[]string{"version", "1"}, 1, "placed"},
		{[]string{"version", "2"}, 2, "paid"},
		{[]string{"recordedAt", events.Items[0].RecordedTime}, 1, "placed"},
		{[]string{"recordedAt", events.Items[1].RecordedTime}, 2, "paid"},
		{[]string{"effectiveAt", "1997-01-01T00:00:00Z"}, 1, "placed"},
		{[]string{"effectiveAt", "1997-02-28T23:59:59Z"}, 1, "placed"},
		{[]string{"effectiveAt", long}, 2, "paid"},
		{[]string{"effectiveAt", "2100-01-01T00:00:00Z"}, 3, "shipped"},
		{nil, 3, "shipped"},
	} {
		var s struct {
			Version int64
			State   struct{ Status string }
		}
		f.get(harness.Query("/v1/orders/old-1/state", c.at...), &s, after)
		f.equal("state "+strings.Join(c.at, "="), []any{c.version, c.status}, []any{s.Version, s.State.Status})
	}
	for _, at := range [][]string{{"effectiveAt", "1996-12-31T00:00:00Z"}, {"recordedAt", "2000-01-01T00:00:00Z"}} {
		if a := f.Do(f.t, http.MethodGet, harness.Query("/v1/orders/old-1/state", at...), ""); a.Status != 404 || a.Code() != "not_yet" {
			f.t.Errorf("%v: %s", at, a)
		}
	}
}

// everywhere compares all read models and the log with what was asked for; the reactor's customers are among them.
func (f *flow) everywhere() {
	order := func(status string, version int64, day string) model.Order {
		return model.Order{Customer: "ada", Status: status, Version: version, Units: 2, Cents: 2354, Day: day}
	}
	want := model.Shop{
		"http-1":  order("paid", 3, f.today),
		"http-2":  order("cancelled", 2, ""),
		"kafka-1": order("paid", 3, "2020-02-29"),
		"old-1":   order("shipped", 3, "1997-03-01"),
	}
	harness.Eventually(f.t, harness.Patience, "everything is complete", func() error { return validate.Complete(f.t.Context(), f.Target, want) })
	if err := validate.Everything(f.t.Context(), f.Target, want); err != nil {
		f.t.Fatal(err)
	}
	var ada struct {
		Orders        int64
		Units         int64
		Spent         struct{ Amount string }
		FirstPurchase string
		LastPurchase  string
	}
	f.get("/v1/customers/ada", &ada)
	f.equal("customer", []any{int64(3), int64(6), "70.62", "1997-03-01", f.today}, []any{ada.Orders, ada.Units, ada.Spent.Amount, ada.FirstPurchase, ada.LastPurchase})
	var customers, orders struct{ Items []struct{ ID string } }
	f.get("/v1/customers?sort=-spent", &customers)
	f.get("/v1/orders?customer=ada&status=paid&sort=placedAt", &orders)
	if len(customers.Items) != 1 || len(orders.Items) != 2 {
		f.t.Errorf("lists: %+v, %+v", customers, orders)
	}
	var sales struct {
		Days  []struct{ Date string }
		Total struct{ Orders int64 }
	}
	f.get("/v1/sales/daily?from=1997-01-01&to=2020-12-31", &sales)
	if len(sales.Days) != 2 || sales.Total.Orders != 2 {
		f.t.Errorf("daily sales: %+v", sales)
	}
}

// byTools looks at it with the command line.
func (f *flow) byTools() {
	has := func(r harness.Result, words ...string) {
		f.t.Helper()
		for _, w := range words {
			if !strings.Contains(r.Stdout, w) {
				f.t.Errorf("%q is not in %s", w, r)
			}
		}
	}
	has(f.Must(f.t, "stream", "show", "order/old-1"), "order.v1.OrderPlaced", "order.v1.OrderPaid", "order.v1.OrderShipped", "1997-03-01T00:00:00Z")
	has(f.Must(f.t, "stream", "state", "order/old-1", "--version", "1"), "version 1", `"status": "placed"`)
	has(f.Must(f.t, "stream", "state", "order/old-1", "--effective-at", "1997-03-01T00:00:00Z"), "version 2", `"status": "paid"`)
	has(f.Must(f.t, "stream", "diff", "order/old-1", "1", "2"), "status", "placed", "paid", "paidAt")
	for _, stream := range []string{"order/http-1", "order/kafka-1", "order/old-1", "customer/ada"} {
		f.Must(f.t, "stream", "verify", stream)
	}
	has(f.Must(f.t, "projection", "verify"), "orders", "customers", "daily_sales", "orders_search", "history")
	has(f.Must(f.t, "projection", "list"), "orders", "customers", "daily_sales", "orders_search", "history")
	f.Must(f.t, "topology", "verify")
	has(f.Must(f.t, "parked", "list"), "nothing is parked")
	if r := f.CLI(f.t, "stream", "verify", "order/nowhere"); r.Code != 1 {
		f.t.Errorf("a stream that does not exist: %s", r)
	}
}
