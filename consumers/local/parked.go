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

// Drop gives the first parked event of a stream up, the one that was refused, and marks what waits behind
// it. It returns how many events it gave up.
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

func (s *Sink) markIn(ctx context.Context, id string, stream event.StreamID, m searchindex.Mark) (n int, err error) {
	err = s.change(ctx, id, func(p *searchindex.Progress) bool {
		n = p.Mark(stream, m)
		return n > 0
	})
	return n, err
}

// change changes the progress of a partition, if there is one and f reports that it has.
func (s *Sink) change(ctx context.Context, id string, f func(*searchindex.Progress) bool) error {
	defer s.lock(id)()
	p, ok := s.index.Progress(id)
	if !ok {
		return nil
	}
	if p = p.Clone(); !f(&p) {
		return nil
	}
	return s.index.Write(ctx, p, nil)
}
