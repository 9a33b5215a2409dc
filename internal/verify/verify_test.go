package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

const partitions = 2

var day = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// log is a Kafka with some orders: a and b are paid, c is placed.
func log(t *testing.T) (Log, *decider.Type, []event.Envelope) {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "cqrsflow.order.events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	l := Log{Kafka: []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...), kgo.DisableClientMetrics()}}
	order, _ := aggregates.Lookup("order")
	usd := &typev1.Money{Amount: "11.77", Currency: "USD"}
	placed := &orderv1.OrderPlaced{Customer: "ada", Total: usd, PlacedAt: timestamppb.New(day),
		Lines: []*orderv1.LineItem{{Sku: "cd", Name: "CD", Quantity: 2, Total: usd}}}
	paid := &orderv1.OrderPaid{Customer: "ada", Total: usd, Units: 2, PaidAt: timestamppb.New(day)}
	var all []event.Envelope
	for _, e := range []struct {
		stream event.StreamID
		body   proto.Message
	}{{"a", placed}, {"b", placed}, {"a", paid}, {"c", placed}, {"b", paid}} {
		all = append(all, envelope(t, order, all, e.stream, e.body))
	}
	return l, order, write(t, l, all)
}

func envelope(t *testing.T, typ *decider.Type, before []event.Envelope, stream event.StreamID, body proto.Message) event.Envelope {
	t.Helper()
	name, content, data, err := typ.Codec.EncodeEvent(nil, body)
	if err != nil {
		t.Fatal(err)
	}
	version := event.Version(1)
	for _, e := range before {
		if e.Stream == stream {
			version++
		}
	}
	n := int64(len(before))
	return event.Envelope{Aggregate: typ.Name, Stream: stream, Version: version, Type: name, ContentType: content, Data: data, Time: day,
		RecordedTime: day.Add(time.Duration(n) * time.Second), CausationID: fmt.Sprint("c-", n), CommandOffset: n, LastOfCommand: true}
}

