package runner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(t *testing.T, log *logtest.Log, sink runner.Sink) runner.Config {
	t.Helper()
	return runner.Config{
		Name: "test", Client: log.Client(), Sink: sink,
		Aggregates:  logtest.Types(t, "order"),
		ParkedEvery: 20 * time.Millisecond, RetryMin: 5 * time.Millisecond, RetryMax: 50 * time.Millisecond,
		CommitEvery: 10 * time.Millisecond, EndsEvery: 50 * time.Millisecond, LookEvery: 20 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// start runs a projection until the test ends, or until the returned function is called.
func start(t *testing.T, cfg runner.Config) (*runner.Runner, func()) {
	t.Helper()
	r, err := runner.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return r, stop
}

func orders(from, to int) []logtest.Command {
	var out []logtest.Command
	for i := from; i < to; i++ {
		id := fmt.Sprintf("o-%d", i)
		out = append(out, placed(id), paid(id))
	}
	return out
}

func each(t *testing.T, sink *memory, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		id := event.StreamID(fmt.Sprintf("o-%d", i))
		if diff := cmp.Diff([]event.Version{1, 2}, sink.versions(id)); diff != "" {
			t.Fatalf("stream %s: %s", id, diff)
		}
	}
}

func ready(t *testing.T, r *runner.Runner) {
	t.Helper()
	logtest.Until(t, "the runner is ready", func() bool { ok, _ := r.Ready(); return ok })
}

func TestEveryEventIsAppliedOnceInOrderAndLagBecomesZero(t *testing.T) {
	log := logtest.New(t, 4, "order")
	sink := newMemory()
	log.Append(t, "order", orders(0, 50)...)
	log.Abort(t, "order", orders(1000, 1010)...)
	log.Foreign(t, "order", "o-1")
	r, stop := start(t, config(t, log, sink))
	ready(t, r)
	each(t, sink, 0, 50)
	log.Append(t, "order", orders(50, 60)...)
	logtest.Until(t, "the new events are applied", func() bool { return sink.count() == 120 })
	each(t, sink, 50, 60)

	logtest.Until(t, "lag is zero", func() bool {
		s := r.Status()
		for _, p := range s.Partitions {
			if p.Lag != 0 {
				return false
			}
		}
		return len(s.Partitions) == 4
	})
	var foreign, applied int64
	for _, p := range r.Status().Partitions {
		foreign += p.Foreign
		applied += p.Applied
	}
	if foreign != 1 || applied != 120 {
		t.Errorf("foreign = %d, applied = %d; want 1 and 120", foreign, applied)
	}

	stop()
	if sink.mu.sessions != 0 || sink.mu.closedUse != 0 {
		t.Errorf("%d sessions are open, %d calls came after Close", sink.mu.sessions, sink.mu.closedUse)
	}
	lag := groupLag(t, log)
	if lag != 0 {
		t.Errorf("the group's lag is %d, want 0", lag)
	}
	// A restart goes on where the sink is, not where the group is.
	again, _ := start(t, config(t, log, sink))
	ready(t, again)
	log.Append(t, "order", orders(60, 61)...)
	logtest.Until(t, "the last events are applied", func() bool { return sink.count() == 122 })
}

func groupLag(t *testing.T, log *logtest.Log) int64 {
	t.Helper()
	cl, err := kgo.NewClient(log.Client()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	lags, err := kadm.NewClient(cl).Lag(t.Context(), runner.GroupID("", "test", 1))
	if err != nil {
		t.Fatal(err)
	}
	var sum int64
	lags.Each(func(l kadm.DescribedGroupLag) { sum += l.Lag.Total() })
	return sum
}

func committed(t *testing.T, log *logtest.Log) (int64, bool) {
	t.Helper()
	cl, err := kgo.NewClient(log.Client()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	offsets, err := kadm.NewClient(cl).FetchOffsets(t.Context(), runner.GroupID("", "test", 1))
	if err != nil {
		t.Fatal(err)
	}
	o, ok := offsets.Lookup("cqrsflow.order.events", 0)
	return o.At, ok
}

// A process that was killed after it applied and before it committed leaves the group behind, and nothing
// more may come.
func TestGroupLearnsOfTheCheckpointAtStart(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	log.Append(t, "order", orders(0, 10)...)
	r, stop := start(t, config(t, log, sink))
	ready(t, r)
	stop()
	cl, err := kgo.NewClient(log.Client()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	group, topics := runner.GroupID("", "test", 1), kadm.TopicsSet{}
	topics.Add("cqrsflow.order.events", 0)
	if deleted, err := kadm.NewClient(cl).DeleteOffsets(t.Context(), group, topics); err != nil || deleted.Error() != nil {
		t.Fatal(err, deleted.Error())
	}
	if o, ok := committed(t, log); ok {
		t.Fatalf("the offset %d was not deleted", o)
	}
	r, _ = start(t, config(t, log, sink))
	ready(t, r)
	next := r.Status().Partitions[0].Checkpoint.Next
	logtest.Until(t, "the group is where the checkpoint is", func() bool { o, ok := committed(t, log); return ok && o == next })
}

func TestRedeliveryStartsAtTheSinksCheckpoint(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	log.Append(t, "order", orders(0, 10)...)
	r, stop := start(t, config(t, log, sink))
	ready(t, r)
	stop()
	// The store is set back to the start, as by a restored backup; the group's offset is at the end.
	sink.edit("order.events/0", func(s *stored) { s.checkpoint.Next, s.checkpoint.CommandOffset = 0, -1 })
	sink.mu.applied = map[event.StreamID][]event.Version{}
	r, _ = start(t, config(t, log, sink))
	ready(t, r)
	each(t, sink, 0, 10)
}

func TestRebalanceAppliesEachEventOnce(t *testing.T) {
	log := logtest.New(t, 8, "order")
	sink := newMemory()
	var slow atomic.Bool
	sink.before = func(ctx context.Context, b *runner.Batch) error {
		if slow.Load() { // so that partitions are revoked with a batch in hand
			select {
			case <-time.After(5 * time.Millisecond):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	cfg := config(t, log, sink)
	cfg.BatchRecords = 3
	first, _ := start(t, cfg)
	ready(t, first)
	slow.Store(true)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range 20 {
			log.Append(t, "order", orders(i*10, i*10+10)...)
		}
	}()
	second, stop := start(t, cfg)
	logtest.Until(t, "both own partitions", func() bool {
		return len(second.Status().Partitions) == 4 && len(first.Status().Partitions) == 4
	})
	stop()
	<-written
	logtest.Until(t, "all events are applied", func() bool { return sink.count() == 400 })
	each(t, sink, 0, 200)
	if sink.mu.closedUse != 0 {
		t.Errorf("%d calls came after Close", sink.mu.closedUse)
	}
}

func TestStoreOutageStopsFetchingAndLosesNothing(t *testing.T) {
	log := logtest.New(t, 2, "order")
	sink := newMemory()
	var down atomic.Bool
	sink.before = func(context.Context, *runner.Batch) error {
		if down.Load() {
			return fmt.Errorf("%w: the store is down", event.ErrUnavailable)
		}
		return nil
	}
	cfg := config(t, log, sink)
	cfg.UnreadyAfter = 20 * time.Millisecond
	cfg.QueueBytes = 4 << 10
	r, _ := start(t, cfg)
	ready(t, r)
	down.Store(true)
	log.Append(t, "order", orders(0, 100)...)
	logtest.Until(t, "the runner is not ready", func() bool { ok, _ := r.Ready(); return !ok })
	if _, why := r.Ready(); !strings.Contains(why, "the store is down") {
		t.Errorf("the reason is %q", why)
	}
	logtest.Until(t, "lag is known while nothing is read", func() bool {
		var lag int64
		for _, p := range r.Status().Partitions {
			lag += p.Lag
		}
		return lag >= 200
	})
	down.Store(false)
	logtest.Until(t, "all events are applied", func() bool { return sink.count() == 200 })
	each(t, sink, 0, 100)
	ready(t, r)
	if len(sink.pointers("order.events/0"))+len(sink.pointers("order.events/1")) != 0 {
		t.Error("an outage parked events")
	}
}

func TestStoreThatIsDownAtStartIsWaitedFor(t *testing.T) {
	log := logtest.New(t, 2, "order")
	sink := newMemory()
	var attempts atomic.Int32
	sink.opens = func(runner.Partition) error {
		if attempts.Add(1) < 8 {
			return fmt.Errorf("%w: not yet", event.ErrUnavailable)
		}
		return nil
	}
	log.Append(t, "order", orders(0, 5)...)
	r, _ := start(t, config(t, log, sink))
	ready(t, r)
	each(t, sink, 0, 5)
}

func TestFencedWorkerGoesOnFromTheOthersCheckpoint(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	log.Append(t, "order", orders(0, 3)...)
	r, _ := start(t, config(t, log, sink))
	ready(t, r)
	// Somebody else, who is ahead, has applied what comes next.
	log.Append(t, "order", placed("o-9"))
	logtest.Until(t, "the event is applied", func() bool { return sink.count() == 7 })
	sink.edit("order.events/0", func(s *stored) {
		s.checkpoint.Next, s.checkpoint.CommandOffset = 0, -1
		sink.mu.applied = map[event.StreamID][]event.Version{}
	})
	log.Append(t, "order", paid("o-9"))
	logtest.Until(t, "everything is applied again from the checkpoint that was found", func() bool { return sink.count() == 8 })
	each(t, sink, 0, 3)
}

func TestABatchOfUnknownOutcomeIsNotAppliedTwice(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	n := 0
	sink.after = func() error {
		if n++; n%2 == 1 {
			return fmt.Errorf("%w: the connection was lost after the commit", event.ErrUnavailable)
		}
		return nil
	}
	log.Append(t, "order", orders(0, 20)...)
	cfg := config(t, log, sink)
	cfg.BatchRecords = 7
	r, _ := start(t, cfg)
	logtest.Until(t, "everything is applied", func() bool { return sink.count() >= 40 })
	each(t, sink, 0, 20)
	log.Append(t, "order", orders(20, 21)...)
	logtest.Until(t, "it goes on", func() bool { return sink.count() >= 42 })
	each(t, sink, 20, 21)
	ready(t, r)
}

func TestLostLogStopsOnlyItsPartition(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*stored)
		want string
	}{
		{"checkpoint beyond the end", func(s *stored) { s.checkpoint.Next += 1000 }, "beyond the log's end"},
		{"another topic", func(s *stored) { s.checkpoint.TopicID[0]++ }, "deleted and made anew"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := logtest.New(t, 2, "order")
			sink := newMemory()
			log.Append(t, "order", orders(0, 20)...)
			r, stop := start(t, config(t, log, sink))
			ready(t, r)
			stop()
			sink.edit("order.events/1", c.edit)
			r, _ = start(t, config(t, log, sink))
			log.Append(t, "order", orders(20, 40)...)
			logtest.Until(t, "one partition stopped, the other is live", func() bool {
				s := r.Status()
				return len(s.Partitions) == 2 && s.Partitions[1].State == runner.Stopped && s.Partitions[0].State == runner.Live && sink.count() > 40
			})
			ok, why := r.Ready()
			if ok || !strings.Contains(why, c.want) || !strings.Contains(why, "cqrsflow topology accept-loss") {
				t.Errorf("ready = %v, reason %q", ok, why)
			}
		})
	}
}

func TestTopicMadeAnewUnderTheRunnerStopsIt(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	log.Append(t, "order", orders(0, 20)...)
	r, _ := start(t, config(t, log, sink))
	ready(t, r)
	cl, err := kgo.NewClient(log.Client()...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	adm := kadm.NewClient(cl)
	if _, err := adm.DeleteTopics(t.Context(), "cqrsflow.order.events"); err != nil {
		t.Fatal(err)
	}
	if _, err := adm.CreateTopics(t.Context(), 1, 1, nil, "cqrsflow.order.events"); err != nil {
		t.Fatal(err)
	}
	logtest.Until(t, "the partition stopped", func() bool {
		s := r.Status()
		return len(s.Partitions) == 1 && s.Partitions[0].State == runner.Stopped
	})
}

func TestWantedTypesOnlyAndCommandOffsetAtTheLastEvent(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	var events atomic.Int32
	sink.before = func(_ context.Context, b *runner.Batch) error {
		events.Add(int32(len(b.Events)))
		b.Events = nil // versions jump: this sink keeps none
		return nil
	}
	cfg := config(t, log, sink)
	cfg.Wants = map[string][]string{"order": {"order.v1.OrderPaid"}}
	log.Append(t, "order", orders(0, 3)...)
	log.Append(t, "order", logtest.Raw("o-1", "order.v9.Unheard", []byte("x")))
	r, _ := start(t, cfg)
	ready(t, r)
	log.Append(t, "order", logtest.One("o-2", &orderv1.OrderShipped{}, &orderv1.OrderDelivered{}))
	logtest.Until(t, "the command offset has passed events that are not wanted", func() bool {
		return r.Status().Partitions[0].Checkpoint.CommandOffset == 7
	})
	if events.Load() != 3 {
		t.Errorf("%d events reached the sink, want 3", events.Load())
	}
}

func TestCommandOffsetWaitsForTheCommandsLastEvent(t *testing.T) {
	log := logtest.New(t, 1, "order")
	sink := newMemory()
	seen := map[event.Version]int64{}
	sink.before = func(_ context.Context, b *runner.Batch) error {
		for _, e := range b.Events {
			seen[e.Version] = b.To.CommandOffset
		}
		return nil
	}
	cfg := config(t, log, sink)
	cfg.BatchRecords = 1
	log.Append(t, "order", logtest.One("o-1", &orderv1.OrderPlaced{}, &orderv1.OrderPaid{}, &orderv1.OrderShipped{}), shipped("o-1"))
	r, _ := start(t, cfg)
	ready(t, r)
	if diff := cmp.Diff(map[event.Version]int64{1: -1, 2: -1, 3: 0, 4: 1}, seen); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownTypeStopsWhoWantsEverything(t *testing.T) {
	log := logtest.New(t, 1, "order")
	log.Append(t, "order", orders(0, 2)...)
	log.Append(t, "order", logtest.Raw("o-1", "order.v9.Unheard", []byte("x")))
	log.Append(t, "order", orders(5, 6)...)
	sink := newMemory()
	r, _ := start(t, config(t, log, sink))
	logtest.Until(t, "the partition stopped", func() bool {
		s := r.Status()
		return len(s.Partitions) == 1 && s.Partitions[0].State == runner.Stopped
	})
	if _, why := r.Ready(); !strings.Contains(why, "order.v9.Unheard") {
		t.Errorf("the reason is %q", why)
	}
	if sink.count() != 4 {
		t.Errorf("%d events applied, want the 4 before it", sink.count())
	}

	raw := newMemory()
	cfg := config(t, log, raw)
	cfg.Name, cfg.Raw = "raw", true
	r, _ = start(t, cfg)
	ready(t, r)
	if raw.count() != 7 {
		t.Errorf("%d events applied raw, want 7", raw.count())
	}
}

func TestOutcomesHaveACheckpointOfTheirOwn(t *testing.T) {
	log := logtest.New(t, 2, "order")
	sink := newMemory()
	cfg := config(t, log, sink)
	cfg.Sources = []runner.Source{runner.Events, runner.Outcomes}
	c := placed("o-1")
	c.Outcome = "cmd-1"
	log.Append(t, "order", c)
	r, _ := start(t, cfg)
	ready(t, r)
	sink.mu.Lock()
	defer sink.mu.Unlock()
	if sink.mu.outcomes != 1 {
		t.Errorf("%d outcomes applied, want 1", sink.mu.outcomes)
	}
	var offsets []int64
	for _, p := range r.Status().Partitions {
		offsets = append(offsets, p.Checkpoint.CommandOffset)
	}
	if len(offsets) != 4 {
		t.Fatalf("partitions: %v", offsets)
	}
}

func TestConfigIsChecked(t *testing.T) {
	log := logtest.New(t, 1, "order")
	good := config(t, log, newMemory())
	for _, c := range []struct {
		field string
		edit  func(*runner.Config)
	}{
		{"Name", func(c *runner.Config) { c.Name = "Bad name" }},
		{"Version", func(c *runner.Config) { c.Version = -1 }},
		{"Aggregates", func(c *runner.Config) { c.Aggregates = nil }},
		{"Sink", func(c *runner.Config) { c.Sink = nil }},
		{"Sources", func(c *runner.Config) { c.Sources = []runner.Source{"commands"} }},
		{"Wants", func(c *runner.Config) { c.Wants = map[string][]string{"order": {"order.v1.Nothing"}} }},
		{"BatchRecords", func(c *runner.Config) { c.BatchRecords = -1 }},
		{"RebalanceTimeout", func(c *runner.Config) { c.RebalanceTimeout = time.Second }},
	} {
		cfg := good
		c.edit(&cfg)
		_, err := runner.New(cfg)
		if !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), c.field) {
			t.Errorf("%s: %v", c.field, err)
		}
	}
}

// What leaves nothing to store moves the stored checkpoint only where that is asked for.
func TestExactCheckpointReachesTheLogsEnd(t *testing.T) {
	for _, exact := range []bool{true, false} {
		log := logtest.New(t, 1, "order")
		sink := newMemory()
		cl, err := kgo.NewClient(log.Client()...)
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		log.Append(t, "order", placed("o-1"))
		cfg := config(t, log, sink)
		r, _ := start(t, cfg)
		r.Exact(exact)
		ready(t, r)
		logtest.Until(t, "the event is applied", func() bool { return sink.count() == 1 })
		log.Abort(t, "order", placed("o-2"))
		var end int64
		logtest.Until(t, "the runner has passed the marker", func() bool {
			ends, err := cfg.Ends(t.Context(), kadm.NewClient(cl))
			if err != nil || len(ends) != 1 || ends[0].Start != 0 || ends[0].Partition.String() != p0 {
				t.Fatalf("%+v, %v", ends, err)
			}
			end = ends[0].End
			return r.Status().Partitions[0].Checkpoint.Next == end
		})
		var next int64
		sink.edit(p0, func(s *stored) { next = s.checkpoint.Next })
		if exact != (next == end) {
			t.Errorf("exact %v: %d is stored, the log ends at %d", exact, next, end)
		}
	}
}
