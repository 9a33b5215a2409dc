package postgres

import (
	"fmt"
	"maps"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

// Projection is a read model with what it reads.
type Projection struct {
	Model ReadModel
	// Aggregates are the aggregate types that it reads; none means all that the base configuration of Runner has.
	Aggregates []string
	// Wants, Sources and Raw are as in runner.Config.
	Wants   map[string][]string
	Sources []runner.Source
	Raw     bool
}

// Models are the read models of projections, for Migrate.
func Models(projections ...Projection) []ReadModel {
	var out []ReadModel
	for _, p := range projections {
		out = append(out, p.Model)
	}
	return out
}

// Runner makes the runner of a version of a projection, whose tables there must be: Migrate makes those
// of the active version, Versions.Prepare those of one that came later. base is as for Projection.Config.
func (s *Store) Runner(p Projection, version int, base runner.Config) (*runner.Runner, error) {
	sink, err := s.Sink(p.Model, version)
	if err != nil {
		return nil, err
	}
	c, err := p.Config(base)
	if err != nil {
		return nil, err
	}
	c.Version, c.Sink = version, sink
	return runner.New(c)
}

// Config is that of the projection's runners, but for Version and Sink. base says what all projections
// share: Prefix, Client, Aggregates (those that the projection does not read are left out), bounds, Logger,
// OnBatch.
func (p Projection) Config(base runner.Config) (runner.Config, error) {
	base.Name, base.Wants, base.Sources, base.Raw = p.Model.Name(), p.Wants, p.Sources, p.Raw
	if len(p.Aggregates) > 0 {
		all := base.Aggregates
		base.Aggregates = maps.Clone(all)
		clear(base.Aggregates)
		for _, name := range p.Aggregates {
			if all[name] == nil {
				return base, fmt.Errorf("%w: projection %s reads the aggregate type %s, which is not registered", event.ErrConfig, base.Name, name)
			}
			base.Aggregates[name] = all[name]
		}
	}
	return base, nil
}
