package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/elasticsearch"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/internal/searchindex/elastic"
)

// Search says what the benchmark "search" does. Zero values mean the defaults beside them.
type Search struct {
	Run
	Orders
	// Elasticsearch says where; the prefix is the benchmark's own, and its indexes are removed afterwards. URLs is required.
	Elasticsearch elasticsearch.ClientConfig
}

// RunSearch measures how many orders a second the search read model indexes in Elasticsearch, against
// sending the documents that result, batch by batch, in bulk requests made beforehand.
func RunSearch(ctx context.Context, c Search) (*Report, error) {
	c.Run, c.Orders = c.Run.withDefaults(), c.Orders.withDefaults()
	c.Progress("making events", 0, c.Count)
	log, err := c.log()
	if err != nil {
		return nil, err
	}
	docs, err := documents(log)
	if err != nil {
		return nil, err
	}
	inputs := c.inputs(log)
	forget(log)
	ours := &side{name: "projection", run: c.onIndex(func(ctx context.Context, client *elastic.Client) (time.Duration, error) {
		sink, err := elasticsearch.New(elasticsearch.Config{Client: client, Logger: c.Logger})
		if err != nil {
			return 0, err
		}
		return project(ctx, sink, log)
	})}
	bare := &side{name: "bare bulk requests", run: c.onIndex(func(ctx context.Context, client *elastic.Client) (time.Duration, error) {
		return sendAll(ctx, client, docs)
	})}
	if err := c.alternate(ctx, c.Rounds, c.Limit, c.Count, ours, bare); err != nil {
		return nil, err
	}
	inputs["rounds"] = len(ours.rates)
	r := &Report{Bench: "search", Inputs: inputs, Ours: Figures{Rate: median(ours.rates)}, Bare: Figures{Rate: median(bare.rates)}}
	return r.finish(), nil
}

// onIndex gives a side an empty index, which is removed afterwards.
func (c Search) onIndex(f func(context.Context, *elastic.Client) (time.Duration, error)) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (took time.Duration, err error) {
		cfg := c.Elasticsearch
		cfg.Prefix = name("-")
		def(&cfg.Timeout, 2*time.Minute) // a slow server is to be measured, not to be given up
		client, err := elasticsearch.Connect(cfg)
		if err != nil {
			return 0, err
		}
		defer client.Close()
		defer func() {
			end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
			defer cancel()
			for _, index := range []string{client.Index, client.ProgressIndex, client.RegistryIndex} {
				derr := client.Do(end, http.MethodDelete, "/"+index, elastic.JSON, nil, nil)
				if derr != nil && !elastic.IsStatus(derr, http.StatusNotFound) {
					c.Logger.Warn("removing the benchmark's index", "index", index, "error", derr)
				}
			}
		}()
		if _, err := client.Setup(ctx); err != nil {
			return 0, err
		}
		return f(ctx, client)
	}
}

// documents are those that each batch leaves.
func documents(log [][]batch) ([][][]searchindex.Document, error) {
	typ, ok := aggregates.Lookup("order")
	if !ok {
		return nil, fmt.Errorf("%w: there is no aggregate type order", event.ErrConfig)
	}
	out := make([][][]searchindex.Document, len(log))
	for p := range log {
		docs := map[event.StreamID]searchindex.Document{}
		for i := range log[p] {
			b := &log[p][i]
			for j := range b.events {
				e := event.Recorded{Envelope: b.events[j]}
				body, err := typ.Codec.DecodeEvent(&e.Envelope)
				if err != nil {
					return nil, err
				}
				e.Body = body
				if docs[e.Stream], err = searchindex.Fold(docs[e.Stream], &e, false); err != nil {
					return nil, err
				}
			}
			left := make([]searchindex.Document, len(b.rows))
			for k := range b.rows {
				left[k] = docs[event.StreamID(b.rows[k].id)]
			}
			out[p] = append(out[p], left)
		}
	}
	return out, nil
}

// sendAll sends one request a batch; making the requests does not count.
func sendAll(ctx context.Context, client *elastic.Client, docs [][][]searchindex.Document) (time.Duration, error) {
	requests := make([][]elastic.Bulk, len(docs))
	for p := range docs {
		requests[p] = make([]elastic.Bulk, len(docs[p]))
		for i := range docs[p] {
			for j := range docs[p][i] {
				if err := requests[p][i].Add(j, &docs[p][i][j], false); err != nil {
					return 0, err
				}
			}
		}
	}
	began := time.Now()
	err := each(ctx, len(requests), func(ctx context.Context, p int) error {
		for i := range requests[p] {
			var refused error
			err := requests[p][i].Send(ctx, client, client.Write, func(r elastic.Result) bool {
				refused = fmt.Errorf("%d %w", r.Status, r.Error)
				return false
			})
			if err = errors.Join(err, refused); err != nil {
				return err
			}
		}
		return nil
	})
	return time.Since(began), err
}
