package runner_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

// memory is a sink that keeps the contract: compare-and-set checkpoints, pointers in the same step.
type memory struct {
	mu struct {
		sync.Mutex
		partitions map[string]*stored
		applied    map[event.StreamID][]event.Version
		outcomes   int
		closedUse  int // calls on sessions that were closed
		sessions   int // open ones
	}
	// before, if set, is called with every batch before it is applied, outside of the lock.
	before func(ctx context.Context, b *runner.Batch) error
	opens  func(p runner.Partition) error
	// after, if set, may fail what has been applied.
	after func() error
}

type stored struct {
	checkpoint runner.Checkpoint
	found      bool
	pointers   map[int64]runner.Pointer
}

func newMemory() *memory {
	m := &memory{}
	m.mu.partitions = map[string]*stored{}
	m.mu.applied = map[event.StreamID][]event.Version{}
	return m
}

func (m *memory) at(p runner.Partition) *stored {
	s := m.mu.partitions[p.String()]
	if s == nil {
		s = &stored{pointers: map[int64]runner.Pointer{}}
		m.mu.partitions[p.String()] = s
	}
	return s
}

func (m *memory) Open(ctx context.Context, p runner.Partition) (runner.Session, error) {
	if m.opens != nil {
		if err := m.opens(p); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.sessions++
	s := m.at(p)
	return &memorySession{m: m, p: p, checkpoint: s.checkpoint, found: s.found}, nil
}

type memorySession struct {
	m          *memory
	p          runner.Partition
	checkpoint runner.Checkpoint
	found      bool
	closed     bool
}

func (s *memorySession) Checkpoint() (runner.Checkpoint, bool) { return s.checkpoint, s.found }

func (s *memorySession) Parked(context.Context) ([]runner.Pointer, error) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	var out []runner.Pointer
	for _, p := range s.m.at(s.p).pointers {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b runner.Pointer) int { return cmp.Compare(a.Offset, b.Offset) })
	return out, nil
}

func (s *memorySession) Apply(ctx context.Context, b *runner.Batch) error {
	if s.m.before != nil {
		if err := s.m.before(ctx, b); err != nil {
			return err
		}
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.closed {
		s.m.mu.closedUse++
	}
	st := s.m.at(s.p)
	if st.found && (st.checkpoint.Next != b.From.Next || st.checkpoint.CommandOffset != b.From.CommandOffset) {
		return fmt.Errorf("%w: checkpoint is %d, not %d", event.ErrFenced, st.checkpoint.Next, b.From.Next)
	}
	for _, o := range b.Unpark {
		if _, ok := st.pointers[o]; !ok {
			return fmt.Errorf("%w: pointer %d is gone", event.ErrFenced, o)
		}
	}
	next := map[event.StreamID][]event.Version{}
	for _, e := range b.Events {
		versions, ok := next[e.Stream]
		if !ok {
			versions = s.m.mu.applied[e.Stream]
		}
		var last event.Version
		if n := len(versions); n > 0 {
			last = versions[n-1]
		}
		if e.Version != last+1 && !b.Gaps[e.Stream] {
			return fmt.Errorf("%w: stream %s has version %d after %v", event.ErrCorrupt, e.Stream, e.Version, versions)
		}
		next[e.Stream] = append(versions, e.Version)
	}
	maps.Copy(s.m.mu.applied, next)
	s.m.mu.outcomes += len(b.Outcomes)
	for _, o := range b.Unpark {
		delete(st.pointers, o)
	}
	for _, p := range b.Park {
		st.pointers[p.Offset] = p
	}
	st.checkpoint, st.found = b.To, true
	if s.m.after != nil {
		return s.m.after()
	}
	return nil
}

func (s *memorySession) Close() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if !s.closed {
		s.m.mu.sessions--
	}
	s.closed = true
	return nil
}

func (m *memory) versions(stream event.StreamID) []event.Version {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mu.applied[stream])
}

func (m *memory) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	for _, v := range m.mu.applied {
		n += len(v)
	}
	return n
}

func (m *memory) pointers(p string) []runner.Pointer {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := m.mu.partitions[p]
	if st == nil {
		return nil
	}
	var out []runner.Pointer
	for _, q := range st.pointers {
		out = append(out, q)
	}
	slices.SortFunc(out, func(a, b runner.Pointer) int { return cmp.Compare(a.Offset, b.Offset) })
	return out
}

// edit changes what is stored of a partition, as an operator or another owner would.
func (m *memory) edit(p string, f func(*stored)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(m.mu.partitions[p])
}
