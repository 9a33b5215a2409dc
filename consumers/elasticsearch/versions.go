package elasticsearch

import (
	"context"
	"fmt"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/internal/searchsink"
	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// Versions are those of the search read model. They are safe for concurrent use, by several processes as well.
type Versions struct {
	cfg Config
}

var _ rebuild.Store = (*Versions)(nil)

// NewVersions makes them; cfg is that of the sinks, whose Client is the one of any version. Errors wrap
// event.ErrConfig.
func NewVersions(cfg Config) (*Versions, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Versions{cfg: cfg}, nil
}

// Open makes what is missing: the registry, the active version's indexes, and, where that has another
// shape than this program, the request for a version of this one's.
func (v *Versions) Open(ctx context.Context) error {
	var gone []int
	r, err := v.cfg.Client.ChangeRegistry(ctx, func(r *searchindex.Registry) (began bool, _ error) {
		began, gone = r.Require(searchindex.Shape, time.Now().UTC())
		return began, nil
	})
	if err != nil {
		return err
	}
	v.remove(ctx, gone)
	if active := r.Active(); active.Shape == searchindex.Shape {
		_, err = v.cfg.Client.At(active.Number).Setup(ctx)
	}
	return err
}

// remove deletes the indexes of versions that are recorded no more.
func (v *Versions) remove(ctx context.Context, versions []int) {
	for _, n := range versions {
		if err := v.cfg.Client.At(n).Remove(ctx); err != nil {
			v.cfg.Logger.Warn("the search index of a version that was given up is left; delete it by hand", "index", v.cfg.Client.At(n).Index, "error", err)
		}
	}
}

// Versions implements rebuild.Store.
func (v *Versions) Versions(ctx context.Context) ([]rebuild.Version, error) {
	r, err := v.cfg.Client.ReadRegistry(ctx)
	if err != nil {
		return nil, err
	}
	marked, err := v.cfg.Client.At(r.Active().Number).AllProgress(ctx)
	if err != nil && ctx.Err() == nil {
		marked = nil // the index has yet to be made, or was deleted: there are no marks
	}
	if _, building := r.Next(); !building && held(marked) { // whoever cancelled was killed before it let it go
		if err := v.release(ctx); err != nil {
			return nil, err
		}
	}
	return searchsink.Versions(&r.Registry, searchsink.Waiting(marked)), ctx.Err()
}

// Begin implements rebuild.Store.
func (v *Versions) Begin(ctx context.Context) (version rebuild.Version, began bool, err error) {
	var made searchindex.Version
	var gone []int
	_, err = v.cfg.Client.ChangeRegistry(ctx, func(r *searchindex.Registry) (bool, error) {
		made, began, gone = r.Begin(searchindex.Shape, time.Now().UTC())
		return began, nil
	})
	if err != nil {
		return version, false, err
	}
	v.remove(ctx, gone)
	return searchsink.Version(made), began, nil
}

// Cancel implements rebuild.Store.
func (v *Versions) Cancel(ctx context.Context) (version int, err error) {
	_, err = v.cfg.Client.ChangeRegistry(ctx, func(r *searchindex.Registry) (bool, error) {
		version, err = r.Cancel()
		return true, err
	})
	if err != nil {
		return 0, err
	}
	v.remove(ctx, []int{version})
	return version, v.release(ctx)
}

// Drop implements rebuild.Store.
func (v *Versions) Drop(ctx context.Context, version int) error {
	_, err := v.cfg.Client.ChangeRegistry(ctx, func(r *searchindex.Registry) (bool, error) {
		if err := rebuild.Droppable(searchsink.Versions(r, 0), searchindex.Name, version); err != nil {
			return false, err
		}
		r.Remove(version)
		return true, nil
	})
	if err != nil {
		return err
	}
	return v.cfg.Client.At(version).Remove(ctx)
}

// Prepare implements rebuild.Store.
func (v *Versions) Prepare(ctx context.Context, version int) (runner.Sink, error) {
	s, err := v.Sink(version)
	if err != nil {
		return nil, err
	}
	if _, err := s.cfg.Client.Setup(ctx); err != nil {
		return nil, err
	}
	r, err := v.cfg.Client.ReadRegistry(ctx)
	if err != nil {
		return nil, err
	}
	if _, ok := r.Get(version); !ok { // dropped in between, and its index made again
		v.remove(ctx, []int{version})
		return nil, fmt.Errorf("%w: there is no version %d of %s", event.ErrNotFound, version, searchindex.Name)
	}
	return s, nil
}

// Sink makes the sink of a version.
func (v *Versions) Sink(version int) (*Sink, error) {
	cfg := v.cfg
	cfg.Client = cfg.Client.At(version)
	return New(cfg)
}

// Places implements rebuild.Store.
func (v *Versions) Places(ctx context.Context, version int) ([]rebuild.Place, error) {
	all, err := v.cfg.Client.At(version).AllProgress(ctx)
	return searchsink.Places(all), err
}

// Heal implements rebuild.Store. Marks are kept in the progress of their partitions.
func (v *Versions) Heal(ctx context.Context, aggregate string, partitions int32, streams []event.StreamID) error {
	r, err := v.cfg.Client.ReadRegistry(ctx)
	if err != nil {
		return err
	}
	client := v.cfg.Client.At(r.Active().Number)
	for id, marked := range searchsink.ByProgress(aggregate, partitions, streams) {
		if _, err := change(ctx, client, id, func(p *searchindex.Progress) bool { p.MarkHealing(marked); return true }); err != nil {
			return fmt.Errorf("mark streams to be healed: %w", err)
		}
	}
	return nil
}

// Healing implements rebuild.Store.
func (v *Versions) Healing(ctx context.Context) ([]rebuild.Healing, error) {
	all, err := v.cfg.Client.ReadersProgress(ctx)
	return searchsink.Healing(all), err
}

// change changes the progress of a partition as it is now; it reports whether there is one that was changed.
func change(ctx context.Context, client *Client, id string, f func(*searchindex.Progress) bool) (bool, error) {
	for {
		stored, found, err := client.ReadProgress(ctx, id)
		if err != nil || !found {
			return false, err
		}
		p := stored.Progress.Clone()
		if !f(&p) {
			return false, nil
		}
		if _, ok, err := client.PutProgress(ctx, p, stored); ok || err != nil {
			return ok, err
		}
		// The worker has moved on meanwhile.
	}
}
