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

// Runner makes the runner of a projection. base says what all projections share: Prefix, Client,
// Aggregates (those that the projection does not read are left out), bounds, Logger, OnBatch.
func (s *Store) Runner(p Projection, base runner.Config) (*runner.Runner, error) {
	sink, err := s.Sink(p.Model)
	if err != nil {
		return nil, err
	}
	base.Name, base.Version, base.Sink = p.Model.Name(), p.Model.Version(), sink
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
