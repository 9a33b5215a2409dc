package postgres_test

import (
	"context"
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5"

	"github.com/cqrsflow/cqrsflow/consumers/internal/pgtest"
	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// words is a read model that collects the bodies of streams: a text column that refuses "bad".
type words struct {
	shape  int
	before func(ctx context.Context, tx pgx.Tx, b *runner.Batch) error
}

func (w words) Name() string { return "words" }

func (w words) Shape() int { return max(1, w.shape) }

func (w words) Migrations() fs.FS {
	return fstest.MapFS{"00001_words.sql": {Data: []byte(`-- +goose Up
CREATE TABLE words (stream text, version bigint, word text NOT NULL CHECK (word <> 'bad'), PRIMARY KEY (stream, version));
`)}}
}

func (w words) Views() map[string]string { return map[string]string{"words": "words"} }

func (w words) Forget(ctx context.Context, tx pgx.Tx, _ string, streams []string) error {
	_, err := tx.Exec(ctx, `DELETE FROM words WHERE stream = ANY($1)`, streams)
	return err
}

func (w words) Apply(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
	if w.before != nil {
		if err := w.before(ctx, tx, b); err != nil {
			return err
		}
	}
	for _, e := range b.Events {
		switch string(e.Data) {
		case "panic":
			panic("an event that the read model did not think of")
		case "refuse":
			return &runner.Poison{Offset: e.Offset, Stream: e.Stream, Err: errors.New("refused")}
		}
		if _, err := tx.Exec(ctx, `INSERT INTO words VALUES ($1, $2, $3)`, string(e.Stream), int64(e.Version), string(e.Data)); err != nil {
			return err
		}
	}
	return nil
}

// open makes a database with the model and its sink.
func open(t *testing.T, m words) (*postgres.Store, *postgres.Sink) {
	t.Helper()
	url := pgtest.URL(t)
	if err := postgres.Migrate(t.Context(), url, m); err != nil {
		t.Fatal(err)
	}
	return connect(t, url, m)
}

func connect(t *testing.T, url string, m words) (*postgres.Store, *postgres.Sink) {
	t.Helper()
	store, err := postgres.Open(t.Context(), postgres.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	sink, err := store.Sink(m, 1)
	if err != nil {
		t.Fatal(err)
	}
	return store, sink
}

var partition = runner.Partition{Aggregate: "order", Source: runner.Events, Topic: "cqrsflow.order.events", TopicID: [16]byte{7}, Number: 3}

func session(t *testing.T, sink *postgres.Sink) runner.Session {
	t.Helper()
	s, err := sink.Open(t.Context(), partition)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// ev is an event; its offset is 10 times its version plus the stream's first letter.
func ev(stream string, version event.Version, word string) event.Recorded {
	return event.Recorded{Envelope: event.Envelope{Aggregate: "order", Stream: event.StreamID(stream), Version: version,
		Offset: int64(version)*100 + int64(stream[0]), Data: []byte(word)}}
}

// batch goes from one offset to another.
func batch(from, to int64, events ...event.Recorded) *runner.Batch {
	at := func(next int64) runner.Checkpoint {
		return runner.Checkpoint{TopicID: partition.TopicID, Next: next, CommandOffset: next - 1}
	}
	b := &runner.Batch{Partition: partition, From: at(from), To: at(to), Events: events}
	return b
}

func count(t *testing.T, store *postgres.Store, sql string, args ...any) (n int) {
	t.Helper()
	if err := store.Pool().QueryRow(t.Context(), sql, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
