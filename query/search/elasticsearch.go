package search

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/internal/searchindex/elastic"
)

// Elasticsearch reads the active version of the read model in Elasticsearch.
type Elasticsearch struct {
	client     *elastic.Client
	progressed *shared[[]searchindex.Progress]
	refreshed  *shared[struct{}]
}

var _ Searcher = (*Elasticsearch)(nil)

// NewElasticsearch makes the reader. The client, which consumers/elasticsearch.Connect makes, stays the
// caller's to close.
func NewElasticsearch(client *elastic.Client) *Elasticsearch {
	return &Elasticsearch{client: client, progressed: newShared[[]searchindex.Progress](), refreshed: newShared[struct{}]()}
}

// answer is what Elasticsearch answers to a search.
type answer struct {
	TimedOut bool `json:"timed_out"`
	Shards   struct {
		Failed int `json:"failed"`
	} `json:"_shards"`
	Hits struct {
		Total struct {
			Value int64 `json:"value"`
		} `json:"total"`
		Hits []struct {
			Source json.RawMessage   `json:"_source"`
			Sort   []json.RawMessage `json:"sort"`
		} `json:"hits"`
	} `json:"hits"`
	Aggregations map[string]struct {
		Buckets []struct {
			Key   string `json:"key"`
			Count int64  `json:"doc_count"`
		} `json:"buckets"`
	} `json:"aggregations"`
}

// Search implements Searcher.
func (e *Elasticsearch) Search(ctx context.Context, r Request) (Result, error) {
	p, err := r.plan()
	if err != nil {
		return Result{}, err
	}
	body, err := json.Marshal(elasticRequest(p))
	if err != nil {
		return Result{}, fmt.Errorf("search orders: %w", err)
	}
	// The same search asks the same copies of the shards, whose scores are alike, and scores with the
	// statistics of all shards.
	path := "/" + e.client.Read + "/_search?search_type=dfs_query_then_fetch&preference=" + strconv.FormatUint(uint64(p.fingerprint()), 36)
	var a answer
	if err := e.client.Do(ctx, http.MethodPost, path, elastic.JSON, body, &a); err != nil {
		return Result{}, e.failed("search orders", err)
	}
	if a.TimedOut || a.Shards.Failed > 0 {
		return Result{}, fmt.Errorf("%w: search orders: %d shards of the index do not answer", event.ErrUnavailable, a.Shards.Failed)
	}
	out := Result{Total: a.Hits.Total.Value, Facets: map[string][]FacetCount{}, Hits: make([]Hit, 0, min(len(a.Hits.Hits), p.Limit))}
	for i, h := range a.Hits.Hits {
		if i == p.Limit { // one more was asked for, to know whether there is a next page
			out.Cursor = p.next(string(a.Hits.Hits[i-1].Sort[0]), &out.Hits[i-1].Order)
			break
		}
		var hit Hit
		if err := json.Unmarshal(h.Source, &hit.Order); err != nil {
			return Result{}, fmt.Errorf("%w: search orders: a document: %w", event.ErrCorrupt, err)
		}
		if p.ranked() {
			if hit.Score, err = strconv.ParseFloat(string(h.Sort[0]), 64); err != nil {
				return Result{}, fmt.Errorf("%w: search orders: score %s of order %s", event.ErrUnavailable, h.Sort[0], hit.Order.ID)
			}
		}
		hit.Highlights = highlight(&hit.Order, p.words)
		out.Hits = append(out.Hits, hit)
	}
	for _, name := range p.Facets {
		counts := []FacetCount{}
		for _, b := range a.Aggregations[name].Buckets {
			counts = append(counts, FacetCount{Value: b.Key, Count: b.Count})
		}
		out.Facets[name] = counts
	}
	return out, nil
}

// failed says what a failed request means to a reader.
func (e *Elasticsearch) failed(doing string, err error) error {
	var refused *elastic.Refused
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return fmt.Errorf("%s: %w: the search index has not been made yet: %w", doing, event.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// Get implements Searcher. It reads in real time.
func (e *Elasticsearch) Get(ctx context.Context, id event.StreamID) (Order, error) {
	var o Order
	var a struct {
		Found  bool            `json:"found"`
		Source json.RawMessage `json:"_source"`
	}
	doing := "read order " + string(id)
	err := e.client.Do(ctx, http.MethodGet, "/"+e.client.Read+"/_doc/"+url.PathEscape(string(id)), elastic.JSON, nil, &a)
	switch {
	case elastic.IsStatus(err, http.StatusNotFound) && !elastic.IsType(err, "index_not_found_exception"):
		return o, fmt.Errorf("order %s: %w", id, event.ErrNotFound)
	case err != nil:
		return o, e.failed(doing, err)
	}
	if err := json.Unmarshal(a.Source, &o); err != nil {
		return o, fmt.Errorf("%w: %s: %w", event.ErrCorrupt, doing, err)
	}
	if o.Deleted {
		return Order{}, fmt.Errorf("order %s: %w", id, event.ErrNotFound)
	}
	return o, nil
}

// Positions implements Searcher.
func (e *Elasticsearch) Positions(ctx context.Context) ([]event.Position, error) {
	all, err := e.progress(ctx)
	if err != nil {
		return nil, err
	}
	return positions(all), nil
}

// ParkedStream implements Searcher.
func (e *Elasticsearch) ParkedStream(ctx context.Context, id event.StreamID) (bool, error) {
	all, err := e.progress(ctx)
	if err != nil {
		return false, err
	}
	return parked(all, id), nil
}
