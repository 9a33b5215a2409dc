package runner_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

const p0 = "order.events/0"

func streamsAndAttempts(pointers []runner.Pointer) (out []string) {
	for _, p := range pointers {
		out = append(out, string(p.Stream)+":"+string(rune('0'+p.Attempts)))
	}
	return out
}

func TestPoisonParksItsStreamOnly(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	log.Append(t, "order", placed("bad"), placed("good"), garbage("bad"), paid("good"), shipped("bad"))
	r, stop := start(t, config(t, log, sink))
	ready(t, r)
	log.Append(t, "order", logtest.One("bad", &orderv1.OrderDelivered{}), shipped("good"))
	logtest.Until(t, "the rest flows on", func() bool { return len(sink.versions("good")) == 3 })
	if diff := cmp.Diff([]event.Version{1}, sink.versions("bad")); diff != "" {
		t.Errorf("the parked stream: %s", diff)
	}
	pointers := sink.pointers(p0)
	if diff := cmp.Diff([]string{"bad:1", "bad:0", "bad:0"}, streamsAndAttempts(pointers)); diff != "" {
		t.Errorf("pointers: %s", diff)
	}
	if !strings.Contains(pointers[0].Reason, "undecodable") || !strings.Contains(pointers[1].Reason, "behind") {
		t.Errorf("reasons %q, %q", pointers[0].Reason, pointers[1].Reason)
	}
	if n := r.Status().Partitions[0].Parked; n != 1 {
		t.Errorf("%d streams parked, want 1", n)
	}
	if ok, why := r.Ready(); !ok {
		t.Errorf("a parked stream makes the projection not ready: %s", why)
	}

	// It stays parked over a restart, and what comes later joins it.
	stop()
	r, _ = start(t, config(t, log, sink))
	ready(t, r)
	log.Append(t, "order", paid("bad"), paid("good"))
	logtest.Until(t, "the rest flows on", func() bool { return len(sink.versions("good")) == 4 })
	if n := len(sink.pointers(p0)); n != 4 {
		t.Errorf("%d pointers, want 4", n)
	}
}

func TestRetryDrainsInOrderBetweenBatches(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	var broken atomic.Bool
	broken.Store(true)
	sink.before = func(_ context.Context, b *runner.Batch) error {
		for _, e := range b.Events {
			if e.Stream == "bad" && e.Version == 2 && broken.Load() {
				return &runner.Poison{Offset: e.Offset, Stream: e.Stream, Err: errors.New("refused")}
			}
		}
		return nil
	}
	log.Append(t, "order", placed("bad"), placed("good"), paid("bad"), shipped("bad"))
	r, _ := start(t, config(t, log, sink))
	ready(t, r)
	log.Append(t, "order", logtest.One("bad", &orderv1.OrderDelivered{}), paid("good"))
	logtest.Until(t, "the rest flows on", func() bool { return len(sink.versions("good")) == 2 })
	retry := func() {
		sink.edit(p0, func(s *stored) {
			for o, p := range s.pointers {
				p.Retry = true
				s.pointers[o] = p
			}
		})
	}

	// Still broken: one attempt a mark, and it stays parked.
	retry()
	logtest.Until(t, "the attempt is counted", func() bool { return sink.pointers(p0)[0].Attempts == 2 })
	pointers := sink.pointers(p0)
	if diff := cmp.Diff([]string{"bad:2", "bad:0", "bad:0"}, streamsAndAttempts(pointers)); diff != "" {
		t.Errorf("pointers: %s", diff)
	}
	if slices.ContainsFunc(pointers, func(p runner.Pointer) bool { return p.Retry }) {
		t.Errorf("a mark is left: %+v", pointers)
	}

	broken.Store(false)
	retry()
	logtest.Until(t, "the stream is drained", func() bool { return len(sink.versions("bad")) == 4 })
	if diff := cmp.Diff([]event.Version{1, 2, 3, 4}, sink.versions("bad")); diff != "" {
		t.Errorf("the drained stream: %s", diff)
	}
	log.Append(t, "order", paid("bad"))
	logtest.Until(t, "the stream flows again", func() bool { return len(sink.versions("bad")) == 5 })
	if n := len(sink.pointers(p0)); n != 0 {
		t.Errorf("%d pointers are left", n)
	}
}

