package integration_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/integration/robustness/validate"
)

// An event that nobody can decode is on the log: the projections that want it park its stream, everything else flows,
// an operator sees it and gives it up.
func TestUndecodableEvent(t *testing.T) {
	onBoth(t, func(t *testing.T, g harness.Target) {
		f := &flow{t: t, Target: g}
		f.post(200, "/v1/orders/bad-1/place", placeByAda)
		f.post(200, "/v1/orders/bad-1/pay", `{}`, "Cqrs-Wait-For: sql, search, history")
		f.writeGarbage("bad-1", "order.v1.OrderShipped", 3)

		for i := range 4 * harness.Partitions { // some of them behind it on its partition
			id := "good-" + strconv.Itoa(i)
			f.post(200, "/v1/orders/"+id+"/place", placeByAda)
			r, _ := f.post(200, "/v1/orders/"+id+"/pay", `{}`, "Cqrs-Wait-For: sql, search, history")
			if r.Behind != nil {
				t.Errorf("%s: %v are behind", id, r.Behind)
			}
			var o struct{ Status string }
			if a := f.get("/v1/orders/"+id, &o); o.Status != "paid" || a.Header.Get("Cqrs-Stale") != "" {
				t.Errorf("%s: %s", id, a)
			}
		}
		wanted := []string{"experiments", "orders", "orders_search"}
		harness.Eventually(t, harness.Patience, "it is parked", func() error {
			var who []string
			for _, p := range f.parked() {
				if p.Stream != "bad-1" || p.Attempts < 1 || p.Reason == "" {
					t.Fatalf("parked: %+v", p)
				}
				who = append(who, p.Projection)
			}
			slices.Sort(who)
			if !slices.Equal(who, wanted) {
				return fmt.Errorf("by %v", who)
			}
			return nil
		})
		var o struct {
			Status  string
			Version int
		}
		if a := f.get("/v1/orders/bad-1", &o); o.Status != "paid" || o.Version != 2 || a.Header.Get("Cqrs-Stale") != "parked" {
			t.Errorf("the parked order: %s", a)
		}
		var events struct {
			Items []struct {
				Data    json.RawMessage
				Problem *struct{ Code string }
			}
		}
		f.get("/v1/orders/bad-1/events", &events)
		if len(events.Items) != 3 || events.Items[2].Problem == nil || string(events.Items[2].Data) != "null" {
			t.Errorf("history: %+v", events)
		}
		f.Must(t, "parked", "show", "orders", "order/bad-1")

		f.Must(t, "parked", "retry", "orders", "order/bad-1")
		harness.Eventually(t, harness.Patience, "it has been tried again", func() error {
			for _, p := range f.parked() {
				if p.Projection == "orders" && p.Attempts > 1 && !p.Retry {
					return nil
				}
			}
			return errors.New("not yet")
		})
		for _, projection := range wanted {
			f.Must(t, "parked", "drop", projection, "order/bad-1")
		}
		harness.Eventually(t, harness.Patience, "nothing is parked", func() error {
			if left := f.parked(); len(left) > 0 {
				return fmt.Errorf("%+v", left)
			}
			return nil
		})
		if a := f.Do(t, http.MethodGet, "/v1/orders/bad-1", ""); a.Status != 200 || a.Header.Get("Cqrs-Stale") != "" {
			t.Errorf("the order whose event was given up: %s", a)
		}
	})
}

// An event that the reactor wants and cannot decode is parked by it as by the projections; other orders' purchases are
// recorded meanwhile. What an operator asks for reaches the process that has the partition.
func TestUndecodableEventOfAReactor(t *testing.T) {
	onBoth(t, func(t *testing.T, g harness.Target) {
		f := &flow{t: t, Target: g}
		f.post(200, "/v1/orders/bad-2/place", placeByAda, "Cqrs-Wait-For: sql, search, history")
		f.writeGarbage("bad-2", "order.v1.OrderPaid", 2)
		for i := range 4 * harness.Partitions {
			id := "fine-" + strconv.Itoa(i)
			f.post(200, "/v1/orders/"+id+"/place", placeByAda)
			f.post(200, "/v1/orders/"+id+"/pay", `{}`)
		}
		mine := func() (list []parked) {
			for _, p := range f.parked() {
				if p.Projection == "purchases" {
					list = append(list, p)
				}
			}
			return list
		}
		harness.Eventually(t, harness.Patience, "the others are recorded", func() error {
			var c struct{ Orders int }
			if f.get("/v1/customers/ada", &c); c.Orders != 4*harness.Partitions {
				return fmt.Errorf("%d purchases", c.Orders)
			}
			return nil
		})
		harness.Eventually(t, harness.Patience, "it is parked", func() error {
			if p := mine(); len(p) != 1 || p[0].Stream != "bad-2" || p[0].Attempts != 1 {
				return fmt.Errorf("%+v", p)
			}
			return nil
		})
		f.Must(t, "parked", "show", "purchases", "order/bad-2")
		f.Must(t, "parked", "retry", "purchases", "order/bad-2")
		harness.Eventually(t, harness.Patience, "it has been tried again", func() error {
			if p := mine(); len(p) != 1 || p[0].Attempts != 2 || p[0].Retry {
				return fmt.Errorf("%+v", p)
			}
			return nil
		})
		f.Must(t, "parked", "drop", "purchases", "order/bad-2")
		harness.Eventually(t, harness.Patience, "it is given up", func() error {
			if r := f.CLI(t, "parked", "retry", "purchases", "order/bad-2"); r.Code != 1 {
				return errors.New(r.String())
			}
			return nil
		})
		if p := mine(); len(p) > 0 {
			t.Errorf("%+v", p)
		}
	})
}

