package postgres_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cqrsflow/cqrsflow/consumers/postgres"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
)

func TestOperatorListsRetriesAndDrops(t *testing.T) {
	store, sink := open(t, words{})
	s := session(t, sink)
	now := time.Now()
	b := batch(0, 50)
	b.Park = []runner.Pointer{
		{Stream: "a", Offset: 3, Reason: "no", Attempts: 1, ParkedAt: now},
		{Stream: "a", Offset: 7, Reason: "behind", ParkedAt: now},
		{Stream: "b", Offset: 9, Reason: "no", Attempts: 1, ParkedAt: now},
	}
	if err := s.Apply(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	list := func(sel postgres.Selection) (out []int64) {
		t.Helper()
		parked, err := store.Parked(t.Context(), sel)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range parked {
			if p.Projection != "words" || p.Aggregate != "order" || p.Partition != 3 || p.Source != runner.Events {
				t.Errorf("%+v", p)
			}
			out = append(out, p.Offset)
		}
		return out
	}
	if diff := cmp.Diff([]int64{3, 7, 9}, list(postgres.Selection{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int64{9}, list(postgres.Selection{Projection: "words", Stream: "b"})); diff != "" {
		t.Error(diff)
	}
	if n, err := store.Retry(t.Context(), postgres.Selection{Projection: "words", Stream: "b"}); err != nil || n != 1 {
		t.Errorf("retry: %d, %v", n, err)
	}
	if n, err := store.Drop(t.Context(), postgres.Selection{Projection: "words", Aggregate: "order", Stream: "a"}); err != nil || n != 1 {
		t.Errorf("drop: %d, %v", n, err)
	}
	pointers, err := s.Parked(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	type mark struct {
		Offset         int64
		Retry, Dropped bool
	}
	var got []mark
	for _, p := range pointers {
		got = append(got, mark{p.Offset, p.Retry, p.Dropped})
	}
	// The event at fault is given up, and what waits behind it is tried again.
	if diff := cmp.Diff([]mark{{3, false, true}, {7, true, false}, {9, true, false}}, got); diff != "" {
		t.Error(diff)
	}
	if _, err := store.Drop(t.Context(), postgres.Selection{}); err == nil {
		t.Error("a drop of everything was taken")
	}
	drained := batch(50, 50)
	drained.Unpark = []int64{3, 7}
	if err := s.Apply(t.Context(), drained); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{9}, list(postgres.Selection{})); diff != "" {
		t.Error(diff)
	}
}