func TestDroppedEventLeavesOneGap(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	log.Append(t, "order", placed("bad"), garbage("bad"), shipped("bad"))
	r, _ := start(t, config(t, log, sink))
	ready(t, r)
	sink.edit(p0, func(s *stored) {
		for o, p := range s.pointers {
			p.Dropped, p.Retry = p.Attempts == 1, p.Attempts == 0
			s.pointers[o] = p
		}
	})
	logtest.Until(t, "the successor is drained over the gap", func() bool { return len(sink.versions("bad")) == 2 })
	if diff := cmp.Diff([]event.Version{1, 3}, sink.versions("bad")); diff != "" {
		t.Errorf("the stream: %s", diff)
	}
	if n := len(sink.pointers(p0)); n != 0 {
		t.Errorf("%d pointers are left", n)
	}
}

// What was parked behind an event while an operator dropped that has no mark; it must not stay behind nothing.
func TestParkedWhileItsHeadWasDropped(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	log.Append(t, "order", placed("bad"), garbage("bad"), shipped("bad"))
	r, _ := start(t, config(t, log, sink))
	ready(t, r)
	sink.edit(p0, func(s *stored) {
		for o, p := range s.pointers {
			p.Dropped = p.Attempts == 1
			s.pointers[o] = p
		}
	})
	logtest.Until(t, "the successor is drained over the gap", func() bool { return len(sink.versions("bad")) == 2 })
	if n := len(sink.pointers(p0)); n != 0 {
		t.Errorf("%d pointers are left", n)
	}
}

func TestDropOfTheLastEventLeavesTheGapToTheNext(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	log.Append(t, "order", placed("bad"), garbage("bad"))
	r, stop := start(t, config(t, log, sink))
	ready(t, r)
	sink.edit(p0, func(s *stored) {
		for o, p := range s.pointers {
			p.Dropped = true
			s.pointers[o] = p
		}
	})
	logtest.Until(t, "the stream is no longer parked", func() bool { return r.Status().Partitions[0].Parked == 0 })
	stop() // the gap is remembered
	r, _ = start(t, config(t, log, sink))
	ready(t, r)
	log.Append(t, "order", shipped("bad"), logtest.One("bad", &orderv1.OrderDelivered{}))
	logtest.Until(t, "the stream flows", func() bool { return len(sink.versions("bad")) == 3 })
	if diff := cmp.Diff([]event.Version{1, 3, 4}, sink.versions("bad")); diff != "" {
		t.Errorf("the stream: %s", diff)
	}
	if n := len(sink.pointers(p0)); n != 0 {
		t.Errorf("%d pointers are left", n)
	}
}

func TestManyParkedEventsDrainInSeveralBatches(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	var broken atomic.Bool
	broken.Store(true)
	sink.before = func(_ context.Context, b *runner.Batch) error {
		if len(b.Events) > 500 && b.From == b.To {
			t.Errorf("a drain of %d events", len(b.Events))
		}
		for _, e := range b.Events {
			if e.Stream == "bad" && broken.Load() {
				return &runner.Poison{Offset: e.Offset, Stream: e.Stream, Err: errors.New("refused")}
			}
		}
		return nil
	}
	commands := []logtest.Command{placed("bad")}
	for range 3000 { // so that the pointers lie far apart in the log
		commands = append(commands, paid("bad"), paid("good"))
	}
	log.Append(t, "order", commands...)
	r, _ := start(t, config(t, log, sink))
	ready(t, r)
	if n := len(sink.pointers(p0)); n != 3001 {
		t.Fatalf("%d pointers, want 3001", n)
	}
	broken.Store(false)
	sink.edit(p0, func(s *stored) {
		for o, p := range s.pointers {
			if p.Attempts == 1 { // only the one that was refused is marked
				p.Retry = true
				s.pointers[o] = p
			}
		}
	})
	logtest.Until(t, "the stream is drained", func() bool { return len(sink.versions("bad")) == 3001 })
	versions := sink.versions("bad")
	if !slices.IsSorted(versions) {
		t.Error("the drained events are out of order")
	}
}