// write appends events to the log, and returns them with their places.
func write(t *testing.T, l Log, events []event.Envelope) []event.Envelope {
	t.Helper()
	cl, err := kgo.NewClient(append(slices.Clone(l.Kafka), kgo.TransactionalID("test"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	var enc record.Encoder
	for i := range events {
		e := &events[i]
		e.Partition = topology.PartitionOfStream(e.Stream, partitions)
		r, err := cl.ProduceSync(t.Context(), enc.Event(e, "cqrsflow.order.events")).First()
		if err != nil {
			t.Fatal(err)
		}
		e.Offset = r.Offset
	}
	if err := cl.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	return events
}

// model is an API whose pages hold one item each.
type model struct {
	list  string
	items []map[string]any
	sales string
	asked []http.Header
	// onPage is called before each page.
	onPage func(n int)
}

func (m *model) get(_ context.Context, path string, q url.Values, h http.Header, out any) error {
	m.asked = append(m.asked, h)
	if m.sales != "" {
		return json.Unmarshal([]byte(m.sales), out)
	}
	if q.Get("limit") != "200" {
		return fmt.Errorf("limit %q of %s", q.Get("limit"), path)
	}
	n := 0
	if c := q.Get("cursor"); c != "" {
		if _, err := fmt.Sscan(c, &n); err != nil {
			return err
		}
	}
	if m.onPage != nil {
		m.onPage(n)
	}
	page := map[string]any{m.list: m.items[n:min(n+1, len(m.items))]}
	if n+1 < len(m.items) {
		page["cursor"] = fmt.Sprint(n + 1)
	}
	b, err := json.Marshal(page)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}

func order(id string, version int, status string) map[string]any {
	usd := map[string]any{"amount": "11.77", "currency": "USD"}
	o := map[string]any{"id": id, "version": version, "status": status, "customer": "ada", "total": usd, "notes": []any{}, "placedAt": "2026-01-01T12:00:00Z",
		"lines": []any{map[string]any{"sku": "cd", "name": "CD", "quantity": 2, "total": usd}}}
	if status == "paid" {
		o["paidAt"] = "2026-01-01T12:00:00Z"
	}
	return o
}

func TestOrders(t *testing.T) {
	l, typ, events := log(t)
	good := func() []map[string]any {
		return []map[string]any{order("a", 2, "paid"), order("b", 2, "paid"), order("c", 1, "placed")}
	}
	wrong := good()
	wrong[1]["customer"] = "eve"
	behind := good()
	behind[0] = order("a", 1, "placed")
	for name, c := range map[string]struct {
		items []map[string]any
		want  []Difference
	}{
		"alike":   {good(), []Difference{}},
		"missing": {good()[:2], []Difference{{Missing, "c", ""}}},
		"extra":   {append(good(), order("d", 1, "placed")), []Difference{{Extra, "d", ""}}},
		"twice":   {append(good(), order("c", 1, "placed")), []Difference{{Extra, "c", "it is there twice"}}},
		"wrong":   {wrong, []Difference{{Different, "b", `customer is "eve", not "ada"`}}},
		"ahead":   {append(good()[:2], order("c", 2, "paid")), []Difference{{Different, "c", "it is at version 2, the log at 1"}}},
		"behind": {behind, []Difference{{Different, "a",
			`paidAt is -, not "2026-01-01T12:00:00Z"; status is "placed", not "paid"; version is 1, not 2`}}},
	} {
		t.Run(name, func(t *testing.T) {
			m := &model{list: "items", items: c.items}
			r, err := Orders(t.Context(), l, m.get, typ)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, r.Differences); d != "" || r.Drift != len(c.want) || r.Events != 5 || r.Compared != 3 {
				t.Errorf("%+v (-want +got):\n%s", r, d)
			}
			after := m.asked[0].Get("Cqrs-After")
			positions, err := event.ParsePositions(after)
			if err != nil || len(positions) == 0 || !slices.Contains(positions, events[4].Position()) {
				t.Errorf("Cqrs-After %q lacks %s (%v)", after, events[4].Position(), err)
			}
		})
	}
}

// What is written while rows are being compared is no drift.
func TestOrdersWhileTheyMove(t *testing.T) {
	l, typ, events := log(t)
	m := &model{list: "items", items: []map[string]any{order("a", 2, "paid"), order("b", 2, "paid"), order("c", 2, "paid")}}
	m.onPage = func(n int) {
		if n == 1 {
			write(t, l, []event.Envelope{envelope(t, typ, events, "c", &orderv1.OrderPaid{Customer: "ada", Units: 2, PaidAt: timestamppb.New(day),
				Total: &typev1.Money{Amount: "11.77", Currency: "USD"}})})
		}
	}
	r, err := Orders(t.Context(), l, m.get, typ)
	if err != nil || r.Drift != 0 || r.Newer != 1 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestSearch(t *testing.T) {
	l, typ, _ := log(t)
	m := &model{list: "hits"}
	for _, o := range []map[string]any{order("a", 2, "paid"), order("b", 2, "paid"), order("c", 1, "paid")} {
		m.items = append(m.items, map[string]any{"order": o, "score": 1, "highlights": nil})
	}
	r, err := Search(t.Context(), l, m.get, typ)
	if err != nil || r.Drift != 1 || r.Differences[0].Key != "c" {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestDailySales(t *testing.T) {
	l, typ, _ := log(t)
	for sales, drift := range map[string]int{
		`{"days":[{"date":"2026-01-01","orders":2,"units":4,"revenue":{"amount":"23.54","currency":"USD"}}]}`: 0,
		`{"days":[{"date":"2026-01-01","orders":2,"units":4,"revenue":{"amount":"23.55","currency":"USD"}}]}`: 1,
		`{"days":[{"date":"2026-01-02","orders":2,"units":4,"revenue":{"amount":"23.54","currency":"USD"}}]}`: 2,
		`{"days":[]}`: 1,
	} {
		r, err := DailySales(t.Context(), l, (&model{sales: sales}).get, typ)
		if err != nil || r.Drift != drift || r.Compared != 1 {
			t.Errorf("%s: %+v, %v, want %d differences", sales, r, err, drift)
		}
	}
}

// A log that contradicts itself is reported, and its other streams are compared.
func TestCorruptLog(t *testing.T) {
	l, typ, events := log(t)
	bad := envelope(t, typ, events, "c", &orderv1.OrderPaid{})
	bad.Version = 7
	poison := envelope(t, typ, events, "p", &orderv1.OrderPaid{})
	poison.Data = []byte{0xff}
	write(t, l, []event.Envelope{bad, poison})
	r, err := Orders(t.Context(), l, (&model{list: "items", items: []map[string]any{order("a", 2, "paid"), order("b", 2, "paid"), order("c", 1, "placed")}}).get, typ)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	for _, d := range r.Differences {
		keys[d.Key] = d.Kind
	}
	if d := cmp.Diff(map[string]string{"c/7": Corrupt, "p/1": Corrupt}, keys); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func TestCompareStreams(t *testing.T) {
	_, typ, all := log(t)
	var a []event.Envelope
	for _, e := range all {
		if e.Stream == "a" {
			a = append(a, e)
		}
	}
	changed := slices.Clone(a)
	changed[0].Data = []byte(strings.Replace(string(a[0].Data), "ada", "eve", 1))
	changed[1].CausationID, changed[1].Offset = "x", 99
	later := append(slices.Clone(a), envelope(t, typ, all, "a", &orderv1.OrderShipped{}))
	nanos := slices.Clone(a)
	nanos[0].Time = nanos[0].Time.Add(999)
	for name, c := range map[string]struct {
		history []event.Envelope
		want    []Difference
		newer   int
	}{
		"alike":                    {a, []Difference{}, 0},
		"times with less accuracy": {nanos, []Difference{}, 0},
		"newer":                    {later, []Difference{}, 1},
		"missing": {a[:1], []Difference{{Missing, "a/2", ""},
			{Different, "the state", "folded from history is not the one folded from the log"}}, 0},
		"changed": {changed, []Difference{{Different, "a/1", "the body is not the same"},
			{Different, "a/2", "the causation ID is x, in the log c-2"}, {Different, "a/2", fmt.Sprintf("the offset is 99, in the log %d", a[1].Offset)},
			{Different, "the state", "folded from history is not the one folded from the log"}}, 0},
	} {
		r := newReport("history", "order")
		compareStreams(r, typ, a, c.history)
		if d := cmp.Diff(c.want, r.Differences); d != "" || r.Newer != c.newer {
			t.Errorf("%s: %d newer (-want +got):\n%s", name, r.Newer, d)
		}
	}
}

// Each field that history keeps changes the chain.
func TestChain(t *testing.T) {
	_, _, all := log(t)
	base := chain{}.next(&all[0])
	seen := map[chain]string{base: "base"}
	for name, change := range map[string]func(*event.Envelope){
		"version": func(e *event.Envelope) { e.Version++ }, "type": func(e *event.Envelope) { e.Type += "x" },
		"time": func(e *event.Envelope) { e.Time = e.Time.Add(time.Hour) }, "recorded": func(e *event.Envelope) { e.RecordedTime = e.RecordedTime.Add(time.Hour) },
		"causation": func(e *event.Envelope) { e.CausationID += "x" }, "correlation": func(e *event.Envelope) { e.CorrelationID = e.CausationID; e.CausationID = "" },
		"trace": func(e *event.Envelope) { e.TraceParent = "x" }, "principal": func(e *event.Envelope) { e.Principal = "x" },
		"command": func(e *event.Envelope) { e.CommandOffset++ }, "last": func(e *event.Envelope) { e.LastOfCommand = false },
		"partition": func(e *event.Envelope) { e.Partition++ }, "offset": func(e *event.Envelope) { e.Offset++ },
		"content": func(e *event.Envelope) { e.ContentType = "x" }, "data": func(e *event.Envelope) { e.Data = e.Data[1:] },
	} {
		e := all[0]
		change(&e)
		got := chain{}.next(&e)
		if other, ok := seen[got]; ok {
			t.Errorf("%s has the chain of %s", name, other)
		}
		seen[got] = name
	}
}

// What PostgreSQL's text cannot hold is no drift.
func TestTextThatSQLCannotHold(t *testing.T) {
	raw, err := sumOf(map[string]any{"notes": "x\x00y"})
	if err != nil {
		t.Fatal(err)
	}
	shown, err := sumOf(map[string]any{"notes": "x\uFFFDy"})
	if err != nil || raw != shown {
		t.Errorf("%x and %x, %v", raw, shown, err)
	}
	if other, err := sumOf(map[string]any{"notes": "xy"}); err != nil || other == raw {
		t.Errorf("%x is the sum of another text, %v", other, err)
	}
}
