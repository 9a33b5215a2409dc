package runner_test

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/topology"
)

// states waits until the partitions are in these states.
func states(t *testing.T, r *runner.Runner, want ...runner.State) {
	t.Helper()
	logtest.Until(t, "the partitions are in their states", func() bool {
		s := r.Status()
		if len(s.Partitions) != len(want) {
			return false
		}
		for i, p := range s.Partitions {
			if p.State != want[i] {
				return false
			}
		}
		return true
	})
}

func plain(t *testing.T, log *logtest.Log) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(log.Client()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// rebuilt empties the sink's partition, as a rebuild into the same place would.
func rebuilt(sink *memory, partition string) {
	sink.edit(partition, func(s *stored) { *s = stored{pointers: map[int64]runner.Pointer{}} })
}

func TestLostPartitionGoesOnWhenTheLogIsWholeAgain(t *testing.T) {
	log := logtest.New(t, 2, "order")
	sink := newMemory()
	log.Append(t, "order", orders(0, 20)...)
	r, stop := start(t, config(t, log, sink))
	ready(t, r)
	stop()
	sink.edit("order.events/1", func(s *stored) { s.checkpoint.Next += 1000 })
	r, _ = start(t, config(t, log, sink))
	states(t, r, runner.Live, runner.Stopped)
	for _, want := range []string{"cqrsflow topology accept-loss --lost cqrsflow.order.events/1", "cqrsflow projection rebuild test"} {
		if _, why := r.Ready(); !strings.Contains(why, want) {
			t.Errorf("the reason %q does not contain %q", why, want)
		}
	}
	sink.edit("order.events/1", func(s *stored) { s.checkpoint.Next -= 1000 })
	states(t, r, runner.Live, runner.Live)
	log.Append(t, "order", orders(20, 40)...)
	logtest.Until(t, "everything is applied", func() bool { return sink.count() == 80 })
	each(t, sink, 0, 40)
}

func TestRebuiltAfterATopicWasMadeAgain(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	log.Append(t, "order", orders(0, 20)...)
	r, _ := start(t, config(t, log, sink))
	ready(t, r)
	adm := kadm.NewClient(plain(t, log))
	if _, err := adm.DeleteTopics(t.Context(), "cqrsflow.order.events"); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopics(t.Context(), 1, 1, nil, "cqrsflow.order.events"); err != nil {
		t.Fatal(err)
	}
	states(t, r, runner.Stopped)
	rebuilt(sink, "order.events/0")
	states(t, r, runner.Live)
}

// The loss of records of the same topic was accepted: whatever was read of that partition before is of
// before, however far the log has grown since. The others are not concerned.
func TestAcceptedLossNeedsARebuild(t *testing.T) {
	log := logtest.New(t, 2, "order")
	sink := newMemory()
	log.Append(t, "order", orders(0, 20)...)
	r, stop := start(t, config(t, log, sink))
	ready(t, r)
	stop()
	before := sink.count()
	top := topology.New(plain(t, log), topology.Config{Partitions: 2, Replication: 1}, []string{"order"})
	if lost, err := top.AcceptLoss(t.Context(), "cqrsflow.order.events/1"); err != nil || len(lost) != 1 {
		t.Fatalf("%v, %v", lost, err)
	}
	log.Append(t, "order", orders(20, 40)...)
	r, _ = start(t, config(t, log, sink))
	states(t, r, runner.Live, runner.Stopped)
	_, why := r.Ready()
	if !strings.Contains(why, "was accepted at") || !strings.Contains(why, "cqrsflow projection rebuild test") || strings.Contains(why, "accept-loss") {
		t.Errorf("the reason is %q", why)
	}
	sink.mu.Lock()
	for id := range sink.mu.applied {
		if topology.PartitionOf(id, int32(2)) == 1 {
			delete(sink.mu.applied, id)
		}
	}
	sink.mu.Unlock()
	rebuilt(sink, "order.events/1")
	states(t, r, runner.Live, runner.Live)
	logtest.Until(t, "everything is applied", func() bool { return sink.count() == 80 })
	if before != 40 {
		t.Errorf("%d events before", before)
	}
	each(t, sink, 0, 40)
}
