package elasticsearch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/internal/searchsink"
	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/internal/searchindex/elastic"
)

// Switch implements rebuild.Store. There is no transaction over several documents; what there is instead:
//
//  1. The old version is held: every progress of it says so, by which its sessions' next write fails.
//  2. The new one is compared with it. Has it not caught up within rebuild.Patience, the old is let go.
//  3. The registry says that the new one is complete. From here on it cannot be cancelled.
//  4. The readers' aliases move, on condition that they are still the old version's.
//  5. The registry says that readers see the new version.
//
// Whoever is killed in between leaves something that another process goes on with, from the first step.
func (v *Versions) Switch(ctx context.Context, version int, ends rebuild.Ends) (switched bool, err error) {
	r, err := v.cfg.Client.ReadRegistry(ctx)
	if err != nil {
		return false, err
	}
	active := r.Active().Number
	next, ok := r.Next()
	if !ok || next.Number != version {
		return active == version, nil
	}
	old, building := v.cfg.Client.At(active), v.cfg.Client.At(version)
	if near, err := v.near(ctx, active, version, ends); err != nil || !near {
		return false, err
	}
	if caught, err := v.compare(ctx, old, building, ends, false); err != nil || !caught {
		return false, errors.Join(err, v.release(ctx))
	}
	if ok, err := v.record(ctx, version, searchindex.Switching); err != nil || !ok {
		return false, errors.Join(err, v.release(ctx))
	}
	// Another process that has lost its patience may have let the old version go, or be about to: holding it
	// anew spoils what that one read before it saw the registry. From here on nobody lets go.
	if caught, err := v.compare(ctx, old, building, ends, true); err != nil || !caught {
		return false, err
	}
	if err := building.Publish(ctx, old); err != nil {
		return false, err
	}
	return v.record(ctx, version, searchindex.Active)
}

// compare holds the old version, anew where that is asked for, and reports whether the new one gets there in
// time. Searches see all of it then.
func (v *Versions) compare(ctx context.Context, old, building *Client, ends rebuild.Ends, anew bool) (bool, error) {
	log, err := ends(ctx)
	if err != nil {
		return false, err
	}
	places, err := hold(ctx, old, log, anew)
	if err != nil {
		return false, fmt.Errorf("hold version %d of %s: %w", old.Version, searchindex.Name, err)
	}
	caught, err := rebuild.Await(ctx, ends, places, func(ctx context.Context) ([]rebuild.Place, error) { return v.Places(ctx, building.Version) })
	if err != nil || !caught {
		return false, err
	}
	if err := building.Do(ctx, http.MethodPost, "/"+building.Index+"/_refresh", elastic.JSON, nil, nil); err != nil {
		return false, fmt.Errorf("refresh search index %s: %w", building.Index, err)
	}
	return true, nil
}

// near looks whether it is worth while to hold the old version.
func (v *Versions) near(ctx context.Context, active, version int, ends rebuild.Ends) (bool, error) {
	log, err := ends(ctx)
	if err != nil {
		return false, err
	}
	before, err := v.cfg.Client.At(active).AllProgress(ctx)
	if err != nil {
		before = nil // its index was deleted: the log's end is what counts
	}
	now, err := v.Places(ctx, version)
	if err != nil {
		return false, err
	}
	near := rebuild.CaughtUp(log, searchsink.Places(before), now, rebuild.Near)
	if !near && held(before) { // whoever held it was killed
		err = v.release(ctx)
	}
	return near, err
}

func held(all []searchindex.Progress) bool {
	return slices.ContainsFunc(all, func(p searchindex.Progress) bool { return p.Held })
}

// record notes a step of the switch; false where the version is not being built any more.
func (v *Versions) record(ctx context.Context, version int, to searchindex.State) (ok bool, err error) {
	_, err = v.cfg.Client.ChangeRegistry(ctx, func(r *searchindex.Registry) (bool, error) {
		if r.Active().Number == version {
			ok = true // another process was faster
			return false, nil
		}
		ok = r.Switch(version, to, time.Now().UTC())
		return ok, nil
	})
	return ok && err == nil, err
}

// hold keeps a version's sessions from going on, and returns where they are then. anew writes also what is
// held already, so that nobody lets it go who read it before.
func hold(ctx context.Context, c *Client, log []runner.End, anew bool) ([]rebuild.Place, error) {
	var held []searchindex.Progress
	for _, e := range log {
		p, err := holdOne(ctx, c, e.Partition, anew)
		if err != nil {
			return nil, err
		}
		held = append(held, p)
	}
	return searchsink.Places(held), nil
}

func holdOne(ctx context.Context, c *Client, p runner.Partition, anew bool) (searchindex.Progress, error) {
	id := searchindex.ProgressID(p.Aggregate, string(p.Source), p.Number)
	for {
		stored, found, err := c.ReadProgress(ctx, id)
		switch {
		case err != nil:
			return stored.Progress, err
		case found && stored.Held && !anew:
			return stored.Progress, nil
		}
		next := stored.Progress.Clone()
		if !found {
			next = searchindex.Progress{Aggregate: p.Aggregate, Source: string(p.Source), Partition: p.Number}
		}
		next.Held, next.UpdatedAt = true, time.Now()
		written, ok, err := c.PutProgress(ctx, next, stored)
		if elastic.IsStatus(err, http.StatusNotFound) { // the index was deleted: nobody goes on
			return searchindex.Progress{}, nil
		}
		if ok || err != nil {
			return written.Progress, err
		}
	}
}

// release lets the active version go on, unless readers are being switched from it. It writes only what
// nobody has written since before it looked into the registry: see Switch.
func (v *Versions) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	r, err := v.cfg.Client.ReadRegistry(ctx)
	if err != nil {
		return err
	}
	client := v.cfg.Client.At(r.Active().Number)
	failed := func(err error) error {
		return fmt.Errorf("%w: let version %d of %s go on: %w", event.ErrUnavailable, client.Version, searchindex.Name, err)
	}
	all, err := client.AllProgress(ctx)
	if err != nil {
		return failed(err)
	}
	for i := range all {
		if !all[i].Held {
			continue
		}
		stored, found, err := client.ReadProgress(ctx, all[i].ID())
		if err != nil {
			return failed(err)
		}
		if r, err = v.cfg.Client.ReadRegistry(ctx); err != nil {
			return failed(err)
		}
		if next, ok := r.Next(); ok && next.State == searchindex.Switching || r.Active().Number != client.Version {
			return nil
		}
		if !found || !stored.Held {
			continue
		}
		next := stored.Progress.Clone()
		next.Held, next.UpdatedAt = false, time.Now()
		if _, _, err := client.PutProgress(ctx, next, stored); err != nil {
			return failed(err)
		}
	}
	return nil
}