// Killed at any moment, a reactor neither loses a pointer nor sends a command twice: pointers, commands and offset are
// one transaction.
func TestReactorKilled(t *testing.T) {
	const rounds = 4
	d := harness.NewDev(t)
	f := &flow{t: t, Target: d.Start(t)}
	var want []string
	for i := range rounds {
		bad := "bad-" + strconv.Itoa(i)
		f.post(200, "/v1/orders/"+bad+"/place", placeByAda)
		want = append(want, bad)
		for j := range 20 {
			if j == 18 {
				f.writeGarbage(bad, "order.v1.OrderPaid", 2)
				f.CLI(t, "parked", "retry", "purchases") // of those of the last rounds
			}
			id := fmt.Sprintf("fine-%d-%d", i, j)
			f.post(200, "/v1/orders/"+id+"/place", placeByAda)
			f.post(200, "/v1/orders/"+id+"/pay", `{}`)
		}
		if err := d.Kill9(); err != nil { // while it reacts to the last of them
			t.Fatal(err)
		}
		f.Target = d.Start(t)
	}
	harness.Eventually(t, harness.Patience, "all purchases are recorded", func() error {
		var c struct{ Orders int }
		if f.get("/v1/customers/ada", &c); c.Orders != 20*rounds {
			return fmt.Errorf("%d purchases", c.Orders)
		}
		return nil
	})
	harness.Eventually(t, harness.Patience, "all bad ones are parked", func() error {
		var got []string
		for _, p := range f.parked() {
			if p.Projection == "purchases" {
				got = append(got, p.Stream)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			return fmt.Errorf("%v", got)
		}
		return nil
	})
	seen := map[string]int{}
	l, err := validate.ReadLog(t.Context(), f.Target)
	if err != nil {
		t.Fatal(err)
	}
	for i := range l.Commands {
		if c := &l.Commands[i]; c.Aggregate == "customer" {
			seen[c.Headers["ce_id"]]++
		}
	}
	if len(seen) != 20*rounds {
		t.Errorf("%d commands, want %d", len(seen), 20*rounds)
	}
	for id, n := range seen {
		if n != 1 {
			t.Errorf("command %s was committed %d times", id, n)
		}
	}
	d.Stop(t)
}

type parked struct {
	Projection string
	Stream     string
	Reason     string
	Attempts   int
	Retry      bool
}

func (f *flow) parked() (list []parked) {
	f.t.Helper()
	out := f.Must(f.t, "parked", "list", "--json")
	if err := json.Unmarshal([]byte(out.Stdout), &list); err != nil {
		f.t.Fatal(err, out)
	}
	return list
}

// writeGarbage appends an event as the processor would, in a transaction and with all headers, but with a body that is
// no protobuf.
func (f *flow) writeGarbage(stream, typ string, version int) {
	f.t.Helper()
	l, err := validate.ReadLog(f.t.Context(), f.Target)
	if err != nil {
		f.t.Fatal(err)
	}
	var last *validate.Record
	for i := range l.Events {
		if l.Events[i].Key == stream {
			last = &l.Events[i]
		}
	}
	if last == nil {
		f.t.Fatalf("there is no event of %s", stream)
	}
	headers := map[string]string{}
	for k, v := range last.Headers {
		headers[k] = v
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	headers["ce_id"], headers["ce_streamversion"] = fmt.Sprintf("%s/%d", stream, version), strconv.Itoa(version)
	headers["ce_type"], headers["ce_time"], headers["ce_recordedtime"] = typ, now, now
	r := &kgo.Record{Topic: f.Topic("order.events"), Key: []byte(stream), Partition: last.Partition, Value: []byte{0xff, 0xff, 0xff}}
	for k, v := range headers {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: k, Value: []byte(v)})
	}
	cl := f.Kafka(f.t, kgo.TransactionalID("garbage-"+f.Prefix), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := cl.BeginTransaction(); err != nil {
		f.t.Fatal(err)
	}
	if err := cl.ProduceSync(f.t.Context(), r).FirstErr(); err != nil {
		f.t.Fatal(err)
	}
	if err := cl.EndTransaction(f.t.Context(), kgo.TryCommit); err != nil {
		f.t.Fatal(err)
	}
}
