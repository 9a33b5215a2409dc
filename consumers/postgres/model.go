package postgres

import (
	"context"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

// ReadModel is how a read model's tables are made, and how events change them. Each of its versions, see
// package rebuild, has a schema of its own, which is the search path wherever the model is at work. It is
// safe for concurrent use; batches of different partitions are applied at the same time.
type ReadModel interface {
	// Name is the projection's name, such as "orders".
	Name() string
	// Shape numbers, from 1, what the tables are and what events make of them. Raise it when that changes:
	// a new version is built, with this program's shape, before readers see it.
	Shape() int
	// Migrations are numbered SQL files in goose's format, for the tables.
	Migrations() fs.FS
	// Views are what readers see in the schema public of the active version: the name of each view and
	// the table or view of the model that it shows.
	Views() map[string]string
	// Apply changes the tables, named without a schema. Everything runs in tx, which Apply neither
	// commits nor rolls back. Events at or below the version of what is stored have been applied before
	// and must change nothing. To refuse an event, return a *runner.Poison. Errors of the server are
	// sorted out by the caller; where one is about data, or Apply panics, the caller finds the event by
	// halving the batch, so Apply is called again with parts of it.
	Apply(ctx context.Context, tx pgx.Tx, b *runner.Batch) error
}

// Healable is a ReadModel that can tell what it has of a stream from what it has of others.
type Healable interface {
	ReadModel
	// Forget removes everything of the streams, as if none of their events had been applied.
	Forget(ctx context.Context, tx pgx.Tx, aggregate string, streams []string) error
}

// SchemaOf names the schema of a version of a read model, such as "orders_v1".
func SchemaOf(name string, version int) string { return fmt.Sprintf("%s_v%d", name, version) }

var identifier = regexp.MustCompile(`^[a-z][a-z0-9_]{0,40}$`)

func checkModel(m ReadModel) error {
	switch {
	case m == nil:
		return fmt.Errorf("%w: the read model is nil", event.ErrConfig)
	case !identifier.MatchString(m.Name()):
		return fmt.Errorf("%w: read model name %q must be lower case letters, digits and underscores", event.ErrConfig, m.Name())
	case m.Shape() < 1:
		return fmt.Errorf("%w: read model %s: shape is %d; it must be 1 or more", event.ErrConfig, m.Name(), m.Shape())
	}
	for view, table := range m.Views() {
		if !identifier.MatchString(view) || !identifier.MatchString(table) {
			return fmt.Errorf("%w: read model %s: view %q of %q must be lower case letters, digits and underscores", event.ErrConfig, m.Name(), view, table)
		}
	}
	return nil
}

// quote quotes an identifier.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
