package elasticsearch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex/elastic"
)

// send writes the documents of a bulk request and looks at what became of each. Its error is a
// *runner.Poison for a document that the index cannot hold.
func (s *session) send(ctx context.Context, b *runner.Batch, bulk *elastic.Bulk) error {
	client := s.sink.cfg.Client
	for attempt := 0; bulk.Len() > 0; attempt++ {
		if attempt > 0 {
			if err := s.pause(ctx, attempt); err != nil {
				return err
			}
		}
		var final, overloaded error
		err := bulk.Send(ctx, client, client.Write, func(r elastic.Result) (again bool) {
			switch {
			case r.Status == http.StatusCreated: // where it was to replace another one
				// What it was folded onto is gone: somebody deleted the index, and another process has made it anew.
				final = fmt.Errorf("%w: the document of order %s, which was stored, is gone from index %s", event.ErrFenced, s.fold.Streams[r.Tag], client.Index)
				return false
			case r.Status == http.StatusConflict && s.fold.Anew[r.Tag]:
				s.unhealed(b, r.Tag, "its document is at a later version than the log; only a rebuild takes it back")
				return false
			case r.Status == http.StatusConflict:
				return false // this version or a later one is there already
			case r.Status == http.StatusTooManyRequests, r.Status >= 500:
				overloaded = fmt.Errorf("%w: Elasticsearch is overloaded: %w", event.ErrUnavailable, r.Error)
				return true
			case final != nil:
				return false
			case r.Status == http.StatusBadRequest:
				final = s.poison(b, r.Tag, r.Error)
			default:
				// The index is gone, or blocked for writing: no document's fault.
				final = fmt.Errorf("%w: index order %s: %d %w", event.ErrUnavailable, s.fold.Streams[r.Tag], r.Status, r.Error)
			}
			return false
		})
		switch {
		case elastic.IsStatus(err, http.StatusRequestEntityTooLarge):
			return s.halve(ctx, b, bulk, err)
		case elastic.IsStatus(err, http.StatusNotFound):
			return fmt.Errorf("%w: %w", event.ErrUnavailable, err)
		case err != nil:
			return err
		case final != nil:
			return final
		case overloaded != nil && attempt+1 >= s.sink.cfg.Attempts:
			return overloaded
		}
	}
	return nil
}

// halve sends a request that the server finds too large in two parts.
func (s *session) halve(ctx context.Context, b *runner.Batch, bulk *elastic.Bulk, err error) error {
	if bulk.Len() == 1 {
		return s.poison(b, bulk.Tag(0), err)
	}
	rest := bulk.Split()
	if err := s.send(ctx, b, bulk); err != nil {
		return err
	}
	return s.send(ctx, b, rest)
}

// poison blames the first event of the stream's in the batch: which one of them made the document what
// it is cannot be told, and the stream is parked from there on.
func (s *session) poison(b *runner.Batch, tag int, err error) error {
	e := &b.Events[s.fold.First[tag]]
	return &runner.Poison{Offset: e.Offset, Stream: e.Stream, Err: fmt.Errorf("the search index cannot hold the order: %w", err)}
}

// pause waits before an overloaded server is asked again: exponentially longer, with jitter.
func (s *session) pause(ctx context.Context, attempt int) error {
	d := s.sink.cfg.RetryMin << (attempt - 1)
	t := time.NewTimer(d/2 + rand.N(d/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
