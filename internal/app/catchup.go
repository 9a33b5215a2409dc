package app

import (
	"context"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/reactor/purchases"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/internal/catchup"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/progress"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// Groups are the consumer groups of all roles: the command processor, the reactors and the projections.
func Groups(cfg *config.Settings) []catchup.Group {
	prefix := cfg.General.Prefix
	command := cfg.Processor.Group
	if command == "" {
		command = prefix + ".processor"
	}
	groups := []catchup.Group{{Name: config.RoleCommand, ID: command}, {Name: purchases.Name, ID: runner.GroupID(prefix, purchases.Name, 1)}}
	return append(groups, Projections(cfg)...)
}

// Projections are the consumer groups of the projections.
func Projections(cfg *config.Settings) []catchup.Group {
	var groups []catchup.Group
	add := func(name string, version int) {
		groups = append(groups, catchup.Group{Name: name, ID: runner.GroupID(cfg.General.Prefix, name, version)})
	}
	for _, p := range sqlProjections() {
		add(p.Model.Name(), p.Model.Version())
	}
	add(searchindex.Name, searchindex.Shape)
	return groups
}

// lookEvery is how often readiness is looked at.
const lookEvery = 25 * time.Millisecond

// awaitReady blocks until every part is ready; where that takes longer than a moment it shows how far the
// projections are. Its error is ctx's.
func (p *process) awaitReady(ctx context.Context, d *progress.Display) error {
	var bar *progress.Bar
	began := time.Now()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if p.ops.Readiness().Ready {
			if bar != nil {
				bar.Done()
			}
			return nil
		}
		if bar == nil && time.Since(began) > 2*time.Second {
			bar = d.Bar("catching up", 0)
			defer bar.Abandon()
		}
		if bar != nil {
			bar.Set(p.progress())
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// progress sums checkpoints and ends over the projections of this process.
func (p *process) progress() (done, total int64) {
	for _, r := range p.runners {
		for _, part := range r.Status().Partitions {
			if part.End >= 0 {
				done += min(part.Checkpoint.Next, part.End)
				total += part.End
			}
		}
	}
	return done, total
}
