package postgres_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/cqrsflow/cqrsflow/consumers/internal/pgtest"
	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/event"
)

func TestMigrateFromSeveralProcessesAtOnceAndAgain(t *testing.T) {
	url := pgtest.URL(t)
	var wg sync.WaitGroup
	for range 6 {
		wg.Go(func() {
			if err := postgres.Migrate(t.Context(), url, words{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if err := postgres.Migrate(t.Context(), url, words{}); err != nil {
		t.Fatal(err)
	}
	store, _ := connect(t, url, words{})
	if n := count(t, store, "SELECT count(*) FROM words_v1.migrations WHERE version_id > 0"); n != 1 {
		t.Errorf("the migration ran %d times", n)
	}
	if n := count(t, store, "SELECT active_version FROM cqrsflow.projections WHERE projection = 'words'"); n != 1 {
		t.Errorf("active version %d", n)
	}
}

func TestNextVersionIsFilledBesideAndSwitchedAtOnce(t *testing.T) {
	url := pgtest.URL(t)
	v1, v2 := words{}, words{version: 2}
	if err := postgres.Migrate(t.Context(), url, v1); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), url, v1, v2); err != nil {
		t.Fatal(err)
	}
	store, sink1 := connect(t, url, v1)
	sink2, err := store.Sink(v2)
	if err != nil {
		t.Fatal(err)
	}
	if err := session(t, sink1).Apply(t.Context(), batch(0, 5, ev("a", 1, "one"))); err != nil {
		t.Fatal(err)
	}
	b := batch(0, 5, ev("a", 1, "one"), ev("b", 1, "more"))
	if err := session(t, sink2).Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if n := count(t, store, "SELECT count(*) FROM words"); n != 1 {
		t.Errorf("readers see %d rows of version 1, want 1", n)
	}
	if err := store.Activate(t.Context(), v2); err != nil {
		t.Fatal(err)
	}
	if n := count(t, store, "SELECT count(*) FROM words"); n != 2 {
		t.Errorf("readers see %d rows of version 2, want 2", n)
	}
	if err := store.DropVersion(t.Context(), "words", 2); err == nil || !strings.Contains(err.Error(), "active") {
		t.Errorf("the active version was dropped: %v", err)
	}
	if err := store.DropVersion(t.Context(), "words", 1); err != nil {
		t.Fatal(err)
	}
	if n := count(t, store, "SELECT count(*) FROM cqrsflow.checkpoints WHERE version = 1"); n != 0 {
		t.Error("the dropped version's checkpoints are left")
	}
	if err := postgres.Migrate(t.Context(), url, v2); err != nil {
		t.Fatal(err)
	}
}

func TestResetEmptiesAProjection(t *testing.T) {
	store, sink := open(t, words{})
	if err := session(t, sink).Apply(t.Context(), batch(0, 5, ev("a", 1, "one"))); err != nil {
		t.Fatal(err)
	}
	if err := store.Reset(t.Context(), words{}); err != nil {
		t.Fatal(err)
	}
	if n := count(t, store, "SELECT count(*) FROM words") + count(t, store, "SELECT count(*) FROM cqrsflow.checkpoints"); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if n := count(t, store, "SELECT count(*) FROM words_v1.migrations WHERE version_id > 0"); n != 1 {
		t.Error("the record of migrations was emptied, too")
	}
	if err := session(t, sink).Apply(t.Context(), batch(0, 5, ev("a", 1, "one"))); err != nil {
		t.Fatal(err)
	}
}

func TestServerThatIsNotThereIsNamed(t *testing.T) {
	const url = "postgres://user:secret@127.0.0.1:1/shop"
	for _, err := range []error{
		postgres.Migrate(t.Context(), url),
		func() error { _, err := postgres.Open(t.Context(), postgres.Config{URL: url}); return err }(),
	} {
		if !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("%v is not unavailable", err)
		}
		if !strings.Contains(err.Error(), "127.0.0.1:1") || !strings.Contains(err.Error(), "CQRSFLOW_POSTGRES_URL") || strings.Contains(err.Error(), "secret") {
			t.Errorf("the message is %q", err)
		}
	}
	if _, err := postgres.Open(t.Context(), postgres.Config{URL: "postgres://user:secret@host:port/"}); !errors.Is(err, event.ErrConfig) || strings.Contains(err.Error(), "secret") {
		t.Errorf("a bad URL: %v", err)
	}
}
