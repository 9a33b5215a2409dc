package app

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/cqrsflow/cqrsflow/consumers/reactor/purchases"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/catchup"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/progress"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// Groups tells the consumer groups of all roles: the command processor, the reactors, and the versions of
// projections that Kafka knows.
func Groups(cfg *config.Settings, admin *kadm.Client) func(context.Context) ([]catchup.Group, error) {
	prefix := cfg.General.Prefix
	command := cfg.Processor.Group
	if command == "" {
		command = prefix + ".processor"
	}
	return func(ctx context.Context) ([]catchup.Group, error) {
		known, err := admin.ListGroups(ctx)
		if err != nil {
			return nil, fmt.Errorf("%w: list the consumer groups: %w", event.ErrUnavailable, err)
		}
		groups := []catchup.Group{{Name: config.RoleCommand, ID: command}, {Name: purchases.Name, ID: runner.GroupID(prefix, purchases.Name, 1)}}
		for _, id := range known.Groups() {
			if name, ok := projectionOf(prefix, id); ok {
				groups = append(groups, catchup.Group{Name: name, ID: id})
			}
		}
		return groups, nil
	}
}

// projectionOf tells whose version's group an ID is.
func projectionOf(prefix, id string) (name string, ok bool) {
	names := []string{searchindex.Name}
	for _, p := range sqlProjections() {
		names = append(names, p.Model.Name())
	}
	for _, name := range names {
		if digits, ok := strings.CutPrefix(id, strings.TrimSuffix(runner.GroupID(prefix, name, 1), "1")); ok {
			if _, err := strconv.Atoi(digits); err == nil {
				return name, true
			}
		}
	}
	return "", false
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
	for _, d := range p.drivers {
		for _, r := range d.Runners() {
			for _, part := range r.Status().Partitions {
				if part.End >= 0 {
					done += min(part.Checkpoint.Next, part.End)
					total += part.End
				}
			}
		}
	}
	return done, total
}
