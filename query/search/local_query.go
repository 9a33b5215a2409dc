package search

import (
	"context"
	"errors"
	"unicode/utf8"

	"github.com/blevesearch/bleve/v2/mapping"
	"github.com/blevesearch/bleve/v2/search"
	"github.com/blevesearch/bleve/v2/search/query"
	"github.com/blevesearch/bleve/v2/search/searcher"
	index "github.com/blevesearch/bleve_index_api"

	"github.com/cqrsflow/cqrsflow/internal/searchindex/localindex"
)

// localQuery asks bleve what a plan asks for. It is a query of its own because bleve's add up the scores
// of all places and normalise them against each other, so that no place could be made to come first.
type localQuery struct{ plan *plan }

var _ query.Query = (*localQuery)(nil)

// unscored finds without ranking, which bleve does on bitmaps.
var unscored = search.SearcherOptions{Score: "none"}

// Searcher implements bleve's query.Query.
func (q *localQuery) Searcher(ctx context.Context, r index.IndexReader, _ mapping.IndexMapping, options search.SearcherOptions) (search.Searcher, error) {
	var all searchers
	if q.plan.Status != "" {
		all.add(searcher.NewTermSearcher(ctx, r, q.plan.Status, localindex.FieldStatus, 1, unscored))
	}
	if q.plan.Customer != "" {
		all.add(searcher.NewTermSearcher(ctx, r, q.plan.Customer, localindex.FieldCustomer, 1, unscored))
	}
	for i := range q.plan.words {
		all.add(wordSearcher(ctx, r, &q.plan.words[i]))
	}
	switch {
	case all.err != nil:
		return nil, errors.Join(all.err, all.close())
	case len(all.list) == 0:
		return livingSearcher(ctx, r)
	case len(all.list) == 1:
		return all.list[0], nil
	}
	both, err := searcher.NewConjunctionSearcher(ctx, r, all.list, search.SearcherOptions{Score: options.Score})
	if err != nil {
		return nil, errors.Join(err, all.close())
	}
	return both, nil
}

// livingSearcher finds everything but tombstones, which nothing else could find.
func livingSearcher(ctx context.Context, r index.IndexReader) (search.Searcher, error) {
	all, err := searcher.NewMatchAllSearcher(ctx, r, 1, unscored)
	if err != nil {
		return nil, err
	}
	deleted, err := searcher.NewTermSearcher(ctx, r, localindex.Deleted, localindex.FieldDeleted, 1, unscored)
	switch {
	case err != nil:
		return nil, errors.Join(err, all.Close())
	case deleted.Count() == 0:
		return all, deleted.Close()
	}
	return searcher.NewBooleanSearcher(ctx, r, all, nil, deleted, unscored)
}

// searchers collects searchers, and the first error of making them.
type searchers struct {
	list []search.Searcher
	err  error
}

func (s *searchers) add(x search.Searcher, err error) bool {
	if err != nil {
		if s.err == nil {
			s.err = err
		}
		return false
	}
	s.list = append(s.list, x)
	return true
}

func (s *searchers) close() error {
	var err error
	for _, x := range s.list {
		err = errors.Join(err, x.Close())
	}
	return err
}

// wordSearcher finds a word in all the places where it may be.
func wordSearcher(ctx context.Context, r index.IndexReader, w *word) (search.Searcher, error) {
	var all searchers
	best := &bestSearcher{}
	place := func(tier, weight float64, x search.Searcher, err error) {
		if all.add(x, err) {
			best.places = append(best.places, place{searcher: x, tier: tier, weight: weight})
		}
	}
	x, err := searcher.NewTermSearcher(ctx, r, w.Key, localindex.FieldKey, 1, unscored)
	place(tierKey, 0, x, err)
	if w.Prefix {
		x, err = beginsSearcher(ctx, r, w.Key, localindex.FieldKey, localindex.FieldKeyBegins, localindex.KeyBegins)
		place(tierKeyPrefix, 0, x, err)
	}
	text := func(field, begins string, tier, prefixTier float64) {
		if len(w.Terms) == 0 {
			return
		}
		x, err := phraseSearcher(ctx, r, w.Terms, field)
		place(tier, bm25Weight, x, err)
		if w.Prefix {
			x, err = prefixSearcher(ctx, r, w.Terms, field, begins)
			place(prefixTier, 0, x, err)
		}
	}
	text(localindex.FieldName, localindex.FieldNameBegins, tierName, tierNamePrefix)
	text(localindex.FieldNotes, localindex.FieldNotesBegins, tierNotes, tierNotesPrefix)
	if all.err != nil {
		return nil, errors.Join(all.err, all.close())
	}
	return best, nil
}

// phraseSearcher finds terms that stand next to each other.
func phraseSearcher(ctx context.Context, r index.IndexReader, terms []string, field string) (search.Searcher, error) {
	if len(terms) == 1 {
		return searcher.NewTermSearcher(ctx, r, terms[0], field, 1, search.SearcherOptions{})
	}
	return searcher.NewPhraseSearcher(ctx, r, terms, 0, false, field, 1, search.SearcherOptions{})
}

// prefixSearcher finds documents whose field has all terms, of which the last may be the beginning of a word.
func prefixSearcher(ctx context.Context, r index.IndexReader, terms []string, field, begins string) (search.Searcher, error) {
	var all searchers
	last := len(terms) - 1
	for _, t := range terms[:last] {
		all.add(searcher.NewTermSearcher(ctx, r, t, field, 1, unscored))
	}
	all.add(beginsSearcher(ctx, r, terms[last], field, begins, localindex.WordBegins))
	switch {
	case all.err != nil:
		return nil, errors.Join(all.err, all.close())
	case len(all.list) == 1:
		return all.list[0], nil
	}
	x, err := searcher.NewConjunctionSearcher(ctx, r, all.list, unscored)
	if err != nil {
		return nil, errors.Join(err, all.close())
	}
	return x, nil
}

// beginsSearcher finds what has a term that begins so. Short beginnings, of up to most characters, are
// terms of a field of their own; longer ones leave few enough terms to gather.
func beginsSearcher(ctx context.Context, r index.IndexReader, begin, field, begins string, most int) (search.Searcher, error) {
	if utf8.RuneCountInString(begin) <= most {
		return searcher.NewTermSearcher(ctx, r, begin, begins, 1, unscored)
	}
	return searcher.NewTermPrefixSearcher(ctx, r, begin, field, 1, unscored)
}
