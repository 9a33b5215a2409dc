package local

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/internal/searchsink"
	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/internal/searchindex/localindex"
)

// Indexes are those of all versions. One process at a time can have them open.
type Indexes = localindex.Set

// OpenAll opens the index of the active version, making it where there is none. Errors are those of Open.
// Close it after the sinks' runners have stopped.
func OpenAll(cfg Config) (*Indexes, error) { return localindex.OpenSet(cfg) }

// Versions are those of the search read model on indexes inside the process. They are safe for concurrent use.
type Versions struct {
	indexes *Indexes
	// switching lets one at a time take the locks of all partitions.
	switching sync.Mutex

	mu struct {
		sync.Mutex
		sinks map[int]*Sink // one a version: its locks are what a switch holds
	}
}

var _ rebuild.Store = (*Versions)(nil)

// NewVersions makes them. The indexes stay the caller's to close.
func NewVersions(x *Indexes) *Versions {
	v := &Versions{indexes: x}
	v.mu.sinks = map[int]*Sink{}
	return v
}

// Versions implements rebuild.Store.
func (v *Versions) Versions(context.Context) ([]rebuild.Version, error) {
	r := v.indexes.Registry()
	all, _ := v.indexes.Active().AllProgress()
	return searchsink.Versions(&r, searchsink.Waiting(all)), nil
}

// Begin implements rebuild.Store.
func (v *Versions) Begin(context.Context) (version rebuild.Version, began bool, err error) {
	var made searchindex.Version
	err = v.indexes.Change(func(r *searchindex.Registry) (bool, error) {
		made, began, _ = r.Begin(searchindex.Shape, time.Now().UTC())
		return began, nil
	})
	return searchsink.Version(made), began && err == nil, err
}

// Cancel implements rebuild.Store.
func (v *Versions) Cancel(context.Context) (version int, err error) {
	err = v.indexes.Change(func(r *searchindex.Registry) (bool, error) {
		version, err = r.Cancel()
		return true, err
	})
	return version, err
}

// Drop implements rebuild.Store.
func (v *Versions) Drop(_ context.Context, version int) error {
	return v.indexes.Change(func(r *searchindex.Registry) (bool, error) {
		if err := rebuild.Droppable(searchsink.Versions(r, 0), searchindex.Name, version); err != nil {
			return false, err
		}
		r.Remove(version)
		return true, nil
	})
}

// Prepare implements rebuild.Store.
func (v *Versions) Prepare(_ context.Context, version int) (runner.Sink, error) {
	return v.Sink(version)
}

// Sink returns the sink of a version, the same each time.
func (v *Versions) Sink(version int) (*Sink, error) {
	x, err := v.indexes.Index(version)
	if err != nil {
		return nil, err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.mu.sinks[version]
	if s == nil {
		s = New(x)
		v.mu.sinks[version] = s
	}
	return s, nil
}

// Places implements rebuild.Store.
func (v *Versions) Places(_ context.Context, version int) ([]rebuild.Place, error) {
	x, err := v.indexes.Index(version)
	if err != nil {
		return nil, err
	}
	all, _ := x.AllProgress()
	return searchsink.Places(all), nil
}

// Switch implements rebuild.Store. The old version's partitions are locked while it is compared.
func (v *Versions) Switch(ctx context.Context, version int, ends rebuild.Ends) (bool, error) {
	v.switching.Lock()
	defer v.switching.Unlock()
	r := v.indexes.Registry()
	active := r.Active().Number
	if next, ok := r.Next(); !ok || next.Number != version {
		return active == version, nil
	}
	log, err := ends(ctx)
	if err != nil {
		return false, err
	}
	before, err := v.Places(ctx, active)
	if err != nil {
		return false, err
	}
	now, err := v.Places(ctx, version)
	if err != nil || !rebuild.CaughtUp(log, before, now, rebuild.Near) {
		return false, err
	}
	old, err := v.Sink(active)
	if err != nil {
		return false, err
	}
	for _, e := range log {
		defer old.lock(searchindex.ProgressID(e.Partition.Aggregate, string(e.Partition.Source), e.Partition.Number))()
	}
	if before, err = v.Places(ctx, active); err != nil {
		return false, err
	}
	caught, err := rebuild.Await(ctx, ends, before, func(ctx context.Context) ([]rebuild.Place, error) { return v.Places(ctx, version) })
	if err != nil || !caught {
		return false, err
	}
	if err := v.durable(ctx, version); err != nil {
		return false, err
	}
	switched := false
	err = v.indexes.Change(func(r *searchindex.Registry) (bool, error) {
		switched = r.Switch(version, searchindex.Active, time.Now().UTC())
		return switched, nil
	})
	return switched && err == nil, err
}

// durable waits until what readers are to see now would be there after a kill, too.
func (v *Versions) durable(ctx context.Context, version int) error {
	x, err := v.indexes.Index(version)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, rebuild.Patience)
	defer cancel()
	if err := x.Flush(ctx); err != nil {
		return fmt.Errorf("%w: %w", event.ErrUnavailable, err)
	}
	return nil
}

// Heal implements rebuild.Store.
func (v *Versions) Heal(ctx context.Context, aggregate string, partitions int32, streams []event.StreamID) error {
	r := v.indexes.Registry()
	s, err := v.Sink(r.Active().Number)
	if err != nil {
		return err
	}
	for id, marked := range searchsink.ByProgress(aggregate, partitions, streams) {
		if err := s.change(ctx, id, func(p *searchindex.Progress) bool { p.MarkHealing(marked); return true }); err != nil {
			return fmt.Errorf("mark streams to be healed: %w", err)
		}
	}
	return nil
}

// Healing implements rebuild.Store.
func (v *Versions) Healing(context.Context) ([]rebuild.Healing, error) {
	all, _ := v.indexes.Active().AllProgress()
	return searchsink.Healing(all), nil
}
