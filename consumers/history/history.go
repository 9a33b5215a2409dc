package history

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

//go:embed migrations/*.sql
var migrations embed.FS

// Model is the read model history.
type Model struct{}

var _ postgres.Healable = Model{}

// Projection is history with what it reads: everything.
func Projection() postgres.Projection {
	return postgres.Projection{Model: Model{}, Sources: []runner.Source{runner.Events, runner.Outcomes}, Raw: true}
}

// Name is "history".
func (Model) Name() string { return "history" }

// Shape is 1.
func (Model) Shape() int { return 1 }

// Migrations make the tables.
func (Model) Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is a constant
	}
	return sub
}

// Views are history_events and history_outcomes.
func (Model) Views() map[string]string {
	return map[string]string{"history_events": "events", "history_outcomes": "outcomes"}
}

// Forget removes the events of streams; outcomes stay.
func (Model) Forget(ctx context.Context, tx pgx.Tx, aggregate string, streams []string) error {
	if _, err := tx.Exec(ctx, `DELETE FROM events WHERE aggregate = $1 AND stream = ANY($2)`, aggregate, streams); err != nil {
		return fmt.Errorf("forget history: %w", err)
	}
	return nil
}

// Apply appends the batch.
func (Model) Apply(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	if err := contiguous(b); err != nil {
		return err
	}
	if len(b.Events) > 0 {
		if err := appendRows(ctx, tx, "events", eventColumns, len(b.Events), func(i int, row []any) error {
			eventRow(&b.Events[i].Envelope, row)
			return nil
		}); err != nil {
			return err
		}
	}
	if len(b.Outcomes) > 0 {
		return appendRows(ctx, tx, "outcomes", outcomeColumns, len(b.Outcomes), func(i int, row []any) error {
			return outcomeRow(&b.Outcomes[i], row)
		})
	}
	return nil
}

// contiguous checks the versions that follow each other within the batch; across batches the log's
// order and the primary key do.
func contiguous(b *runner.Batch) error {
	last := make(map[event.StreamID]event.Version, len(b.Events))
	for i := range b.Events {
		e := &b.Events[i]
		if v, ok := last[e.Stream]; ok && e.Version != v+1 && !b.Gaps[e.Stream] {
			return fmt.Errorf("%w: %s/%s has version %d at offset %d, after %d", event.ErrCorrupt, e.Aggregate, e.Stream, e.Version, e.Offset, v)
		}
		last[e.Stream] = e.Version
	}
	return nil
}

func appendRows(ctx context.Context, tx pgx.Tx, table string, columns []string, n int, fill func(int, []any) error) error {
	row := make([]any, len(columns))
	at := 0
	_, err := tx.CopyFrom(ctx, pgx.Identifier{table}, columns,
		pgx.CopyFromFunc(func() ([]any, error) {
			if at == n {
				return nil, nil
			}
			at++
			return row, fill(at-1, row)
		}))
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "23505" { // unique_violation
		return fmt.Errorf("%w: append to history %s: the log repeats what is there: %w", event.ErrCorrupt, table, err)
	}
	if err != nil {
		return fmt.Errorf("append to history %s: %w", table, err)
	}
	return nil
}

var eventColumns = []string{"aggregate", "stream", "version", "type", "time", "recorded_time", "content_type", "data", "causation_id",
	"correlation_id", "traceparent", "principal", "command_offset", "last_of_command", "partition", "event_offset"}

func eventRow(e *event.Envelope, row []any) {
	data := e.Data
	if data == nil {
		data = []byte{}
	}
	row[0], row[1], row[2], row[3] = e.Aggregate, string(e.Stream), int64(e.Version), postgres.Text(e.Type)
	row[4], row[5], row[6], row[7] = e.Time, e.RecordedTime, postgres.Text(e.ContentType), data
	row[8], row[9], row[10], row[11] = text(e.CausationID), text(e.CorrelationID), text(e.TraceParent), text(e.Principal)
	row[12], row[13], row[14], row[15] = e.CommandOffset, e.LastOfCommand, e.Partition, e.Offset
}

var outcomeColumns = []string{"aggregate", "stream", "command_id", "kind", "code", "message", "fields", "version", "events", "position",
	"replayed", "correlation_id", "principal", "recorded_time", "partition", "command_offset", "outcome_offset", "digest"}

func outcomeRow(o *event.Outcome, row []any) error {
	type ref struct {
		Type     string        `json:"type"`
		Sequence event.Version `json:"sequence"`
	}
	var fields, events any
	if len(o.Fields) > 0 {
		clean := make([]event.FieldError, len(o.Fields))
		for i, f := range o.Fields {
			clean[i] = event.FieldError{Field: postgres.Text(f.Field), Message: postgres.Text(f.Message)}
		}
		text, err := json.Marshal(clean)
		if err != nil {
			return fmt.Errorf("field errors of command %s: %w", o.CommandID, err)
		}
		fields = text
	}
	if len(o.Events) > 0 {
		refs := make([]ref, len(o.Events))
		for i, r := range o.Events {
			refs[i] = ref{Type: postgres.Text(r.Type), Sequence: r.Version}
		}
		text, err := json.Marshal(refs)
		if err != nil {
			return fmt.Errorf("events of command %s: %w", o.CommandID, err)
		}
		events = text
	}
	row[0], row[1], row[2], row[3] = o.Aggregate, postgres.Text(string(o.Stream)), postgres.Text(o.CommandID), int16(o.Kind)
	row[4], row[5], row[6], row[7], row[8] = text(o.Code), text(o.Message), fields, int64(o.Version), events
	row[9], row[10], row[11], row[12] = text(o.Position.String()), o.Replayed, text(o.CorrelationID), text(o.Principal)
	row[13], row[14], row[15], row[16], row[17] = o.RecordedTime, o.Partition, o.CommandOffset, o.Offset, o.Digest
	return nil
}

// text is null for the empty string.
func text(s string) any {
	if s == "" {
		return nil
	}
	return postgres.Text(s)
}
