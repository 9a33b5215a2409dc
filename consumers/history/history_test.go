package history_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/history"
	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/internal/pgtest"
	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func migrated(t *testing.T) *postgres.Store {
	t.Helper()
	url := pgtest.URL(t)
	if err := postgres.Migrate(t.Context(), url, postgres.Models(history.Projection())...); err != nil {
		t.Fatal(err)
	}
	store, err := postgres.Open(t.Context(), postgres.Config{URL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

func project(t *testing.T, log *logtest.Log, store *postgres.Store) {
	t.Helper()
	r, err := store.Runner(history.Projection(), 1, runner.Config{Client: log.Client(), Aggregates: logtest.Types(t, "order", "customer"),
		Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	logtest.Until(t, "history is ready", func() bool { ok, _ := r.Ready(); return ok })
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func count(t *testing.T, store *postgres.Store, sql string) (n int) {
	t.Helper()
	if err := store.Pool().QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEventsAndOutcomesAreKeptAsTheyAre(t *testing.T) {
	log := logtest.New(t, 2, "order", "customer")
	store := migrated(t)
	one := logtest.One("o-1", &orderv1.OrderPlaced{Customer: "c-1"}, &orderv1.OrderShipped{})
	one.Outcome, one.At = "cmd-1", time.Date(1997, 1, 2, 0, 0, 0, 0, time.UTC)
	unheard := logtest.Raw("o-1", "order.v9.Unheard", []byte{0, 1, 0xff})
	unheard.Outcome = "cmd-2"
	want := log.Append(t, "order", one, unheard)
	log.Append(t, "customer", logtest.Raw("c-1", "customer.v1.PurchaseRecorded", nil))
	project(t, log, store)
	project(t, log, store) // again, from its checkpoints: nothing more

	r, _ := store.Pool().Query(t.Context(), `SELECT aggregate, stream, version, type, time, recorded_time, content_type, data, coalesce(causation_id, ''),
		command_offset, last_of_command, partition, event_offset FROM history_events WHERE aggregate = 'order' ORDER BY version`)
	got, err := pgx.CollectRows(r, func(row pgx.CollectableRow) (event.Envelope, error) {
		var e event.Envelope
		err := row.Scan(&e.Aggregate, &e.Stream, &e.Version, &e.Type, &e.Time, &e.RecordedTime, &e.ContentType, &e.Data, &e.CausationID,
			&e.CommandOffset, &e.LastOfCommand, &e.Partition, &e.Offset)
		e.Time, e.RecordedTime = e.Time.UTC(), e.RecordedTime.UTC()
		return e, err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if want[i].Data == nil {
			want[i].Data = []byte{}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if n := count(t, store, "SELECT count(*) FROM history_events WHERE aggregate = 'customer' AND length(data) = 0"); n != 1 {
		t.Errorf("%d events of customers", n)
	}
	if n := count(t, store, `SELECT count(*) FROM history_outcomes WHERE stream = 'o-1' AND command_id = 'cmd-1' AND kind = 1 AND version = 2
		AND events = '[{"type": "order.v1.OrderPlaced", "sequence": 1}, {"type": "order.v1.OrderShipped", "sequence": 2}]'
		AND fields IS NULL AND code IS NULL AND position LIKE 'order/%@0' AND digest = '\x010203' AND NOT replayed`); n != 1 {
		t.Errorf("the outcome is not as it was written: %d", n)
	}
	if n := count(t, store, "SELECT count(*) FROM history_outcomes"); n != 2 {
		t.Errorf("%d outcomes, want 2", n)
	}
	if n := count(t, store, "SELECT count(DISTINCT source) FROM cqrsflow.checkpoints WHERE projection = 'history'"); n != 2 {
		t.Errorf("checkpoints of %d sources, want 2", n)
	}
}

func TestALogThatRepeatsOrSkipsIsCorrupt(t *testing.T) {
	store := migrated(t)
	sink, err := store.Sink(history.Model{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	part := runner.Partition{Aggregate: "order", Source: runner.Events}
	s, err := sink.Open(t.Context(), part)
	if err != nil {
		t.Fatal(err)
	}
	batch := func(from int64, versions ...event.Version) *runner.Batch {
		b := &runner.Batch{Partition: part, From: runner.Checkpoint{Next: from}, To: runner.Checkpoint{Next: from + 1}}
		for _, v := range versions {
			b.Events = append(b.Events, event.Recorded{Envelope: event.Envelope{Aggregate: "order", Stream: "o", Version: v, Type: "t",
				Time: logtest.Epoch, RecordedTime: logtest.Epoch}})
		}
		return b
	}
	if err := s.Apply(t.Context(), batch(0, 1, 2)); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), batch(1, 2)); !errors.Is(err, event.ErrCorrupt) {
		t.Errorf("a repeated version: %v", err)
	}
	if err := s.Apply(t.Context(), batch(1, 3, 5)); !errors.Is(err, event.ErrCorrupt) {
		t.Errorf("a version left out: %v", err)
	}
	if err := s.Apply(t.Context(), batch(1, 3)); err != nil {
		t.Errorf("the next version: %v", err)
	}
}

func TestForeignBytesInHeadersAreMadeFitForText(t *testing.T) {
	store := migrated(t)
	sink, err := store.Sink(history.Model{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	part := runner.Partition{Aggregate: "order", Source: runner.Outcomes}
	s, err := sink.Open(t.Context(), part)
	if err != nil {
		t.Fatal(err)
	}
	b := &runner.Batch{Partition: part, To: runner.Checkpoint{Next: 1}, Outcomes: []event.Outcome{{Aggregate: "order", Stream: "o",
		CommandID: "c", Kind: event.Invalid, Code: "invalid_command", Message: "a\x00b\xff", CorrelationID: "\xff\x00", RecordedTime: logtest.Epoch,
		Fields: []event.FieldError{{Field: "notes", Message: "\x00"}}}}}
	if err := s.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if n := count(t, store, `SELECT count(*) FROM history_outcomes WHERE message = 'a�b�' AND fields->0->>'message' = '�'`); n != 1 {
		t.Errorf("%d rows", n)
	}
}
