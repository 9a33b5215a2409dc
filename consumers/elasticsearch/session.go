package elasticsearch

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/cqrsflow/cqrsflow/consumers/internal/searchsink"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/internal/searchindex/elastic"
)

type session struct {
	sink *Sink
	// stored is the progress as this session last read or wrote it.
	stored elastic.Stored
	// attempt is a progress whose write had no answer: it may be there.
	attempt *searchindex.Progress
	closed  bool

	fold    searchsink.Fold
	bulk    elastic.Bulk
	written written
	ids     []string
	tags    []int
}

// Checkpoint implements runner.Session.
func (s *session) Checkpoint() (runner.Checkpoint, bool) {
	return searchsink.Checkpoint(s.stored.Progress), s.stored.Processed
}

// Parked implements runner.Session. It reads what operators have marked since.
func (s *session) Parked(ctx context.Context) ([]runner.Pointer, error) {
	if err := s.reload(ctx); err != nil {
		return nil, err
	}
	return searchsink.Pointers(s.stored.Progress), nil
}

// reload reads the progress again; event.ErrFenced where another session owns it.
func (s *session) reload(ctx context.Context) error {
	id := s.stored.ID()
	if s.closed {
		return fmt.Errorf("%w: the session of %s is closed", event.ErrFenced, id)
	}
	now, found, err := s.sink.cfg.Client.ReadProgress(ctx, id)
	switch {
	case err != nil:
		return err
	case !found || now.Owner != s.stored.Owner:
		return fmt.Errorf("%w: %s has been taken over", event.ErrFenced, id)
	}
	s.stored = now
	return nil
}

// Apply implements runner.Session. Documents come before the progress that says that they are there.
func (s *session) Apply(ctx context.Context, b *runner.Batch) error {
	if s.closed {
		return fmt.Errorf("%w: the session of %s is closed", event.ErrFenced, b.Partition)
	}
	if s.attempt != nil {
		done, err := s.recall(ctx)
		if done || err != nil {
			return err
		}
	}
	if s.stored.Held { // as it was last seen: it may have been let go
		if err := s.reload(ctx); err != nil {
			return err
		}
	}
	next, err := s.next(b)
	if err != nil {
		return err
	}
	if err := s.documents(ctx, b); err != nil {
		return fmt.Errorf("apply %d events of %s: %w", len(b.Events), b.Partition, err)
	}
	if len(b.Heal) > 0 { // what could not be made anew is known now
		if next, err = s.next(b); err != nil {
			return err
		}
	}
	for {
		s.attempt = &next
		stored, ok, err := s.sink.cfg.Client.PutProgress(ctx, next, s.stored)
		if err != nil {
			return err // whether it is there will be seen when the batch comes again
		}
		s.attempt = nil
		if ok {
			s.stored = stored
			return nil
		}
		// Another owner has written it, or an operator has marked parked events.
		if err := s.reload(ctx); err != nil {
			return err
		}
		if s.stored.Writes == next.Writes {
			return nil // it was this session, by a request that came late
		}
		if next, err = s.next(b); err != nil {
			return err
		}
	}
}

// recall finds out what became of a write whose answer was lost. A runner applies the same batch until it
// knows that it was applied, so that a write that is there is this batch's.
func (s *session) recall(ctx context.Context) (done bool, err error) {
	attempted := s.attempt.Writes
	if err := s.reload(ctx); err != nil {
		return false, err
	}
	s.attempt = nil
	return s.stored.Writes == attempted, nil
}

// next is the progress after the batch.
func (s *session) next(b *runner.Batch) (searchindex.Progress, error) {
	next, err := searchsink.Next(s.stored.Progress, b, s.sink.now())
	if err == nil && len(next.Parked) > s.sink.cfg.MaxParked && len(b.Park) > 0 {
		err = fmt.Errorf("%w: %d events of %s would be parked, more than %d: look into what refuses them, then retry or drop them",
			event.ErrUnavailable, len(next.Parked), b.Partition, s.sink.cfg.MaxParked)
	}
	return next, err
}

// documents folds the batch onto the stored documents and writes those that have changed.
func (s *session) documents(ctx context.Context, b *runner.Batch) error {
	s.fold.Reset(b)
	if err := s.load(ctx, b); err != nil {
		return err
	}
	if err := s.fold.Apply(b); err != nil {
		return err
	}
	s.bulk.Reset()
	for i := range s.fold.Docs {
		if !s.fold.Changed(i) {
			if s.fold.Anew[i] {
				s.unhealed(b, i, "the log has no event of it; only a rebuild removes its document")
			}
			continue
		}
		add := func(d *searchindex.Document) error { return s.bulk.Add(i, d, s.fold.Start(i) > 0) }
		if s.fold.Anew[i] {
			add = func(d *searchindex.Document) error { return s.bulk.AddAnew(i, d) }
		}
		if err := add(&s.fold.Docs[i]); err != nil {
			return err
		}
		if s.bulk.Bytes() >= s.sink.cfg.BulkBytes {
			if err := s.send(ctx, b, &s.bulk); err != nil {
				return err
			}
			s.bulk.Reset()
		}
	}
	if err := s.send(ctx, b, &s.bulk); err != nil {
		return err
	}
	for i := range s.fold.Docs {
		if s.fold.Changed(i) {
			s.written.put(s.fold.Docs[i])
		}
	}
	return nil
}

// loadAtOnce is how many documents one request reads.
const loadAtOnce = 1000

// load reads the stored documents, but for those that this session wrote itself not long ago. A stream
// whose first event in the batch is its first of all needs none: where it has been indexed before, its
// external version refuses the older document.
func (s *session) load(ctx context.Context, b *runner.Batch) error {
	s.ids, s.tags = s.ids[:0], s.tags[:0]
	for i, stream := range s.fold.Streams {
		if s.fold.Anew[i] || b.Events[s.fold.First[i]].Version <= 1 {
			continue
		}
		if d, ok := s.written.get(stream); ok {
			s.fold.Docs[i] = d
		} else {
			s.ids, s.tags = append(s.ids, string(stream)), append(s.tags, i)
		}
	}
	client := s.sink.cfg.Client
	for from := 0; from < len(s.ids); from += loadAtOnce {
		ids := s.ids[from:min(from+loadAtOnce, len(s.ids))]
		err := client.MultiGet(ctx, client.Write, ids, func(i int, source json.RawMessage) error {
			if err := json.Unmarshal(source, &s.fold.Docs[s.tags[from+i]]); err != nil {
				return fmt.Errorf("%w: the search document of order %s: %w", event.ErrCorrupt, ids[i], err)
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("read %d documents: %w", len(ids), err)
		}
	}
	return nil
}

// ToHeal implements runner.Healer.
func (s *session) ToHeal(ctx context.Context, limit int) ([]event.StreamID, error) {
	if err := s.reload(ctx); err != nil {
		return nil, err
	}
	return s.stored.ToHeal(limit), nil
}

// unhealed notes that the document of the i-th stream could not be made anew.
func (s *session) unhealed(b *runner.Batch, i int, why string) {
	for j := range b.Heal {
		if b.Heal[j].Stream == s.fold.Streams[i] {
			b.Heal[j].Failed = why
		}
	}
}

// Close implements runner.Session.
func (s *session) Close() error {
	s.closed = true
	return nil
}
