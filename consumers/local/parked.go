package local

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
func (s *Sink) Parked(context.Context) ([]ParkedEvent, error) {
	all, _ := s.index.AllProgress()
	return searchsink.ParkedEvents(all), nil
}

// Retry marks the parked events of a stream, and returns how many there are: the partition's worker reads
// them again.
func (s *Sink) Retry(ctx context.Context, stream event.StreamID) (int, error) {
	return s.mark(ctx, stream, searchindex.Retry)
}

// Drop gives the parked events of a stream up, and returns how many there were.
func (s *Sink) Drop(ctx context.Context, stream event.StreamID) (int, error) {
	return s.mark(ctx, stream, searchindex.Drop)
}

func (s *Sink) mark(ctx context.Context, stream event.StreamID, m searchindex.Mark) (int, error) {
	all, _ := s.index.AllProgress()
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

func (s *Sink) markIn(ctx context.Context, id string, stream event.StreamID, m searchindex.Mark) (int, error) {
	defer s.lock(id)()
	p, ok := s.index.Progress(id)
	if !ok {
		return 0, nil
	}
	p = p.Clone()
	n := p.Mark(stream, m)
	if n == 0 {
		return 0, nil
	}
	return n, s.index.Write(ctx, p, nil)
}
