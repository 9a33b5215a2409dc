package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/app"
	"github.com/cqrsflow/cqrsflow/internal/progress"
)

type rebuildCmd struct {
	opsFlags
	Projections []string `arg:"" optional:"" name:"projection" help:"The projections: orders, customers, daily_sales, orders_search, history."`
	All         bool     `help:"All of them."`
	NoWait      bool     `name:"no-wait" help:"Do not wait until readers see the new versions."`
}

func newRebuildCmd() rebuildCmd {
	return rebuildCmd{opsFlags: opsFlags{Settings: newSettings("General", "Client")}}
}

// rebuilt is what became of a rebuild.
type rebuilt struct {
	Projection string `json:"projection"`
	Version    int    `json:"version"`
	// State is active, or, where it was not waited for, building.
	State rebuild.State `json:"state"`
	// Parked counts the events that the version has set aside.
	Parked int `json:"parked"`
}

const (
	// watchEvery is how often it is asked how far the new versions are.
	watchEvery = 250 * time.Millisecond
	// absence is how long the process that is asked may be away: it may be the one that was restarted.
	absence = time.Minute
	// restart is how long nothing is said about it.
	restart = 3 * time.Second
)

func (c *rebuildCmd) Run(e *environment) error {
	if c.All == (len(c.Projections) > 0) {
		return usageError{errors.New("name projections, or --all")}
	}
	api, err := c.ops(e, "projection rebuild")
	if err != nil {
		return err
	}
	names := c.Projections
	if c.All {
		list, err := projectionVersions(e.ctx, api)
		if err != nil {
			return err
		}
		for _, v := range list {
			if !slices.Contains(names, v.Projection) {
				names = append(names, v.Projection)
			}
		}
	}
	asked := make([]*rebuilt, len(names))
	for i, name := range names {
		var r app.VersionResult
		if err := api.post(e.ctx, "/projections/rebuild", app.VersionRequest{Projection: name}, &r); err != nil {
			return fmt.Errorf("rebuild %s: %w", name, err)
		}
		asked[i] = &rebuilt{Projection: name, Version: r.Version, State: rebuild.Building}
		if !r.Began {
			fmt.Fprintf(e.stderr, "%s: version %d was being built already\n", name, r.Version)
		}
	}
	if !c.NoWait {
		if err := watch(e, api, asked); err != nil {
			if e.ctx.Err() != nil {
				unfinished(e.stderr, asked)
				return failed{}
			}
			return err
		}
		parked, err := parked(e, api, func(app.Parked) bool { return true })
		if err != nil {
			return err
		}
		for _, p := range parked {
			for _, r := range asked {
				if r.Projection == p.Projection && r.Version == p.Version {
					r.Parked++
				}
			}
		}
	}
	return c.print(e, asked, func(w io.Writer) {
		for _, r := range asked {
			switch {
			case r.State == rebuild.Building:
				fmt.Fprintf(w, "%s: version %d is being built; `cqrsflow projection list` shows how far it is\n", r.Projection, r.Version)
			case r.Parked > 0:
				fmt.Fprintf(w, "%s: readers see version %d now; %d events of it are parked, see `cqrsflow parked list %s`\n", r.Projection, r.Version, r.Parked, r.Projection)
			default:
				fmt.Fprintf(w, "%s: readers see version %d now\n", r.Projection, r.Version)
			}
		}
	})
}

// unfinished says what becomes of a rebuild whose command is ended.
func unfinished(w io.Writer, asked []*rebuilt) {
	var names []string
	for _, r := range asked {
		if r.State == rebuild.Building {
			names = append(names, r.Projection)
		}
	}
	fmt.Fprintf(w, "cqrsflow: the rebuild of %s goes on.\n  `cqrsflow projection list` shows how far it is, `cqrsflow projection cancel %s` gives it up.\n",
		strings.Join(names, ", "), names[0])
}

// watch waits until readers see all versions.
func watch(e *environment, api client, asked []*rebuilt) error {
	display := progress.New(e.stderr)
	bars := make([]*progress.Bar, len(asked))
	for i, r := range asked {
		bars[i] = display.Bar(r.Projection, 0)
		defer bars[i].Abandon()
	}
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	seen, alone := time.Now(), time.Now()
	for warned, missed := false, false; ; {
		list, err := projectionVersions(e.ctx, api)
		switch {
		case err == nil:
			seen, missed = time.Now(), false
		case e.ctx.Err() != nil || !transient(err) || time.Since(seen) > absence:
			return err
		case !missed && time.Since(seen) > restart:
			missed = true
			fmt.Fprintf(display, "No answer from %s; trying again for %v.\n", api.base, absence)
		}
		left, fed := 0, true
		for i, r := range asked {
			if r.State == rebuild.Active {
				continue
			}
			if err != nil {
				left++
				continue
			}
			v, there := find(list, r)
			if !there {
				return fmt.Errorf("the rebuild of %s has been cancelled: there is no version %d any more", r.Projection, r.Version)
			}
			bars[i].Set(v.Done, v.Total)
			if v.State == rebuild.Building {
				left++
				fed = fed && v.Members > 0
				continue
			}
			r.State = rebuild.Active // or retired by a rebuild after this one
			bars[i].Done()
		}
		if left == 0 {
			return nil
		}
		if fed {
			alone = time.Now()
		}
		if !warned && time.Since(alone) > 15*time.Second {
			warned = true
			fmt.Fprintln(display, "No process feeds it so far: it is built when one with the projection's role, and its shape, runs.")
		}
		select {
		case <-e.ctx.Done():
			return context.Cause(e.ctx)
		case <-tick.C:
		}
	}
}

func find(list []app.ProjectionVersion, r *rebuilt) (app.ProjectionVersion, bool) {
	i := slices.IndexFunc(list, func(v app.ProjectionVersion) bool { return v.Projection == r.Projection && v.Version == r.Version })
	if i < 0 {
		return app.ProjectionVersion{}, false
	}
	return list[i], true
}

// transient reports whether asking again may help.
func transient(err error) bool {
	var p *problem
	return errors.Is(err, event.ErrUnavailable) || errors.As(err, &p) && p.Code == "unavailable"
}
