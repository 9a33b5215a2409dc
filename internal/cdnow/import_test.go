package cdnow

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// orders is a publisher with orders behind it that answers from another goroutine, in order.
type orders struct {
	queue chan func()
	wait  sync.WaitGroup

	mu     sync.Mutex
	status map[event.StreamID]string
	ids    map[string]bool
	forget bool
	// fail is asked before a command is decided.
	fail func(c event.Command) error
	seen []event.Command
	body map[string][]byte
}

func newOrders(t *testing.T) *orders {
	o := &orders{queue: make(chan func(), 16), status: map[event.StreamID]string{}, ids: map[string]bool{}, body: map[string][]byte{}}
	o.wait.Go(func() {
		for f := range o.queue {
			f()
		}
	})
	t.Cleanup(func() { close(o.queue); o.wait.Wait() })
	return o
}

func (o *orders) Enqueue(ctx context.Context, aggregate string, c event.Command, contentType string, body []byte, done func(event.Outcome, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if aggregate != "order" || contentType != "application/protobuf" {
		return fmt.Errorf("aggregate %q, content type %q", aggregate, contentType)
	}
	o.queue <- func() { done(o.decide(c, body)) }
	return nil
}

func (o *orders) decide(c event.Command, body []byte) (event.Outcome, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.fail != nil {
		if err := o.fail(c); err != nil {
			return event.Outcome{}, err
		}
	}
	o.seen = append(o.seen, c)
	o.body[c.ID] = body
	if o.ids[c.ID] && !o.forget {
		return event.Outcome{Kind: event.Accepted, Replayed: true}, nil
	}
	reject := func(code string) (event.Outcome, error) {
		return event.Outcome{Kind: event.Rejected, Code: code, Message: "no"}, nil
	}
	switch status := o.status[c.Stream]; {
	case c.Type == "order.v1.PlaceOrder" && status != "":
		return reject("order_already_placed")
	case c.Type == "order.v1.PlaceOrder":
		o.status[c.Stream] = "placed"
	case status == "":
		return reject("order_not_found")
	case status != "placed":
		return reject("order_already_" + status)
	default:
		o.status[c.Stream] = "paid"
	}
	o.ids[c.ID] = true
	return event.Outcome{Kind: event.Accepted}, nil
}

func purchases(n int) []Purchase {
	all := make([]Purchase, n)
	for i := range all {
		all[i] = Purchase{N: i + 1, Customer: "00001", Date: time.Date(1997, 1, 1+i, 0, 0, 0, 0, time.UTC), Quantity: int32(i + 1), Cents: int64(i * 50)}
	}
	return all
}

func TestImport(t *testing.T) {
	o := newOrders(t)
	var answered atomic.Int64
	r, err := Import(t.Context(), o, purchases(2), func(n int) { answered.Add(int64(n)) })
	if err != nil {
		t.Fatal(err)
	}
	if answered.Load() != 4 {
		t.Errorf("%d commands answered, want 4", answered.Load())
	}
	want := Report{Totals: Totals{Purchases: 2, Customers: 1, Quantity: 3, Cents: 50}, Accepted: 4, Refused: map[string]int{}}
	if d := cmp.Diff(want, r); d != "" {
		t.Errorf("report (-want +got):\n%s", d)
	}
	if got, want := r.String(), "2 purchases of 1 customers, 3 CDs, $0.50: 4 commands accepted"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	day := func(d int) time.Time { return time.Date(1997, 1, d, 0, 0, 0, 0, time.UTC) }
	commands := []event.Command{
		{ID: "cdnow-1-place", Type: "order.v1.PlaceOrder", Stream: "cdnow-1", Time: day(1), ExpectedVersion: event.AnyVersion},
		{ID: "cdnow-1-pay", Type: "order.v1.PayOrder", Stream: "cdnow-1", Time: day(1), ExpectedVersion: event.AnyVersion},
		{ID: "cdnow-2-place", Type: "order.v1.PlaceOrder", Stream: "cdnow-2", Time: day(2), ExpectedVersion: event.AnyVersion},
		{ID: "cdnow-2-pay", Type: "order.v1.PayOrder", Stream: "cdnow-2", Time: day(2), ExpectedVersion: event.AnyVersion},
	}
	if d := cmp.Diff(commands, o.seen); d != "" {
		t.Errorf("commands (-want +got):\n%s", d)
	}
	body := &orderv1.PlaceOrder{}
	if err := proto.Unmarshal(o.body["cdnow-2-place"], body); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(&orderv1.PlaceOrder{Customer: "cdnow-00001", Lines: []*orderv1.Line{{Sku: "cd", Name: "CD", Quantity: 2,
		Total: &typev1.Money{Amount: "0.50", Currency: "USD"}}}}, body, protocmp.Transform()); d != "" {
		t.Errorf("body (-want +got):\n%s", d)
	}
}

func TestSecondImportChangesNothing(t *testing.T) {
	for _, forget := range []bool{false, true} {
		o := newOrders(t)
		if _, err := Import(t.Context(), o, purchases(3), nil); err != nil {
			t.Fatal(err)
		}
		o.forget = forget
		r, err := Import(t.Context(), o, purchases(3), nil)
		if err != nil || !r.Unchanged() || r.Replayed+r.Present != 6 || !strings.HasSuffix(r.String(), "all there already, nothing changed") {
			t.Errorf("IDs forgotten %v: %s, %v", forget, &r, err)
		}
	}
}

// A command without an outcome is published again, with the payment that was rejected for want of its order.
func TestImportRepeatsWhatGotNoOutcome(t *testing.T) {
	o := newOrders(t)
	failures := 1
	o.fail = func(c event.Command) error {
		if c.ID == "cdnow-2-place" && failures > 0 {
			failures--
			return fmt.Errorf("%w: away", event.ErrUnavailable)
		}
		return nil
	}
	var answered atomic.Int64
	r, err := Import(t.Context(), o, purchases(3), func(n int) { answered.Add(int64(n)) })
	if err != nil || r.Accepted != 6 || r.Replayed != 0 {
		t.Errorf("%s, %v, want 6 accepted", &r, err)
	}
	if answered.Load() != 6 {
		t.Errorf("%d commands answered, want 6", answered.Load())
	}
	if o.status["cdnow-2"] != "paid" {
		t.Errorf("order 2 is %q", o.status["cdnow-2"])
	}
}

func TestImportIncomplete(t *testing.T) {
	o := newOrders(t)
	o.status["cdnow-1"] = "cancelled"
	o.fail = func(c event.Command) error {
		if c.ID == "cdnow-2-pay" {
			return fmt.Errorf("%w: gone", event.ErrOutcomeUnknown)
		}
		return nil
	}
	r, err := Import(t.Context(), o, purchases(3), nil)
	if !errors.Is(err, ErrIncomplete) || !strings.Contains(err.Error(), "first: order cdnow-1: order_already_cancelled: no") {
		t.Errorf("error %v", err)
	}
	if d := cmp.Diff(map[string]int{"order_already_cancelled": 1}, r.Refused); d != "" || r.Failed != 1 || r.Present != 1 || r.Accepted != 3 {
		t.Errorf("%s (%+v)", &r, r)
	}
}

func TestImportStopsWithItsContext(t *testing.T) {
	o := newOrders(t)
	ctx, cancel := context.WithCancel(t.Context())
	o.fail = func(event.Command) error { cancel(); return nil }
	r, err := Import(ctx, o, purchases(1000), nil)
	if !errors.Is(err, context.Canceled) || r.Failed == 0 || r.Accepted == 0 {
		t.Errorf("%s, %v, want it cancelled half-way", &r, err)
	}
}
