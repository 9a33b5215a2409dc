// Package traffic asks for things over HTTP while servers and processes fail, as a careful client does: with an
// idempotency key for every command, which it repeats until it has an answer.
package traffic

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/integration/robustness/model"
)

// HTTP is traffic of orders; fill in the exported fields and Run it once.
type HTTP struct {
	API string
	// Orders is how many are placed, paid, annotated and shipped, by Clients at a time. Name makes their IDs.
	Orders int
	// Stop ends it before that, where it is closed: orders that have been begun are taken to their end.
	Stop    <-chan struct{}
	Clients int
	Name    string
	// Wait is how many seconds the server is asked to wait for an outcome; 0 is 5.
	Wait int
	// Patience is how long a command is repeated.
	Patience time.Duration

	acknowledged atomic.Int64
	// Why requests were sent again.
	unavailable, timedOut, broken atomic.Int64
	mu                            struct {
		sync.Mutex
		shop    model.Shop
		errs    []error
		slowest time.Duration
	}
}

// steps are the commands for each order; the first ship is refused.
var steps = []struct {
	command string
	body    string
	refused string
	version int64
}{
	{command: "place", version: 1},
	{command: "ship", body: `{}`, refused: "order_not_paid", version: 1},
	{command: "pay", body: `{}`, version: 2},
	{command: "annotate", body: `{"text":"ring twice"}`, version: 3},
	{command: "ship", body: `{}`, version: 4},
}

// Total is how many commands it has.
func (h *HTTP) Total() int64 { return int64(h.Orders * len(steps)) }

// Acknowledged is how many commands have an answer.
func (h *HTTP) Acknowledged() int64 { return h.acknowledged.Load() }

// Repeated is how many requests had no answer and were sent again.
func (h *HTTP) Repeated() int64 { return h.Unavailable() + h.TimedOut() + h.Broken() }

// Unavailable is how many of them were answered 503, TimedOut how many 504; Broken had no answer at all.
func (h *HTTP) Unavailable() int64 { return h.unavailable.Load() }

// TimedOut is how many requests were answered 504.
func (h *HTTP) TimedOut() int64 { return h.timedOut.Load() }

// Broken is how many requests had no answer at all.
func (h *HTTP) Broken() int64 { return h.broken.Load() }

// Slowest is how long the slowest answer took, without those that were sent again.
func (h *HTTP) Slowest() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.slowest
}

// AtLeast is an error as long as fewer commands have an answer.
func (h *HTTP) AtLeast(n int64) error {
	if got := h.Acknowledged(); got < n {
		return fmt.Errorf("%d of %d commands are answered", got, n)
	}
	return nil
}

// Run places the orders and returns what must have come about. Its error says which answers were not as they must be.
func (h *HTTP) Run(ctx context.Context) (model.Shop, error) {
	h.mu.shop = model.Shop{}
	numbers := make(chan int)
	var clients sync.WaitGroup
	for range h.Clients {
		clients.Go(func() {
			for n := range numbers {
				id := fmt.Sprintf("%s-%d", h.Name, n)
				o, err := h.order(ctx, id, n)
				h.mu.Lock()
				h.mu.shop[id] = o
				if err != nil {
					h.mu.errs = append(h.mu.errs, fmt.Errorf("order %s: %w", id, err))
				}
				h.mu.Unlock()
			}
		})
	}
	h.number(numbers)
	close(numbers)
	clients.Wait()
	return h.mu.shop, errors.Join(h.mu.errs...)
}

// number numbers the orders to place.
func (h *HTTP) number(to chan<- int) {
	for n := range h.Orders {
		select {
		case to <- n:
		case <-h.Stop:
			return
		}
	}
}

// order takes one order through all steps.
func (h *HTTP) order(ctx context.Context, id string, n int) (model.Order, error) {
	units, price := int64(1+n%3), int64(100+n)
	o := model.Order{Customer: fmt.Sprintf("%s-buyer-%d", h.Name, n%7), Status: "shipped", Version: 4, Units: units, Cents: units * price}
	place := fmt.Sprintf(`{"customer":%q,"lines":[{"sku":"s","name":"Thing","quantity":%d,"price":{"amount":"%d.%02d","currency":"USD"}}]}`,
		o.Customer, units, price/100, price%100)
	for i, s := range steps {
		body := s.body
		if body == "" {
			body = place
		}
		answer, err := h.send(ctx, "/v1/orders/"+id+"/"+s.command, body, fmt.Sprintf("%s-%d", id, i))
		if err != nil {
			return o, err
		}
		h.acknowledged.Add(1)
		var got struct {
			Version int64
			Code    string
			State   struct{ PaidAt string }
		}
		if err := json.Unmarshal(answer.Body, &got); err != nil {
			return o, fmt.Errorf("%s: %w: %s", s.command, err, answer)
		}
		want := http.StatusOK
		if s.refused != "" {
			want = http.StatusConflict
		}
		if answer.Status != want || got.Code != s.refused || got.Version != s.version {
			return o, fmt.Errorf("%s: want %d %q and version %d: %s", s.command, want, s.refused, s.version, answer)
		}
		if s.command == "pay" {
			o.Day = got.State.PaidAt[:len("2026-01-31")]
		}
	}
	return o, nil
}

// send repeats a command until it has an answer: 503 and 504 say that there is none, as does a broken connection.
func (h *HTTP) send(ctx context.Context, path, body, key string) (a harness.Answer, err error) {
	err = harness.Until(h.Patience, func() error {
		if ctx.Err() != nil {
			return nil
		}
		began := time.Now()
		a, err = harness.Ask(ctx, http.MethodPost, h.API+path, body, "Idempotency-Key: "+key, fmt.Sprintf("Prefer: wait=%d", cmp.Or(h.Wait, 5)))
		switch {
		case err != nil:
			h.broken.Add(1)
		case a.Status == http.StatusServiceUnavailable:
			h.unavailable.Add(1)
		case a.Status == http.StatusGatewayTimeout:
			h.timedOut.Add(1)
		default: // where it is not right, the caller says what is wrong with it
			h.mu.Lock()
			h.mu.slowest = max(h.mu.slowest, time.Since(began))
			h.mu.Unlock()
			return nil
		}
		return errors.Join(err, fmt.Errorf("no answer: %s", a))
	})
	return a, errors.Join(err, ctx.Err())
}
