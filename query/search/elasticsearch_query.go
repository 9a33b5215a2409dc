package search

import (
	"encoding/json"
	"strings"
)

type object = map[string]any

// elasticRequest asks Elasticsearch what a plan asks for. The ranking is that of rank.go.
func elasticRequest(p *plan) object {
	filters := []object{}
	if p.Status != "" {
		filters = append(filters, object{"term": object{"status": p.Status}})
	}
	if p.Customer != "" {
		filters = append(filters, object{"term": object{"customer": p.Customer}})
	}
	if len(filters) == 0 && len(p.words) == 0 {
		// A tombstone has nothing that anything else could find.
		filters = append(filters, object{"exists": object{"field": "status"}})
	}
	musts := make([]object, len(p.words))
	for i := range p.words {
		musts[i] = wordQuery(&p.words[i])
	}
	newest := []object{{"search.placed": object{"order": "desc"}}, {"id": object{"order": "asc"}}}
	r := object{
		"query":            object{"bool": object{"filter": filters, "must": musts}},
		"size":             p.Limit + 1,
		"track_total_hits": true, // exact, however many
		"sort":             newest,
	}
	if p.ranked() {
		r["sort"] = append([]object{{"_score": object{"order": "desc"}}}, newest...)
	}
	if c := p.after; c != nil {
		after := []any{c.Placed, c.ID}
		if p.ranked() {
			after = append([]any{json.Number(c.Score)}, after...)
		}
		r["search_after"] = after
	}
	if len(p.Facets) > 0 {
		aggs := object{}
		for _, name := range p.Facets {
			// With several shards, each counts more values than are wanted, so that the sums are right
			// but for the rarest of them.
			aggs[name] = object{"terms": object{"field": name, "size": FacetTerms, "shard_size": 100 * FacetTerms}}
		}
		r["aggs"] = aggs
	}
	return r
}

// wordQuery finds a word in all the places where it may be, and scores it by the best one.
func wordQuery(w *word) object {
	constant := func(tier float64, filters ...object) object {
		return object{"constant_score": object{"boost": tier, "filter": object{"bool": object{"filter": filters}}}}
	}
	places := []object{constant(tierKey, object{"term": object{"search.key": w.Key}})}
	if w.Prefix {
		places = append(places, constant(tierKeyPrefix, object{"prefix": object{"search.key": w.Key}}))
	}
	text := func(field string, tier, prefixTier float64) {
		if len(w.Terms) == 0 {
			return
		}
		phrase := object{"match_phrase": object{field: object{"query": strings.Join(w.Terms, " "), "boost": bm25Weight}}}
		// What must match adds BM25 to the tier, which everything gets.
		places = append(places, object{"bool": object{"must": phrase, "should": object{"match_all": object{"boost": tier}}}})
		if w.Prefix {
			last := len(w.Terms) - 1
			filters := []object{{"prefix": object{field: w.Terms[last]}}}
			for _, t := range w.Terms[:last] {
				filters = append(filters, object{"term": object{field: t}})
			}
			places = append(places, constant(prefixTier, filters...))
		}
	}
	text("search.name", tierName, tierNamePrefix)
	text("search.notes", tierNotes, tierNotesPrefix)
	return object{"dis_max": object{"queries": places, "tie_breaker": 0}}
}
