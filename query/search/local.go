package search

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/blevesearch/bleve/v2"
	blevesearch "github.com/blevesearch/bleve/v2/search"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/internal/searchindex/localindex"
)

// Local reads the embedded index.
type Local struct{ source Source }

// Source is where the index is that readers see now: a *localindex.Set, or one *localindex.Index.
type Source interface{ Active() *localindex.Index }

var _ Searcher = (*Local)(nil)

// NewLocal makes the reader of what consumers/local opened, which stays the caller's to close.
func NewLocal(s Source) *Local { return &Local{source: s} }

// Search implements Searcher.
func (l *Local) Search(ctx context.Context, r Request) (Result, error) {
	p, err := r.plan()
	if err != nil {
		return Result{}, err
	}
	index := l.source.Active()
	found, err := index.Bleve().SearchInContext(ctx, localRequest(p))
	for errors.Is(err, bleve.ErrorIndexClosed) && l.source.Active() != index { // it was replaced and dropped in between
		index = l.source.Active()
		found, err = index.Bleve().SearchInContext(ctx, localRequest(p))
	}
	if err != nil {
		if cause := ctx.Err(); cause != nil {
			err = cause
		} else if errors.Is(err, bleve.ErrorIndexClosed) {
			err = fmt.Errorf("%w: %w", event.ErrUnavailable, err)
		}
		return Result{}, fmt.Errorf("search orders: %w", err)
	}
	out := Result{Total: int64(found.Total), Facets: map[string][]FacetCount{}, Hits: make([]Hit, 0, min(len(found.Hits), p.Limit))}
	for i, h := range found.Hits {
		if i == p.Limit { // one more was asked for, to know whether there is a next page
			last := found.Hits[i-1]
			out.Cursor = p.next(strconv.FormatFloat(last.Score, 'g', -1, 64), &out.Hits[i-1].Order)
			break
		}
		hit := Hit{Score: h.Score}
		source, _ := h.Fields[localindex.FieldDocument].(string)
		if err := localindex.Decode(h.ID, source, &hit.Order); err != nil {
			return Result{}, fmt.Errorf("search orders: %w", err)
		}
		hit.Highlights = highlight(&hit.Order, p.words)
		out.Hits = append(out.Hits, hit)
	}
	for _, name := range p.Facets {
		counts := []FacetCount{}
		if f := found.Facets[name]; f != nil {
			for _, t := range f.Terms.Terms() {
				counts = append(counts, FacetCount{Value: t.Term, Count: int64(t.Count)})
			}
		}
		out.Facets[name] = counts
	}
	return out, nil
}

func localRequest(p *plan) *bleve.SearchRequest {
	r := bleve.NewSearchRequestOptions(&localQuery{plan: p}, p.Limit+1, 0, false)
	r.Fields = []string{localindex.FieldDocument}
	newest := &blevesearch.SortField{Field: localindex.FieldNewest, Type: blevesearch.SortFieldAsString}
	if p.ranked() {
		r.Sort = blevesearch.SortOrder{&blevesearch.SortScore{Desc: true}, newest}
	} else {
		r.Sort = blevesearch.SortOrder{newest}
		r.Score = bleve.ScoreNone
	}
	if c := p.after; c != nil {
		r.SearchAfter = []string{localindex.Newest(c.Placed, c.ID)}
		if p.ranked() {
			r.SearchAfter = []string{c.Score, r.SearchAfter[0]}
		}
	}
	for _, name := range p.Facets {
		field := map[string]string{FacetStatus: localindex.FieldStatus, FacetCustomer: localindex.FieldCustomer}[name]
		r.AddFacet(name, bleve.NewFacetRequest(field, FacetTerms))
	}
	return r
}

// Get implements Searcher.
func (l *Local) Get(_ context.Context, id event.StreamID) (Order, error) {
	index := l.source.Active()
	o, err := index.Get(id)
	for errors.Is(err, bleve.ErrorIndexClosed) && l.source.Active() != index {
		index = l.source.Active()
		o, err = index.Get(id)
	}
	return o, err
}

// Positions implements Searcher.
func (l *Local) Positions(context.Context) ([]event.Position, error) {
	all, _ := l.source.Active().AllProgress()
	return positions(all), nil
}

// Wait implements Searcher. It is woken by the sink.
func (l *Local) Wait(ctx context.Context, after []event.Position) ([]event.Position, error) {
	for {
		all, changed := l.source.Active().AllProgress()
		missing := behind(all, after)
		if len(missing) == 0 {
			return positions(all), nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return positions(all), waitError(ctx, missing)
		}
	}
}

// ParkedStream implements Searcher.
func (l *Local) ParkedStream(_ context.Context, id event.StreamID) (bool, error) {
	all, _ := l.source.Active().AllProgress()
	return parked(all, id), nil
}

func parked(all []searchindex.Progress, id event.StreamID) bool {
	for i := range all {
		if all[i].IsParked(id) {
			return true
		}
	}
	return false
}
