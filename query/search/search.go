package search

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// Order is an order as it was indexed. It must not be changed.
type Order = searchindex.Document

// Bounds of a request.
const (
	// DefaultLimit and MaxLimit are hits a page.
	DefaultLimit = 50
	MaxLimit     = 200
	// MaxQuery is the longest Q, in characters, and MaxWords how many words of it may be searched for.
	MaxQuery = 1000
	MaxWords = 32
	// FacetTerms is how many values of a facet are counted: the most frequent ones.
	FacetTerms = 10
)

// The facets there are.
const (
	FacetStatus   = "status"
	FacetCustomer = "customer"
)

// Request is a search. The zero Request finds everything, newest first.
type Request struct {
	// Q is what to find; see the package's comment. Empty finds everything.
	Q string
	// Status and Customer, where not empty, must be the order's.
	Status   string
	Customer string
	// Facets to count over everything that matches: FacetStatus, FacetCustomer.
	Facets []string
	// Limit is the number of hits wanted; 0 means DefaultLimit, MaxLimit is the most.
	Limit int
	// Cursor is a Result's, to go on after its last hit, with the same Q, Status and Customer.
	Cursor string
}

// Result is a page of hits.
type Result struct {
	Hits []Hit
	// Total is how many orders match, exactly, on all pages together.
	Total int64
	// Facets has an entry for each facet asked for.
	Facets map[string][]FacetCount
	// Cursor asks for the next page; it is empty at the end.
	Cursor string
}

// Hit is an order that matches.
type Hit struct {
	Order Order
	// Score compares hits of the same search only; 0 where no words were searched for.
	Score float64
	// Highlights are the places that match, by field (notes, name, sku, customer): HTML in which matches
	// are in <em> and everything else is escaped.
	Highlights map[string][]string
}

// FacetCount is how many matching orders have a value.
type FacetCount struct {
	Value string
	Count int64
}

// Searcher reads the search read model. It is safe for concurrent use.
type Searcher interface {
	// Search finds orders. Errors are event.ErrMalformed for a request that breaks a bound or a cursor
	// that was not given out for it, and event.ErrUnavailable.
	//
	// Pages neither repeat nor leave out an order while nothing is written. What is written in between
	// may move orders; without words in Q, only those that were written.
	Search(ctx context.Context, r Request) (Result, error)
	// Get returns one order; event.ErrNotFound where there is none. It needs no Wait to be followed by a
	// refresh: it sees what has been applied.
	Get(ctx context.Context, id event.StreamID) (Order, error)
	// Positions says how far the read model is: one position a partition that has applied a command.
	Positions(ctx context.Context) ([]event.Position, error)
	// Wait returns once searches see what the commands at the positions did, with how far the read model
	// is then. Positions of aggregates that it does not read are ignored. When the context's deadline
	// passes first, the error is query.ErrBehind.
	Wait(ctx context.Context, after []event.Position) (through []event.Position, err error)
	// ParkedStream reports whether events of the order are set aside, so that it is not shown as it is.
	ParkedStream(ctx context.Context, id event.StreamID) (bool, error)
}

// plan is a request that has been checked.
type plan struct {
	Request
	words []word
	after *cursor
}

func (r Request) plan() (*plan, error) {
	bad := func(format string, args ...any) (*plan, error) {
		return nil, fmt.Errorf("%w: "+format, append([]any{event.ErrMalformed}, args...)...)
	}
	if r.Limit == 0 {
		r.Limit = DefaultLimit
	}
	switch {
	case r.Limit < 1 || r.Limit > MaxLimit:
		return bad("limit is %d; it must be 1 to %d", r.Limit, MaxLimit)
	case !utf8.ValidString(r.Q):
		return bad("q is not UTF-8")
	case utf8.RuneCountInString(r.Q) > MaxQuery:
		return bad("q has %d characters; at most %d are allowed", utf8.RuneCountInString(r.Q), MaxQuery)
	case r.Status != "" && !slices.Contains(searchindex.Statuses, r.Status):
		return bad("status is %q; it must be one of %s", r.Status, strings.Join(searchindex.Statuses, ", "))
	case !utf8.ValidString(r.Customer):
		return bad("customer is not UTF-8")
	}
	for i, f := range r.Facets {
		if f != FacetStatus && f != FacetCustomer {
			return bad("facets has %q; there are %s and %s", f, FacetStatus, FacetCustomer)
		}
		if slices.Contains(r.Facets[:i], f) {
			return bad("facets has %q twice", f)
		}
	}
	p := &plan{Request: r, words: parse(r.Q)}
	if len(p.words) > MaxWords {
		return bad("q has %d words; at most %d are allowed", len(p.words), MaxWords)
	}
	if r.Cursor != "" {
		c, err := parseCursor(r.Cursor, p)
		if err != nil {
			return nil, err
		}
		p.after = &c
	}
	return p, nil
}

// ranked reports whether hits are ordered by score.
func (p *plan) ranked() bool { return len(p.words) > 0 }
