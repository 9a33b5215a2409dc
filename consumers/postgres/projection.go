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
// of the versions that it finds, Versions.Prepare those of one that came later. base is as for Projection.Runner.
func (s *Store) Runner(p Projection, version int, base runner.Config) (*runner.Runner, error) {
	sink, err := s.Sink(p.Model, version)
	if err != nil {
		return nil, err
	}
	return p.Runner(version, sink, base)
}

// Runner makes the runner of a version of the projection. base says what all projections share: Prefix,
// Client, Aggregates (those that the projection does not read are left out), bounds, Logger, OnBatch.
func (p Projection) Runner(version int, sink runner.Sink, base runner.Config) (*runner.Runner, error) {
	base.Name, base.Version, base.Sink = p.Model.Name(), version, sink
	base.Wants, base.Sources, base.Raw = p.Wants, p.Sources, p.Raw
	if len(p.Aggregates) > 0 {
		all := base.Aggregates
		base.Aggregates = maps.Clone(all)
		clear(base.Aggregates)
		for _, name := range p.Aggregates {
			if all[name] == nil {
				return nil, fmt.Errorf("%w: projection %s reads the aggregate type %s, which is not registered", event.ErrConfig, base.Name, name)
			}
			base.Aggregates[name] = all[name]
		}
	}
	return runner.New(base)
}
