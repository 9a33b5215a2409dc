package identity

import (
	"embed"
	"fmt"
	"io/fs"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

//go:embed migrations
var migrations embed.FS

func files(schema string) fs.FS {
	sub, err := fs.Sub(migrations, "migrations/"+schema)
	if err != nil {
		panic(err) // the name is a constant of this package
	}
	return sub
}

// Projections are the current versions of the read models of users.
func Projections() []postgres.Projection {
	return []postgres.Projection{
		{Model: Users{}, Aggregates: []string{"user"}},
		{Model: Sessions{}, Aggregates: []string{"session"}},
		{Model: Claims{}, Aggregates: []string{"emailclaim"}},
	}
}

// refuse is what Apply returns for an event that cannot be projected.
func refuse(e *event.Recorded, err error) error {
	return &runner.Poison{Offset: e.Offset, Stream: e.Stream, Err: err}
}

// follows says whether an event comes next after the version that is stored: false where it has been applied before. A gap is
// event.ErrCorrupt, unless an operator left it.
func follows(b *runner.Batch, e *event.Recorded, stored event.Version) (bool, error) {
	switch {
	case e.Version <= stored:
		return false, nil
	case e.Version != stored+1 && !b.Gaps[e.Stream]:
		return false, fmt.Errorf("%w: %s/%s has version %d at offset %d, after %d", event.ErrCorrupt, e.Aggregate, e.Stream, e.Version, e.Offset, stored)
	}
	return true, nil
}

// at is the time that an event's body says, or else when it was recorded.
func at(t *timestamppb.Timestamp, e *event.Recorded) time.Time {
	if t == nil {
		return e.RecordedTime.UTC()
	}
	return t.AsTime()
}

// ids are the streams of a batch, each once.
func ids(b *runner.Batch) []string {
	seen := make(map[event.StreamID]bool, len(b.Events))
	out := make([]string, 0, len(b.Events))
	for i := range b.Events {
		if id := b.Events[i].Stream; !seen[id] {
			seen[id] = true
			out = append(out, string(id))
		}
	}
	return out
}
