package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
)

func TestChangesAndCheckpointCommitTogether(t *testing.T) {
	store, sink := open(t, words{})
	s := session(t, sink)
	if c, found := s.Checkpoint(); found {
		t.Fatalf("a new partition has the checkpoint %+v", c)
	}
	b := batch(0, 5, ev("a", 1, "one"), ev("b", 1, "uno"))
	if err := s.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), batch(5, 9, ev("a", 2, "two"))); err != nil {
		t.Fatal(err)
	}
	got, found := session(t, sink).Checkpoint()
	want := runner.Checkpoint{TopicID: [16]byte{7}, Next: 9, CommandOffset: 8}
	if diff := cmp.Diff(want, got); diff != "" || !found {
		t.Errorf("found %v: %s", found, diff)
	}
	if n := count(t, store, "SELECT count(*) FROM words"); n != 3 {
		t.Errorf("%d rows, want 3", n)
	}
}

func TestZombiesBatchFailsWhole(t *testing.T) {
	for _, first := range []bool{true, false} {
		store, sink := open(t, words{})
		at := int64(0)
		if !first {
			if err := session(t, sink).Apply(t.Context(), batch(0, 5, ev("z", 1, "zero"))); err != nil {
				t.Fatal(err)
			}
			at = 5
		}
		zombie, owner := session(t, sink), session(t, sink)
		if err := owner.Apply(t.Context(), batch(at, at+3, ev("a", 1, "one"))); err != nil {
			t.Fatal(err)
		}
		before := count(t, store, "SELECT count(*) FROM words")
		err := zombie.Apply(t.Context(), batch(at, at+2, ev("b", 1, "one")))
		if !errors.Is(err, event.ErrFenced) {
			t.Errorf("first batch %v: %v, want fenced", first, err)
		}
		if n := count(t, store, "SELECT count(*) FROM words"); n != before {
			t.Errorf("the zombie left %d rows", n-before)
		}
	}
}

func TestZombiesDrainFailsWhole(t *testing.T) {
	store, sink := open(t, words{})
	s := session(t, sink)
	b := batch(0, 5)
	b.Park = []runner.Pointer{{Stream: "a", Offset: 3, Reason: "bad\x00", Attempts: 1, ParkedAt: time.Now()}}
	if err := s.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	zombie := session(t, sink)
	drain := batch(5, 5, ev("a", 1, "one"))
	drain.Unpark = []int64{3}
	if err := s.Apply(t.Context(), drain); err != nil {
		t.Fatal(err)
	}
	again := batch(5, 5, ev("a", 2, "one"))
	again.Unpark = []int64{3}
	if err := zombie.Apply(t.Context(), again); !errors.Is(err, event.ErrFenced) {
		t.Errorf("%v, want fenced", err)
	}
	if n := count(t, store, "SELECT count(*) FROM words"); n != 1 {
		t.Errorf("%d rows, want 1", n)
	}
}

