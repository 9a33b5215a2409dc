// Package experiments is the read model of experiments on live traffic: what they are, which units were seen in which variant,
// and what was measured of each. It needs no plan to measure: an event says in its assignment which experiment, variant and unit it
// belongs to, and every number in it is added up for that unit. Which of them a plan looks at is asked when results are read. So
// it does not matter in which order partitions are read, and a rebuild gives the same.
package experiments

import (
	"context"
	"embed"
	"io/fs"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

//go:embed migrations
var migrations embed.FS

// Name is the projection's.
const Name = "experiments"

// Aggregate is the type whose events say what the experiments are.
const Aggregate = "experiment"

// Model is the read model experiments. Units and what was measured of them have no version: that an event counts once is the
// checkpoint's doing, and where they are wrong, only a rebuild puts them right.
type Model struct {
	// Type is the aggregate type of experiments: states are folded with it. Where its Evolve changes, Shape is to be raised.
	Type *decider.Type
}

var _ postgres.ReadModel = Model{}

// Projection reads the experiments of that type, and what the variants of the other aggregate types have decided.
func Projection(experiment *decider.Type, others ...string) postgres.Projection {
	return postgres.Projection{Model: Model{Type: experiment}, Aggregates: append([]string{Aggregate}, others...)}
}

// Name is "experiments".
func (Model) Name() string { return Name }

// Shape is 1.
func (Model) Shape() int { return 1 }

// Migrations make the tables.
func (Model) Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations/experiments_v1")
	if err != nil {
		panic(err) // the name is a constant of this package
	}
	return sub
}

// Views are the tables.
func (Model) Views() map[string]string {
	return map[string]string{"experiments": "experiments", "experiment_plans": "experiment_plans",
		"experiment_units": "experiment_units", "experiment_measures": "experiment_measures"}
}

// Apply folds the experiments of the batch, and adds up what its events say of units.
func (m Model) Apply(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	sums := newSums(b.Partition)
	if b.Partition.Aggregate == Aggregate {
		if err := m.fold(ctx, tx, b, sums); err != nil {
			return err
		}
	}
	for i := range b.Events {
		e := &b.Events[i]
		if a, ok := event.ParseAssignment(e.Variant); ok {
			sums.event(a, e)
		}
	}
	return sums.store(ctx, tx)
}
