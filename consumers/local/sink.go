package local

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/cqrsflow/cqrsflow/consumers/internal/searchsink"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// Sink writes the search read model into an Index. It is safe for concurrent use.
type Sink struct {
	index  *Index
	now    func() time.Time
	evolve searchindex.Evolve

	mu struct {
		sync.Mutex
		// partitions has a lock for each partition: who holds it may write its progress.
		partitions map[string]*sync.Mutex
	}
}

var (
	_ runner.Sink   = (*Sink)(nil)
	_ runner.Healer = (*session)(nil)
)

// New makes the sink. The index stays the caller's to close.
func New(x *Index) *Sink { return NewWith(x, searchindex.Orders) }

// NewWith is New with another way in which events change documents.
func NewWith(x *Index, evolve searchindex.Evolve) *Sink {
	s := &Sink{index: x, now: time.Now, evolve: evolve}
	s.mu.partitions = map[string]*sync.Mutex{}
	return s
}

// lock takes the partition's lock and returns what gives it back.
func (s *Sink) lock(id string) (unlock func()) {
	s.mu.Lock()
	m := s.mu.partitions[id]
	if m == nil {
		m = &sync.Mutex{}
		s.mu.partitions[id] = m
	}
	s.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// Open takes the partition over: sessions opened before are fenced.
func (s *Sink) Open(ctx context.Context, p runner.Partition) (runner.Session, error) {
	if err := searchsink.CheckPartition(p); err != nil {
		return nil, err
	}
	id := searchindex.ProgressID(p.Aggregate, string(p.Source), p.Number)
	defer s.lock(id)()
	progress, ok := s.index.Progress(id)
	if !ok {
		progress = searchindex.Progress{Aggregate: p.Aggregate, Source: string(p.Source), Partition: p.Number}
	}
	progress.Owner = uuid.NewString()
	if err := s.index.Write(ctx, progress, nil); err != nil {
		return nil, fmt.Errorf("open %s: %w", p, err)
	}
	return &session{sink: s, id: id, owner: progress.Owner, fold: searchsink.Fold{Evolve: s.evolve}}, nil
}

type session struct {
	sink   *Sink
	id     string
	owner  string
	closed bool
	fold   searchsink.Fold
}

// progress returns the stored progress, if the session still owns it.
func (s *session) progress() (searchindex.Progress, error) {
	p, _ := s.sink.index.Progress(s.id)
	switch {
	case s.closed:
		return p, fmt.Errorf("%w: the session of %s is closed", event.ErrFenced, s.id)
	case p.Owner != s.owner:
		return p, fmt.Errorf("%w: %s has been taken over", event.ErrFenced, s.id)
	}
	return p, nil
}

// Checkpoint implements runner.Session.
func (s *session) Checkpoint() (runner.Checkpoint, bool) {
	p, _ := s.sink.index.Progress(s.id)
	return searchsink.Checkpoint(p), p.Processed
}

// Parked implements runner.Session.
func (s *session) Parked(context.Context) ([]runner.Pointer, error) {
	p, err := s.progress()
	if err != nil {
		return nil, err
	}
	return searchsink.Pointers(p), nil
}

// Apply implements runner.Session. It is all or nothing.
func (s *session) Apply(ctx context.Context, b *runner.Batch) error {
	defer s.sink.lock(s.id)()
	p, err := s.progress()
	if err != nil {
		return err
	}
	next, err := searchsink.Next(p, b, s.sink.now())
	if err != nil {
		return err
	}
	s.fold.Reset(b)
	if err := s.load(); err != nil {
		return err
	}
	if err := s.fold.Apply(b); err != nil {
		return err
	}
	changed := make([]searchindex.Document, 0, len(s.fold.Docs))
	var gone []event.StreamID
	for i := range s.fold.Docs {
		switch {
		case s.fold.Changed(i):
			changed = append(changed, s.fold.Docs[i])
		case s.fold.Anew[i]: // the log has nothing of it
			gone = append(gone, s.fold.Streams[i])
		}
	}
	if err := s.sink.index.Write(ctx, next, changed, gone...); err != nil {
		return fmt.Errorf("apply %d events of %s: %w", len(b.Events), b.Partition, err)
	}
	return nil
}

// load reads the documents of the batch's streams, but for those that are made anew.
func (s *session) load() error {
	for i := range s.fold.Streams {
		if s.fold.Anew[i] {
			continue
		}
		if err := s.sink.index.Load(s.fold.Streams[i:i+1], s.fold.Docs[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// ToHeal implements runner.Healer.
func (s *session) ToHeal(_ context.Context, limit int) ([]event.StreamID, error) {
	p, err := s.progress()
	return p.ToHeal(limit), err
}

// Close implements runner.Session.
func (s *session) Close() error {
	s.closed = true
	return nil
}
