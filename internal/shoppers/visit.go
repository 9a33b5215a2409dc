package shoppers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/cqrsflow/cqrsflow/domain/order"
	"github.com/cqrsflow/cqrsflow/event"
)

// batch is how many customers visit in one request: each sends three commands at most.
const batch = 100

// Visits are customers who come to a shop.
type Visits struct {
	// Seed and Customers say who comes: the same each time.
	Seed      uint64
	Customers int
	People    People
	// Variant is what a customer sees.
	Variant func(customer string) string
	// Send sends lines of a batch of commands to the HTTP API, and returns one line of answer for each.
	Send func(ctx context.Context, lines []byte) ([]byte, error)
	// Concurrent is how many requests are under way at the same time; 4.
	Concurrent int
	// Visited is told how many customers more have been answered; nil for nobody.
	Visited func(n int)
}

// Report is what came of the visits.
type Report struct {
	Customers int `json:"customers"`
	Paid      int `json:"paid"`
	Cancelled int `json:"cancelled"`
	// ToppedUp bought more to save the fee.
	ToppedUp int `json:"toppedUp"`
	// Positions are what a query has to wait for to know of all orders.
	Positions []event.Position `json:"-"`
}

// line is one of a batch of commands.
type line struct {
	Aggregate string `json:"aggregate"`
	ID        string `json:"id"`
	Command   string `json:"command"`
	CommandID string `json:"commandId"`
	Unit      string `json:"unit"`
	Data      any    `json:"data,omitempty"`
}

// answer is what is read of an answer to a line.
type answer struct {
	Status   int    `json:"status"`
	Code     string `json:"code"`
	Detail   string `json:"detail"`
	Position string `json:"position"`
}

// Run has the customers come. A run that was interrupted can be repeated: commands have the same IDs each time, and what is done is
// done once. Errors: a request's, or the first command that was not accepted.
func (v *Visits) Run(ctx context.Context) (Report, error) {
	if err := v.People.Check(); err != nil {
		return Report{}, err
	}
	var mu sync.Mutex
	report, latest := Report{}, map[string]event.Position{}
	group, going := errgroup.WithContext(ctx)
	group.SetLimit(max(1, v.Concurrent))
	for from := 0; from < v.Customers && going.Err() == nil; from += batch {
		group.Go(func() error {
			part, err := v.visit(going, from, min(from+batch, v.Customers))
			mu.Lock()
			defer mu.Unlock()
			report.add(part)
			for _, p := range part.Positions {
				key := p.Aggregate + "/" + strconv.Itoa(int(p.Partition))
				if q, ok := latest[key]; !ok || q.Offset < p.Offset {
					latest[key] = p
				}
			}
			if err == nil && v.Visited != nil {
				v.Visited(part.Customers)
			}
			return err
		})
	}
	err := group.Wait()
	if err == nil {
		err = ctx.Err()
	}
	report.Positions = report.Positions[:0]
	for _, p := range latest {
		report.Positions = append(report.Positions, p)
	}
	return report, err
}

func (r *Report) add(p Report) {
	r.Customers += p.Customers
	r.Paid += p.Paid
	r.Cancelled += p.Cancelled
	r.ToppedUp += p.ToppedUp
}

// visit is one request: the customers from and to, exclusive.
func (v *Visits) visit(ctx context.Context, from, to int) (Report, error) {
	var lines bytes.Buffer
	out := json.NewEncoder(&lines)
	sent, r := []line{}, Report{}
	for n := from; n < to; n++ {
		s := New(v.Seed, n)
		all, response := s.lines(v.Variant(s.ID), v.People)
		for _, l := range all {
			if err := out.Encode(l); err != nil {
				return r, err
			}
		}
		sent = append(sent, all...)
		r.Customers++
		switch {
		case !response.Pays:
			r.Cancelled++
		case response.Add > 0:
			r.ToppedUp++
			fallthrough
		default:
			r.Paid++
		}
	}
	text, err := v.Send(ctx, lines.Bytes())
	if err != nil {
		return Report{}, err
	}
	answers := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	if len(answers) != len(sent) {
		return Report{}, fmt.Errorf("%w: %d lines were sent, and %d answered", event.ErrCorrupt, len(sent), len(answers))
	}
	for i, b := range answers {
		var a answer
		if err := json.Unmarshal(b, &a); err != nil {
			return Report{}, fmt.Errorf("answer to %s of %s: %w", sent[i].Command, sent[i].ID, err)
		}
		if a.Status != 200 {
			return Report{}, fmt.Errorf("%s of %s: %s (%s)", sent[i].Command, sent[i].ID, a.Detail, a.Code)
		}
		if a.Position == "" {
			continue
		}
		p, err := event.ParsePosition(a.Position)
		if err != nil {
			return Report{}, err
		}
		r.Positions = append(r.Positions, p)
	}
	return r, nil
}

// lines are what a customer sends: it places the order, which shows what it costs, and responds.
func (s Shopper) lines(variant string, p People) ([]line, Response) {
	send := func(command string, data any) line {
		return line{Aggregate: order.Name, ID: s.Order, Command: command, CommandID: s.Order + "-" + command, Unit: s.ID, Data: data}
	}
	var items []any
	for i, cents := range s.Items {
		items = append(items, map[string]any{"sku": fmt.Sprint("cd-", i+1), "name": "CD", "quantity": 1, "price": amount(cents)})
	}
	r := s.Respond(variant, p)
	all := []line{send("place", map[string]any{"customer": s.ID, "lines": items})}
	if r.Add > 0 {
		all = append(all, send("add-line", map[string]any{"sku": "cd-more", "name": "CD", "quantity": 1, "price": amount(r.Add)}))
	}
	if r.Pays {
		return append(all, send("pay", nil)), r
	}
	return append(all, send("cancel", map[string]any{"reason": "too expensive"})), r
}
