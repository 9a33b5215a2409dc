package app

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/catchup"
)

// ProjectionVersion is a version of a projection, as the operations port shows it.
type ProjectionVersion struct {
	Projection string `json:"projection"`
	Version    int    `json:"version"`
	// Shape is that of the program that fills it.
	Shape int           `json:"shape"`
	State rebuild.State `json:"state"`
	// Done and Total are records of the log, as the store's checkpoints count them.
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	// Group, and how it stands: Members feed the version, and are Lag records behind.
	Group      string     `json:"group"`
	GroupState string     `json:"groupState"`
	Members    int        `json:"members"`
	Lag        int64      `json:"lag"`
	Began      time.Time  `json:"beganAt"`
	Switched   *time.Time `json:"switchedAt,omitempty"`
}

// VersionRequest names a projection, and a version where one is to be dropped.
type VersionRequest struct {
	Projection string `json:"projection"`
	Version    int    `json:"version,omitempty"`
}

// VersionResult is the version that was asked for, cancelled or dropped. Began is false where it was being
// built already.
type VersionResult struct {
	Projection string `json:"projection"`
	Version    int    `json:"version"`
	Began      bool   `json:"began,omitempty"`
}

// HealRequest names streams to be made anew.
type HealRequest struct {
	Projection string           `json:"projection"`
	Aggregate  string           `json:"aggregate"`
	Streams    []event.StreamID `json:"streams"`
}

// Healing is a stream that is yet to be made anew, or, where Failed says why, cannot be.
type Healing struct {
	Aggregate string         `json:"aggregate"`
	Stream    event.StreamID `json:"stream"`
	Failed    string         `json:"failed,omitempty"`
}

// handleVersions adds rebuilding and healing to the operations port. What is asked for is recorded in the
// store, for the processes that feed it; this one need not be one of them.
func (p *process) handleVersions() {
	p.ops.Handle("GET /projections", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list, err := p.projectionVersions(r.Context())
		reply(w, list, err)
	}))
	p.ops.Handle("GET /projections/healing", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list, err := p.healing(r.Context(), r.URL.Query().Get("projection"))
		reply(w, list, err)
	}))
	handle(p, "POST /projections/rebuild", p.beginVersion)
	handle(p, "POST /projections/cancel", p.cancelVersion)
	handle(p, "POST /projections/drop", p.dropVersion)
	handle(p, "POST /projections/heal", p.heal)
}

// handle adds an endpoint that takes and gives JSON.
func handle[In, Out any](p *process, pattern string, do func(context.Context, In) (Out, error)) {
	p.ops.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in In
		d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 8<<20))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			reply(w, nil, fmt.Errorf("%w: %w", event.ErrMalformed, err))
			return
		}
		out, err := do(r.Context(), in)
		reply(w, out, err)
	}))
}

// find returns a projection whose store this process has.
func (p *process) find(name string) (*projection, error) {
	var names []string
	for i := range p.projections {
		if x := &p.projections[i]; x.runner.Name == name {
			return x, nil
		}
		names = append(names, p.projections[i].runner.Name)
	}
	if name == "" {
		return nil, fmt.Errorf("%w: projection is missing", event.ErrInvalid)
	}
	return nil, fmt.Errorf("%w: this process has no store of a projection %q; it has %s", event.ErrNotFound, name, strings.Join(names, ", "))
}

