package identity

import (
	"embed"
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
