package runner

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// nothing is a sink that keeps nothing.
type nothing struct{ at Checkpoint }

func (s *nothing) Open(context.Context, Partition) (Session, error) { return s, nil }
func (s *nothing) Checkpoint() (Checkpoint, bool)                   { return s.at, false }
func (s *nothing) Parked(context.Context) ([]Pointer, error)        { return nil, nil }
func (s *nothing) Apply(_ context.Context, b *Batch) error          { s.at = b.To; return nil }
func (s *nothing) Close() error                                     { return nil }

// What has been applied is let go of at once: a partition that waits holds no fetches in memory.
func TestAnIdleWorkerHoldsNoRecords(t *testing.T) {
	log := logtest.New(t, 1, "order")
	log.Append(t, "order", logtest.One("o-1", &orderv1.OrderPlaced{Customer: "c"}), logtest.One("o-2", &orderv1.OrderPlaced{Customer: "c"}))
	r, err := New(Config{Name: "idle", Client: log.Client(), Aggregates: logtest.Types(t, "order"), Sink: &nothing{}, Logger: slog.New(slog.DiscardHandler),
		RetryMin: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var w *worker
	logtest.Until(t, "both are applied", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, w = range r.mu.workers {
			w.mu.Lock()
			applied := w.mu.status.Applied
			w.mu.Unlock()
			return applied == 2
		}
		return false
	})
	cancel()
	if err := <-done; err != nil { // the worker's goroutine has ended: what it holds can be looked at
		t.Fatal(err)
	}
	if cap(w.recs) == 0 || cap(w.batch.Events) == 0 {
		t.Fatal("nothing was applied")
	}
	for _, rec := range w.recs[:cap(w.recs)] {
		if rec != nil {
			t.Error("it holds a record")
		}
	}
	for _, e := range w.batch.Events[:cap(w.batch.Events)] {
		if e.Body != nil || e.Data != nil {
			t.Error("it holds an event")
		}
	}
}
