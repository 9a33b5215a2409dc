package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/query/search"
)

// searchModel is the read model of Search.
var searchModel = query.Model{Name: "orders_search", Aggregates: []string{"order"}}

// Search finds orders; search.Searcher does.
type Search interface {
	Search(ctx context.Context, r search.Request) (search.Result, error)
}

// SearchResult is a page of hits.
type SearchResult struct {
	Hits   []Hit              `json:"hits" doc:"Best first; newest first where there are no words to find." nullable:"false"`
	Total  int64              `json:"total" doc:"Number of orders that match, exactly, on all pages together."`
	Facets map[string][]Facet `json:"facets,omitempty" doc:"For each facet asked for, its most frequent values."`
	Cursor string             `json:"cursor,omitempty" doc:"For the next page; absent at the end."`
}

// Hit is an order that matches.
type Hit struct {
	Order      Order               `json:"order"`
	Score      float64             `json:"score" doc:"For comparing hits of the same search; 0 where there are no words to find."`
	Highlights map[string][]string `json:"highlights" doc:"Places that match, by field: HTML with matches in <em>, all else escaped." nullable:"false"`
}

// Facet is how many matching orders have a value.
type Facet struct {
	Value string `json:"value"`
	Count int64  `json:"count"`
}

func (a *API) searchOrders(c *call) error {
	p := c.params
	req := search.Request{Q: p.text("q"), Status: p.oneOf("status", statuses...), Customer: p.stream("customer"),
		Facets: p.manyOf("facets", search.FacetStatus, search.FacetCustomer), Limit: p.limit(), Cursor: p.text("cursor")}
	if err := p.err(); err != nil {
		return err
	}
	owner, err := a.owner(c, "orders.read")
	if err != nil {
		return err
	}
	ctx, cancel, err := a.caughtUp(c, searchModel)
	if err != nil {
		return err
	}
	defer cancel()
	if owner != "" && req.Customer != "" && req.Customer != owner {
		return c.writeTagged("", resultOf(search.Result{}))
	}
	if owner != "" {
		req.Customer = owner
	}
	found, err := a.cfg.Search.Search(ctx, req)
	switch {
	case errors.Is(err, query.ErrBadCursor):
		return err
	case errors.Is(err, event.ErrMalformed):
		return malformedSearch(err)
	case err != nil:
		return err
	}
	return c.writeTagged("", resultOf(found))
}

// malformedSearch names the parameter, which the searcher's message begins with.
func malformedSearch(err error) *Problem {
	p := unreadable(err)
	name, _, _ := strings.Cut(p.Detail, " ")
	switch name {
	case "q", "cursor", "limit", "facets", "status", "customer":
	default:
		name = "cursor"
	}
	p.Errors = []event.FieldError{{Field: name, Message: p.Detail}}
	return p
}

func resultOf(found search.Result) SearchResult {
	out := SearchResult{Hits: make([]Hit, 0, len(found.Hits)), Total: found.Total, Cursor: found.Cursor}
	for _, h := range found.Hits {
		hit := Hit{Order: orderOfDocument(&h.Order), Score: h.Score, Highlights: h.Highlights}
		if hit.Highlights == nil {
			hit.Highlights = map[string][]string{}
		}
		out.Hits = append(out.Hits, hit)
	}
	for name, counts := range found.Facets {
		if out.Facets == nil {
			out.Facets = map[string][]Facet{}
		}
		out.Facets[name] = make([]Facet, 0, len(counts))
		for _, f := range counts {
			out.Facets[name] = append(out.Facets[name], Facet{Value: f.Value, Count: f.Count})
		}
	}
	return out
}

func orderOfDocument(d *search.Order) Order {
	o := Order{ID: string(d.ID), Version: int64(d.Version), Status: d.Status, Customer: d.Customer,
		Lines: make([]Line, 0, len(d.Lines)), Notes: make([]Note, 0, len(d.Notes)), CancelReason: d.CancelReason,
		Total: moneyOfRow(query.Money{Cents: d.TotalCents, Currency: d.Currency}), PlacedAt: stamp(d.PlacedAt),
		PaidAt: stampOfDocument(d.PaidAt), ShippedAt: stampOfDocument(d.ShippedAt),
		DeliveredAt: stampOfDocument(d.DeliveredAt), CancelledAt: stampOfDocument(d.CancelledAt)}
	for _, l := range d.Lines {
		o.Lines = append(o.Lines, Line{SKU: l.SKU, Name: l.Name, Quantity: l.Quantity,
			Total: moneyOfRow(query.Money{Cents: l.TotalCents, Currency: d.Currency})})
	}
	for _, n := range d.Notes {
		o.Notes = append(o.Notes, Note{Text: n.Text, NotedAt: stamp(n.NotedAt), Author: n.Author})
	}
	return o
}

func stampOfDocument(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return stampOfRow(&t)
}
