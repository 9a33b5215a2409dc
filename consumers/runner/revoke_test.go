package runner_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
)

func TestRevokedPartitionIsNeverAcknowledged(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	entered, abandoned, finish := make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{})
	sink.before = func(ctx context.Context, b *runner.Batch) error {
		entered <- struct{}{}
		<-ctx.Done() // a batch that does not end: only abandoning it helps
		abandoned <- struct{}{}
		<-finish
		return ctx.Err()
	}
	cfg := config(t, log, sink)
	cfg.RevokeTimeout = 50 * time.Millisecond
	_, stop := start(t, cfg)
	log.Append(t, "order", orders(0, 1)...)
	<-entered
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		stop()
	}()
	<-abandoned
	select {
	case <-ended:
		t.Error("the partition was given up while the sink still worked on it")
	case <-time.After(200 * time.Millisecond):
	}
	close(finish)
	<-ended
	if n := sink.count(); n != 0 {
		t.Errorf("%d events were applied after the partition was given up", n)
	}
	if o, ok := committed(t, log); ok {
		t.Errorf("the group's offset %d was committed for a batch that was abandoned", o)
	}
	if sink.mu.sessions != 0 || sink.mu.closedUse != 0 {
		t.Errorf("%d sessions are open, %d calls came after Close", sink.mu.sessions, sink.mu.closedUse)
	}
}

// gate is a client hook that, once armed, holds a poll that has records in hand.
type gate struct {
	armed  atomic.Bool
	held   chan struct{}
	open   chan struct{}
	unlock sync.Once
}

func newGate() *gate { return &gate{held: make(chan struct{}), open: make(chan struct{})} }

func (g *gate) OnFetchRecordUnbuffered(_ *kgo.Record, polled bool) {
	if polled && g.armed.CompareAndSwap(true, false) {
		close(g.held)
		<-g.open
	}
}

func (g *gate) release() { g.unlock.Do(func() { close(g.open) }) }

// Records that were polled under one assignment must not reach the worker of a later one: it starts at
// the checkpoint, and what lies between would be lost.
func TestPolledRecordsDoNotOutliveTheirAssignment(t *testing.T) {
	log := logtest.New(t, 2, "order")
	sink := newMemory()
	var stuck atomic.Bool
	unstick := make(chan struct{})
	sink.before = func(ctx context.Context, b *runner.Batch) error {
		if !stuck.Load() {
			return nil
		}
		select {
		case <-unstick:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	g := newGate()
	t.Cleanup(g.release)
	cfg := config(t, log, sink)
	cfg.RevokeTimeout = 20 * time.Millisecond
	other := cfg
	cfg.Client = append(cfg.Client, kgo.WithHooks(g))
	first, _ := start(t, cfg)
	ready(t, first)

	stuck.Store(true)
	log.Append(t, "order", orders(0, 8)...)
	logtest.Until(t, "both partitions have a batch in hand", func() bool {
		for _, p := range first.Status().Partitions {
			if p.Lag == 0 {
				return false
			}
		}
		return true
	})
	g.armed.Store(true)
	log.Append(t, "order", orders(8, 16)...)
	<-g.held

	// Another member comes, takes a partition, gets nowhere, and leaves.
	second, stopSecond := start(t, other)
	deadline := time.NewTimer(time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for moved := false; !moved; {
		select {
		case <-deadline.C:
			moved = true // as it should be: the rebalance waits for the poll
		case <-tick.C:
			moved = len(second.Status().Partitions) > 0
		}
	}
	if len(second.Status().Partitions) > 0 {
		t.Error("partitions moved while their records were between poll and hand-over")
		stopSecond()
		logtest.Until(t, "the first has both partitions again", func() bool { return len(first.Status().Partitions) == 2 })
	}
	g.release()
	close(unstick)
	logtest.Until(t, "everything is applied", func() bool { return sink.count() == 32 })
	each(t, sink, 0, 16)
}
