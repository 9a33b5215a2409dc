package search

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/internal/searchindex/elastic"
)

// How often a waiting reader asks Elasticsearch, which has no way of telling: soon at first.
const (
	pollFirst = 5 * time.Millisecond
	pollMost  = 50 * time.Millisecond
)

// Wait implements Searcher. Searches see what the commands did when it returns: once the checkpoints are
// there, the index is refreshed.
func (e *Elasticsearch) Wait(ctx context.Context, after []event.Position) ([]event.Position, error) {
	pause := pollFirst
	for {
		all, err := e.progress(ctx)
		missing := behind(all, after)
		switch {
		case ctx.Err() != nil:
			return positions(all), waitError(ctx, missing)
		case err != nil:
			return nil, err
		case len(missing) == 0:
			if err := e.refresh(ctx, after); err != nil {
				if ctx.Err() != nil {
					return positions(all), waitError(ctx, after)
				}
				return nil, err
			}
			return positions(all), nil
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return positions(all), waitError(ctx, missing)
		}
		pause = min(2*pause, pollMost)
	}
}

// progress reads how far the partitions are.
func (e *Elasticsearch) progress(ctx context.Context) ([]searchindex.Progress, error) {
	return e.progressed.get(ctx, e.client.ReadersProgress)
}

// refresh makes searches see what has been written, if any of the positions is of interest.
func (e *Elasticsearch) refresh(ctx context.Context, after []event.Position) error {
	for _, p := range after {
		if p.Aggregate != searchindex.Aggregate {
			continue
		}
		_, err := e.refreshed.get(ctx, func(ctx context.Context) (struct{}, error) {
			err := e.client.Do(ctx, http.MethodPost, "/"+e.client.Read+"/_refresh", elastic.JSON, nil, nil)
			if err != nil {
				err = fmt.Errorf("refresh the search index: %w", err)
			}
			return struct{}{}, err
		})
		return err
	}
	return nil
}

// shared lets many callers use the result of one: of those who wait for their turn while somebody asks,
// the first asks for all of them.
type shared[T any] struct {
	// turn has a token for who may ask and touch the rest.
	turn  chan struct{}
	began time.Time
	value T
}

func newShared[T any]() *shared[T] { return &shared[T]{turn: make(chan struct{}, 1)} }

// get returns what ask returned to somebody after get was called.
func (s *shared[T]) get(ctx context.Context, ask func(context.Context) (T, error)) (T, error) {
	came := time.Now()
	var none T
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return none, ctx.Err()
	}
	defer func() { <-s.turn }()
	if s.began.After(came) {
		return s.value, nil
	}
	began := time.Now()
	value, err := ask(ctx)
	if err != nil {
		return none, err
	}
	s.began, s.value = began, value
	return value, nil
}
