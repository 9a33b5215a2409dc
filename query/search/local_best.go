package search

import (
	"errors"
	"math"

	"github.com/blevesearch/bleve/v2/search"
	index "github.com/blevesearch/bleve_index_api"
)

// bestSearcher finds documents that any of its places finds, and scores them by the best one (Lucene's
// disjunction max).
type bestSearcher struct {
	places  []place
	started bool
}

// place is where a word may be found: a document found there scores tier + weight × its score there.
type place struct {
	searcher     search.Searcher
	tier, weight float64
	// current is the next match that has not been returned; nil at the end.
	current *search.DocumentMatch
}

var _ search.Searcher = (*bestSearcher)(nil)

// Next implements search.Searcher.
func (s *bestSearcher) Next(ctx *search.SearchContext) (*search.DocumentMatch, error) {
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	var first index.IndexInternalID
	for i := range s.places {
		if c := s.places[i].current; c != nil && (first == nil || c.IndexInternalID.Compare(first) < 0) {
			first = c.IndexInternalID
		}
	}
	if first == nil {
		return nil, nil
	}
	var match *search.DocumentMatch
	score := 0.0
	for i := range s.places {
		p := &s.places[i]
		// first is the ID of a match that may go back to the pool only after the last comparison: the
		// first match found is the one that is returned, and has the same ID.
		if p.current == nil || !p.current.IndexInternalID.Equals(first) {
			continue
		}
		score = max(score, p.score())
		found := p.current
		if match == nil {
			match = found
			first = match.IndexInternalID
		}
		var err error
		if p.current, err = p.searcher.Next(ctx); err != nil {
			return nil, err
		}
		if found != match {
			ctx.DocumentMatchPool.Put(found)
		}
	}
	match.Score = score
	match.FieldTermLocations = match.FieldTermLocations[:0]
	return match, nil
}

func (p *place) score() float64 {
	s := p.tier
	if p.weight > 0 {
		// An index that has no documents but deleted ones makes bleve divide by zero.
		if inner := p.current.Score; inner > 0 && !math.IsInf(inner, 0) {
			s += p.weight * inner
		}
	}
	return s
}

func (s *bestSearcher) start(ctx *search.SearchContext) error {
	if s.started {
		return nil
	}
	s.started = true
	for i := range s.places {
		var err error
		if s.places[i].current, err = s.places[i].searcher.Next(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Advance implements search.Searcher.
func (s *bestSearcher) Advance(ctx *search.SearchContext, id index.IndexInternalID) (*search.DocumentMatch, error) {
	if err := s.start(ctx); err != nil {
		return nil, err
	}
	for i := range s.places {
		p := &s.places[i]
		if p.current == nil || p.current.IndexInternalID.Compare(id) >= 0 {
			continue
		}
		ctx.DocumentMatchPool.Put(p.current)
		var err error
		if p.current, err = p.searcher.Advance(ctx, id); err != nil {
			return nil, err
		}
	}
	return s.Next(ctx)
}

// Close implements search.Searcher.
func (s *bestSearcher) Close() error {
	var err error
	for i := range s.places {
		err = errors.Join(err, s.places[i].searcher.Close())
	}
	return err
}

// Weight and SetQueryNorm take no part in normalising: the scores mean what they say.
func (s *bestSearcher) Weight() float64 { return 0 }

// SetQueryNorm implements search.Searcher.
func (s *bestSearcher) SetQueryNorm(float64) {}

// Count implements search.Searcher: at most so many.
func (s *bestSearcher) Count() uint64 {
	var n uint64
	for i := range s.places {
		n += s.places[i].searcher.Count()
	}
	return n
}

// Min implements search.Searcher.
func (s *bestSearcher) Min() int { return 0 }

// Size implements search.Searcher.
func (s *bestSearcher) Size() int {
	n := 0
	for i := range s.places {
		n += s.places[i].searcher.Size()
	}
	return n
}

// DocumentMatchPoolSize implements search.Searcher.
func (s *bestSearcher) DocumentMatchPoolSize() int {
	n := len(s.places)
	for i := range s.places {
		n += s.places[i].searcher.DocumentMatchPoolSize()
	}
	return n
}