func TestPointersAreStoredWithTheBatch(t *testing.T) {
	_, sink := open(t, words{})
	s := session(t, sink)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b := batch(0, 5)
	b.Park = []runner.Pointer{
		{Stream: "a", Offset: 3, Reason: "no", Attempts: 1, ParkedAt: at},
		{Stream: "a", Offset: 4, Reason: "behind", ParkedAt: at, Retry: true},
	}
	if err := s.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	again := batch(5, 5)
	again.Park = []runner.Pointer{{Stream: "a", Offset: 3, Reason: "still no", Attempts: 2, ParkedAt: at}}
	again.Unpark = []int64{4}
	if err := s.Apply(t.Context(), again); err != nil {
		t.Fatal(err)
	}
	got, err := session(t, sink).Parked(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []runner.Pointer{{Stream: "a", Offset: 3, Reason: "still no", Attempts: 2, ParkedAt: at}}
	if diff := cmp.Diff(want, got, cmpopts.EquateApproxTime(0)); diff != "" {
		t.Error(diff)
	}
}

func TestRefusedDataIsFoundAndBlamed(t *testing.T) {
	for _, word := range []string{"bad", "panic", "refuse", "nul\x00"} {
		t.Run(strings.TrimRight(word, "\x00"), func(t *testing.T) {
			store, sink := open(t, words{})
			s := session(t, sink)
			b := batch(0, 50)
			for _, stream := range []string{"a", "b", "c", "d", "e"} {
				for v := range event.Version(4) {
					text := "fine"
					if stream == "d" && v == 2 {
						text = word
					}
					b.Events = append(b.Events, ev(stream, v+1, text))
				}
			}
			err := s.Apply(t.Context(), b)
			var p *runner.Poison
			if !errors.As(err, &p) {
				t.Fatalf("%v is no *Poison", err)
			}
			if p.Stream != "d" || p.Offset != 300+int64('d') {
				t.Errorf("blamed %s at %d", p.Stream, p.Offset)
			}
			if n := count(t, store, "SELECT count(*) FROM words"); n != 0 {
				t.Errorf("%d rows were left behind", n)
			}
			if n := count(t, store, "SELECT count(*) FROM cqrsflow.checkpoints"); n != 0 {
				t.Error("the checkpoint moved")
			}
		})
	}
}

func TestCollisionsRunTheWholeBatchAgain(t *testing.T) {
	var attempts atomic.Int32
	m := words{before: func(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
		switch attempts.Add(1) {
		case 1:
			return &pgconn.PgError{Code: "40P01"}
		case 2:
			return &pgconn.PgError{Code: "40001"}
		}
		return nil
	}}
	store, sink := open(t, m)
	if err := session(t, sink).Apply(t.Context(), batch(0, 5, ev("a", 1, "one"))); err != nil {
		t.Fatal(err)
	}
	if attempts.Load() != 3 || count(t, store, "SELECT count(*) FROM words") != 1 {
		t.Errorf("%d attempts", attempts.Load())
	}
}

func TestServerTroubleIsUnavailableNotPoison(t *testing.T) {
	for _, code := range []string{"53100", "57P01", "08006", "55P03", "25006"} {
		m := words{before: func(context.Context, pgx.Tx, *runner.Batch) error { return &pgconn.PgError{Code: code} }}
		_, sink := open(t, m)
		err := session(t, sink).Apply(t.Context(), batch(0, 5, ev("a", 1, "one")))
		if !errors.Is(err, event.ErrUnavailable) {
			t.Errorf("%s: %v", code, err)
		}
	}
	m := words{before: func(context.Context, pgx.Tx, *runner.Batch) error { return &pgconn.PgError{Code: "42P01"} }}
	_, sink := open(t, m)
	err := session(t, sink).Apply(t.Context(), batch(0, 5, ev("a", 1, "one")))
	var p *runner.Poison
	if err == nil || errors.As(err, &p) {
		t.Errorf("a missing table: %v; it must neither pass nor park", err)
	}
}

func TestConnectionKilledInTheMiddleIsUnavailable(t *testing.T) {
	var once atomic.Bool
	m := words{before: func(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
		if !once.Swap(true) {
			_, _ = tx.Exec(ctx, "SELECT pg_terminate_backend(pg_backend_pid())")
		}
		return nil
	}}
	store, sink := open(t, m)
	s := session(t, sink)
	b := batch(0, 5, ev("a", 1, "one"))
	if err := s.Apply(t.Context(), b); !errors.Is(err, event.ErrUnavailable) {
		t.Fatalf("%v, want unavailable", err)
	}
	if err := s.Apply(t.Context(), b); err != nil {
		t.Fatalf("the second attempt: %v", err)
	}
	if n := count(t, store, "SELECT count(*) FROM words"); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func TestAbandonedBatchEndsWithItsContext(t *testing.T) {
	entered := make(chan struct{})
	m := words{before: func(ctx context.Context, tx pgx.Tx, b *runner.Batch) error {
		close(entered)
		_, err := tx.Exec(ctx, "SELECT pg_sleep(60)")
		return err
	}}
	store, sink := open(t, m)
	s := session(t, sink)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Apply(ctx, batch(0, 5, ev("a", 1, "one"))) }()
	<-entered
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if n := count(t, store, "SELECT count(*) FROM cqrsflow.checkpoints"); n != 0 {
		t.Error("an abandoned batch moved the checkpoint")
	}
}

func TestReadersAreToldAfterTheCommit(t *testing.T) {
	store, sink := open(t, words{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- store.Run(ctx) }()
	conn, err := store.Pool().Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	if _, err := conn.Exec(t.Context(), "LISTEN "+postgres.Channel); err != nil {
		t.Fatal(err)
	}
	s := session(t, sink)
	for i := range int64(3) {
		if err := s.Apply(t.Context(), batch(i, i+1, ev("a", event.Version(i+1), "one"))); err != nil {
			t.Fatal(err)
		}
		wait, stop := context.WithTimeout(t.Context(), 10*time.Second)
		n, err := conn.Conn().WaitForNotification(wait)
		stop()
		if err != nil {
			t.Fatal(err)
		}
		if n.Payload != "words" {
			t.Errorf("payload %q", n.Payload)
		}
		if got := count(t, store, "SELECT next_offset FROM cqrsflow.checkpoints"); int64(got) <= i {
			t.Errorf("told before the commit: %d", got)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
