package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/experiment"
	"github.com/cqrsflow/cqrsflow/experiment/results"
	"github.com/cqrsflow/cqrsflow/internal/backoff"
	"github.com/cqrsflow/cqrsflow/internal/progress"
	"github.com/cqrsflow/cqrsflow/internal/shoppers"
)

type experimentSimulateCmd struct {
	experimentAsk
	Experiment string  `arg:"" help:"The ID of a running experiment whose variants decide orders, and whose unit is the customer."`
	Customers  int     `default:"6000" help:"How many customers come, one order each."`
	Seed       uint64  `default:"1" help:"Who they are: the same seed gives the same customers. Repeating a run changes nothing; take another seed for others."`
	Buy        float64 `default:"0.55" help:"Share who pay for what is in the basket, where nothing is charged on top."`
	TopUp      float64 `name:"top-up" default:"0.4" help:"Share of those whom a fee would meet who rather buy one thing more."`
	Leave      float64 `default:"0.03" help:"Share of those whom a fee meets who leave instead of paying."`
}

// simulated is what is printed: who came, and what the experiment shows by then.
type simulated struct {
	Visits  shoppers.Report `json:"visits"`
	Results *results.Report `json:"results"`
}

func (c *experimentSimulateCmd) Run(e *environment) error {
	people := shoppers.People{Buy: c.Buy, TopUp: c.TopUp, Leave: c.Leave}
	if err := people.Check(); err != nil {
		return usageError{err}
	}
	if c.Customers < 1 {
		return usageError{fmt.Errorf("--customers is %d; it must be at least 1", c.Customers)}
	}
	api, err := c.api(e, "simulate")
	if err != nil {
		return err
	}
	variant, err := c.variant(e, api)
	if err != nil {
		return err
	}
	bar := progress.New(e.stderr).Bar("customers", int64(c.Customers))
	defer bar.Abandon()
	v := shoppers.Visits{Seed: c.Seed, Customers: c.Customers, People: people, Variant: variant, Visited: bar.Add, Concurrent: 4,
		Send: func(ctx context.Context, lines []byte) ([]byte, error) {
			var answers rawBody
			err := api.send(ctx, http.MethodPost, "/v1/commands", nil, http.Header{"Content-Type": {"application/x-ndjson"}}, lines, &answers)
			return answers, err
		}}
	out := simulated{}
	if out.Visits, err = v.Run(e.ctx); err != nil {
		return err
	}
	bar.Done()
	if out.Results, err = askResults(e, api, c.Experiment, 0, out.Visits.Positions); err != nil {
		return err
	}
	if c.JSON {
		return c.print(e, out, nil)
	}
	r := &out.Visits
	fmt.Fprintf(e.stdout, "%d customers came: %d paid, of whom %d bought one thing more, and %d left.\n\n", r.Customers, r.Paid, r.ToppedUp, r.Cancelled)
	return out.Results.Table(e.stdout)
}

// variant is what customers see, computed from the plan as anybody could.
func (c *experimentSimulateCmd) variant(e *environment, api client) (func(string) string, error) {
	path, err := experimentPath(c.Experiment, "")
	if err != nil {
		return nil, err
	}
	var x listed
	if err := api.call(e.ctx, http.MethodGet, path, nil, nil, &x); err != nil {
		return nil, err
	}
	if x.Status != experiment.Running || x.Plan.Aggregate != "order" || x.Plan.Unit != experiment.Customer {
		return nil, fmt.Errorf("experiment %s is %s, tries %q by %s; customers come to one that runs and tries order by customer", c.Experiment, x.Status, x.Plan.Aggregate, x.Plan.Unit)
	}
	a, err := x.Plan.Assigner(x.ID, x.PlanNumber)
	if err == nil {
		err = c.awaitAssigning(e, api, x.PlanNumber)
	}
	if err != nil {
		return nil, err
	}
	return func(customer string) string {
		if v, ok := a.Variant(customer); ok {
			return v
		}
		return x.Plan.Variants[0].Name
	}, nil
}

// awaitAssigning waits until the API assigns by the plan: it hears of a start a moment after the read model does, or before.
func (c *experimentSimulateCmd) awaitAssigning(e *environment, api client, plan int) error {
	path, err := experimentPath(c.Experiment, "/assignment")
	if err != nil {
		return err
	}
	const patience = 10 * time.Second
	ctx, cancel := context.WithTimeout(e.ctx, patience)
	defer cancel()
	for attempt := 0; ; attempt++ {
		var shown experiment.Shown
		if err := api.call(ctx, http.MethodGet, path, url.Values{"unit": {"shopper"}}, nil, &shown); err != nil && ctx.Err() == nil {
			return err
		}
		if shown.PlanNumber == plan && shown.Status == experiment.Running {
			return nil
		}
		if backoff.Wait(ctx, 10*time.Millisecond, time.Second, attempt) != nil {
			return cmp.Or(e.ctx.Err(), fmt.Errorf("%w: the API has not heard within %v that experiment %s runs by plan %d", event.ErrUnavailable, patience, c.Experiment, plan))
		}
	}
}

// rawBody is an answer that is not decoded.
type rawBody []byte

var _ io.Writer = (*rawBody)(nil)

// Write keeps what it gets.
func (b *rawBody) Write(p []byte) (int, error) {
	*b = append(*b, p...)
	return len(p), nil
}
