package elasticsearch

import (
	"context"
	"fmt"

	"github.com/cqrsflow/cqrsflow/consumers/internal/searchsink"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// ParkedEvent is a set-aside event and the partition that it is in.
type ParkedEvent = searchsink.ParkedEvent

// Parked lists the events that are set aside, by partition and offset.
func (s *Sink) Parked(ctx context.Context) ([]ParkedEvent, error) {
	all, err := s.cfg.Client.AllProgress(ctx)
	if err != nil {
		return nil, err
	}
	return searchsink.ParkedEvents(all), nil
}

// Retry marks the parked events of a stream, and returns how many there are: the partition's worker,
// wherever it runs, reads them again.
func (s *Sink) Retry(ctx context.Context, stream event.StreamID) (int, error) {
	return s.mark(ctx, stream, searchindex.Retry)
}

// Drop gives the first parked event of a stream up, the one that was refused, and marks what waits behind
// it. It returns how many events it gave up.
func (s *Sink) Drop(ctx context.Context, stream event.StreamID) (int, error) {
	return s.mark(ctx, stream, searchindex.Drop)
}

func (s *Sink) mark(ctx context.Context, stream event.StreamID, m searchindex.Mark) (int, error) {
	all, err := s.cfg.Client.AllProgress(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	for i := range all {
		n, err := s.markIn(ctx, all[i].ID(), stream, m)
		if err != nil {
			return total, fmt.Errorf("mark the parked events of %s: %w", stream, err)
		}
		total += n
	}
	return total, nil
}

func (s *Sink) markIn(ctx context.Context, id string, stream event.StreamID, m searchindex.Mark) (n int, err error) {
	marked, err := change(ctx, s.cfg.Client, id, func(p *searchindex.Progress) bool {
		n = p.Mark(stream, m)
		return n > 0
	})
	if !marked {
		n = 0
	}
	return n, err
}
