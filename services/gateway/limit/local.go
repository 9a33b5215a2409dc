package limit

import (
	"context"
	"fmt"
	"hash/maphash"
	"sync"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/services/gateway"
)

// MaxKeys is how many keys are counted at a time, in one process: more would be somebody's way to fill its memory.
const MaxKeys = 1 << 20

// Local is a gateway.Limiter for one gateway. The zero value is not usable; make it with NewLocal. It is safe for concurrent use.
type Local struct {
	table[window]
}

// NewLocal makes a Local. clock is time.Now where it is nil.
func NewLocal(clock func() time.Time) *Local { return &Local{newTable[window](clock)} }

// Take counts one request. Its error wraps event.ErrInvalid for a limit that is none, and event.ErrUnavailable where more keys
// than MaxKeys count at present.
func (l *Local) Take(_ context.Context, key string, limit gateway.Limit) (gateway.Decision, error) {
	if err := check(limit); err != nil {
		return gateway.Decision{}, err
	}
	now := l.now()
	s := l.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	e, err := s.entry(key, limit.Window, func(e *entry[window]) bool { return e.what.idle(now, e.window) })
	if err != nil {
		return gateway.Decision{}, err
	}
	d := gateway.Decision{Limit: limit.Requests}
	d.Allowed, d.Remaining, d.Reset = e.what.take(now, e.window, limit.Requests)
	return d, nil
}

func check(l gateway.Limit) error {
	if l.Requests < 1 || l.Window < time.Millisecond {
		return fmt.Errorf("%w: the limit %q is %d requests in %v; it must be at least 1, in at least 1ms", event.ErrInvalid, l.Name, l.Requests, l.Window)
	}
	return nil
}

// table has an entry for each key that counts, spread over shards so that callers do not wait for each other.
type table[T any] struct {
	seed   maphash.Seed
	began  time.Time
	clock  func() time.Time
	shards [64]shard[T]
}

type shard[T any] struct {
	mu      sync.Mutex
	entries map[string]*entry[T]
	// sweep is the number of entries at which those that are idle are dropped.
	sweep int
}

type entry[T any] struct {
	// window is that of the limit. Where that is configured anew, the entry begins anew.
	window time.Duration
	what   T
}

func newTable[T any](clock func() time.Time) table[T] {
	if clock == nil {
		clock = time.Now
	}
	return table[T]{seed: maphash.MakeSeed(), clock: clock, began: clock()}
}

// now is how long the table is there: a clock that is set does not matter.
func (t *table[T]) now() time.Duration { return t.clock().Sub(t.began) }

func (t *table[T]) shard(key string) *shard[T] {
	return &t.shards[maphash.String(t.seed, key)%uint64(len(t.shards))]
}

// entry finds or makes the entry of a key; the caller holds the shard's lock.
func (s *shard[T]) entry(key string, window time.Duration, idle func(*entry[T]) bool) (*entry[T], error) {
	if e := s.entries[key]; e != nil && e.window == window {
		return e, nil
	}
	const most = MaxKeys / 64
	if s.entries == nil {
		s.entries, s.sweep = map[string]*entry[T]{}, 64
	}
	if len(s.entries) >= s.sweep {
		for k, e := range s.entries {
			if idle(e) {
				delete(s.entries, k)
			}
		}
		s.sweep = min(max(64, 2*len(s.entries)), most)
	}
	if len(s.entries) >= most {
		return nil, fmt.Errorf("%w: more than %d callers are counted", event.ErrUnavailable, MaxKeys)
	}
	e := &entry[T]{window: window}
	s.entries[key] = e
	return e, nil
}
