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

func TestResetEmptiesAProjection(t *testing.T) {
	store, sink := open(t, words{})
	if err := session(t, sink).Apply(t.Context(), batch(0, 5, ev("a", 1, "one"))); err != nil {
		t.Fatal(err)
	}
	if err := store.Reset(t.Context(), words{}, 1); err != nil {
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