func (p *process) projectionVersions(ctx context.Context) ([]ProjectionVersion, error) {
	out := []ProjectionVersion{}
	var groups []catchup.Group
	for i := range p.projections {
		x := &p.projections[i]
		versions, err := x.store.Versions(ctx)
		if err != nil {
			return nil, err
		}
		ends, err := x.runner.Ends(ctx, p.admin)
		if err != nil {
			return nil, err
		}
		for _, v := range versions {
			one := ProjectionVersion{Projection: x.runner.Name, Version: v.Number, Shape: v.Shape, State: v.State, Began: v.Began.UTC(),
				Group: runner.GroupID(x.runner.Prefix, x.runner.Name, v.Number)}
			if !v.Switched.IsZero() {
				at := v.Switched.UTC()
				one.Switched = &at
			}
			// Of one that is about to be begun, or dropped, there is nothing to be read yet, or any more.
			places, err := x.store.Places(ctx, v.Number)
			if err != nil && v.State == rebuild.Active {
				return nil, err
			}
			one.Done, one.Total = rebuild.Progress(ends, places)
			out = append(out, one)
			groups = append(groups, catchup.Group{Name: one.Projection, ID: one.Group})
		}
	}
	lags, err := catchup.Measure(ctx, p.admin, groups)
	if err != nil {
		return nil, err
	}
	for i, l := range lags {
		out[i].GroupState, out[i].Members, out[i].Lag = l.State, l.Members, l.Lag
	}
	return out, nil
}

func (p *process) beginVersion(ctx context.Context, r VersionRequest) (VersionResult, error) {
	x, err := p.find(r.Projection)
	if err != nil {
		return VersionResult{}, err
	}
	v, began, err := x.store.Begin(ctx)
	p.wake(r.Projection)
	return VersionResult{r.Projection, v.Number, began}, err
}

func (p *process) cancelVersion(ctx context.Context, r VersionRequest) (VersionResult, error) {
	x, err := p.find(r.Projection)
	if err != nil {
		return VersionResult{}, err
	}
	n, err := x.store.Cancel(ctx)
	p.wake(r.Projection)
	return VersionResult{Projection: r.Projection, Version: n}, err
}

func (p *process) dropVersion(ctx context.Context, r VersionRequest) (VersionResult, error) {
	x, err := p.find(r.Projection)
	if err != nil {
		return VersionResult{}, err
	}
	if err := x.store.Drop(ctx, r.Version); err != nil {
		return VersionResult{}, err
	}
	// Its group serves nobody any more. Where it cannot be deleted, Kafka forgets it after a while.
	group := runner.GroupID(x.runner.Prefix, x.runner.Name, r.Version)
	if _, err := p.admin.DeleteGroup(ctx, group); err != nil {
		p.log.Debug("the consumer group of a dropped version is left", "group", group, "error", err)
	}
	return VersionResult{Projection: r.Projection, Version: r.Version}, nil
}

func (p *process) heal(ctx context.Context, r HealRequest) (VersionResult, error) {
	x, err := p.find(r.Projection)
	if err != nil {
		return VersionResult{}, err
	}
	if x.runner.Aggregates[r.Aggregate] == nil {
		return VersionResult{}, fmt.Errorf("%w: %s does not read the aggregate type %q", event.ErrInvalid, r.Projection, r.Aggregate)
	}
	ends, err := x.runner.Ends(ctx, p.admin)
	if err != nil {
		return VersionResult{}, err
	}
	partitions := int32(0)
	for _, e := range ends {
		if e.Partition.Aggregate == r.Aggregate && e.Partition.Source == runner.Events {
			partitions = max(partitions, e.Partition.Number+1)
		}
	}
	err = x.store.Heal(ctx, r.Aggregate, partitions, r.Streams)
	p.wake(r.Projection)
	return VersionResult{Projection: r.Projection}, err
}

func (p *process) healing(ctx context.Context, name string) ([]Healing, error) {
	x, err := p.find(name)
	if err != nil {
		return nil, err
	}
	marks, err := x.store.Healing(ctx)
	out := make([]Healing, len(marks))
	for i, m := range marks {
		out[i] = Healing(m)
	}
	return out, err
}

// wake has this process's driver look at once; those of others look soon.
func (p *process) wake(projection string) {
	if i := slices.IndexFunc(p.drivers, func(d *rebuild.Driver) bool { return d.Name() == projection }); i >= 0 {
		p.drivers[i].Wake()
	}
}
