package producer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// Each topic deleted and made again, alone and all together: the partition stops, nothing is decided, and
// it goes on once the loss is accepted, with what the log has.
func TestTopicsMadeAgain(t *testing.T) {
	for name, c := range map[string]struct {
		topics []string
		// version of stream s0 after the next deposit, where eight were there before.
		version event.Version
		running bool
		// named is what Kafka does not show: what was recorded is lost with the snapshots.
		named []string
		// undecided says that nobody can tell the command that waited from those that were decided.
		undecided bool
	}{
		"commands":            {topics: []string{accountTopics.Commands}, version: 9},
		"events":              {topics: []string{accountTopics.Events}, version: 1},
		"outcomes":            {topics: []string{accountTopics.Outcomes}, version: 9},
		"commands, running":   {topics: []string{accountTopics.Commands}, version: 9, running: true},
		"events, running":     {topics: []string{accountTopics.Events}, version: 1, running: true},
		"outcomes, running":   {topics: []string{accountTopics.Outcomes}, version: 9, running: true},
		"commands and events": {topics: []string{accountTopics.Commands, accountTopics.Events}, version: 1},
		"commands, snapshots": {topics: []string{accountTopics.Commands, accountTopics.Snapshots}, version: 9, named: []string{accountTopics.Commands + "/0"}, undecided: true},
		"all":                 {topics: accountTopics.All(), version: 1, named: []string{accountTopics.Events}},
		"all, running":        {topics: accountTopics.All(), version: 1, running: true, named: []string{accountTopics.Events}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLossLab(t)
			proc, stop := l.process(l.looking)
			l.fill(l.publisher())
			if !c.running {
				stop()
			}
			l.delete(c.topics...)
			l.apply()
			p := l.publisher()
			if _, err := p.Publish(l.context(10*time.Second), command("s0", "deposit"), "account", record.JSON, amount(1)); err != nil {
				t.Fatal(err)
			}
			if !c.running {
				if c.named != nil {
					l.check()
				}
				proc, stop = l.process(l.looking)
			}
			why := l.stopped(proc)
			if !strings.Contains(why, "cqrsflow topology accept-loss --lost "+accountTopics.Commands[:len("cqrsflow.account.")]) {
				t.Errorf("it says %s", why)
			}
			before := l.end(accountTopics.Events) + l.end(accountTopics.Outcomes)
			if len(l.asides()) > 0 {
				t.Error("the store was set aside before the loss was accepted")
			}
			if lost := l.accept(c.named...); len(lost) == 0 {
				t.Fatal("nothing was accepted")
			}
			if after := l.end(accountTopics.Events) + l.end(accountTopics.Outcomes); after != before {
				t.Error("something was written while the partition had stopped")
			}
			l.serves(proc)
			if len(l.asides()) != 1 {
				t.Errorf("set aside: %v", l.asides())
			}
			// The command that waited was decided, then this one.
			want := c.version + 1
			if c.undecided {
				want--
			}
			if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Kind != event.Accepted || o.Version != want {
				t.Fatalf("%+v, want version %d", o, want)
			}
			if lost := l.accept(); len(lost) > 0 {
				t.Errorf("lost again: %v", lost)
			}
			stop()
			l.check()
			l.events() // without gaps
			// And whoever has neither store nor memory comes to the same.
			l.dir = t.TempDir()
			l.process(l.looking)
			if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version != want+1 {
				t.Fatalf("without a store: %+v, want version %d", o, want+1)
			}
		})
	}
}

// Topics that are not the recorded ones stop a partition without a store, too: nothing else contradicts them.
func TestOtherTopicsThanRecorded(t *testing.T) {
	l := newLossLab(t)
	l.delete(accountTopics.All()...)
	l.apply()
	proc, _ := l.process(l.looking)
	if why := l.stopped(proc); !strings.Contains(why, "was deleted and made again") {
		t.Errorf("it says %s", why)
	}
	l.accept(accountTopics.Events)
	l.serves(proc)
	if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version != 1 {
		t.Errorf("%+v", o)
	}
}

// Accepting what is not lost costs no data: the store of a partition that serves is made again.
func TestAcceptedThoughNothingWasLost(t *testing.T) {
	l := newLossLab(t)
	proc, _ := l.process(l.looking)
	l.fill(l.publisher())
	l.accept(accountTopics.Events + "/0")
	l.await(proc, func(p Partition) bool { return p.State == serving && len(l.asides()) == 1 })
	if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version != 9 {
		t.Errorf("%+v", o)
	}
}

// Snapshots are a cache: losing them stops nothing.
func TestSnapshotsMadeAgain(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	l.delete(accountTopics.Snapshots)
	l.apply()
	l.check()
	for _, dir := range []string{l.dir, t.TempDir()} {
		l.dir = dir
		proc, stop := l.process(l.looking)
		l.serves(proc)
		stop()
	}
	if lost := l.accept(); len(lost) > 0 {
		t.Errorf("accepted: %v", lost)
	}
}

// The same topic, with an end before what was processed. Accepted while the processor runs, and while it
// is down; and a second loss after that stops it again.
func TestTruncatedEvents(t *testing.T) {
	for _, running := range []bool{true, false} {
		t.Run(fmt.Sprintf("running %v", running), func(t *testing.T) {
			l := newLossLab(t)
			_, stop := l.process(l.looking)
			l.fill(l.publisher())
			stop()
			cutBack := l.mark(accountTopics.Events)
			_, stop = l.process(l.looking)
			p := l.publisher()
			l.fill(p)
			repeated := command("fresh", "deposit")
			repeated.ID = "key-1"
			l.do(p, repeated, amount(1))
			stop()
			for round := range 2 {
				cutBack()
				proc, stop := l.process(l.looking)
				if why := l.stopped(proc); !strings.Contains(why, "accept-loss --lost "+accountTopics.Events+"/0") {
					t.Errorf("it says %s", why)
				}
				if !running {
					stop()
				}
				before := l.end(accountTopics.Events)
				// No other group shows the loss, so it has to be named.
				if lost := l.accept(); len(lost) > 0 {
					t.Errorf("accepted without being named: %v", lost)
				}
				if lost := l.accept(accountTopics.Events + "/0"); len(lost) != 1 {
					t.Errorf("accepted: %v", lost)
				}
				if !running {
					proc, stop = l.process(l.looking)
				}
				l.serves(proc)
				if got := len(l.asides()); got == 0 {
					t.Error("no store was set aside")
				}
				if end := l.end(accountTopics.Events); end != before {
					t.Errorf("the events end at %d, before the acceptance at %d", end, before)
				}
				// Eight events of each stream are left, and none of "fresh", whose command is unknown again.
				p := l.publisher()
				if o := l.do(p, command("s0", "deposit"), amount(1)); o.Version != 9 || state(t, o).Balance != 9 {
					t.Errorf("round %d: %+v", round, o)
				}
				if o := l.do(p, repeated, amount(1)); o.Version != 1 || o.Replayed {
					t.Errorf("round %d: %+v", round, o)
				}
				l.fill(p) // beyond where the lost ones were
				stop()
				l.events()
				// Lost snapshots are in the topic still: who has nothing else must not use them.
				l.dir = t.TempDir()
				_, stop = l.process(l.looking)
				if o := l.do(l.publisher(), command("s1", "deposit"), amount(0)); o.Version != 17 || state(t, o).Balance != 16 {
					t.Errorf("round %d, without a store: %+v", round, o)
				}
				stop()
			}
		})
	}
}

// A snapshot of an event that the log does not have stops whoever has no store of his own.
func TestSnapshotsNewerThanTheEvents(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	cutBack := l.mark(accountTopics.Events)
	_, stop = l.process(l.looking)
	l.fill(l.publisher())
	stop()
	cutBack()
	l.dir = t.TempDir()
	proc, _ := l.process(l.looking)
	if why := l.stopped(proc); !strings.Contains(why, "snapshot") {
		t.Errorf("it says %s", why)
	}
	l.accept(accountTopics.Events)
	l.serves(proc)
	if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version != 9 {
		t.Errorf("%+v", o)
	}
}

// What was cut off may come back: then the partition goes on by itself, with its store.
func TestTheLogIsWholeAgain(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	cutBack := l.mark(accountTopics.Events)
	_, stop = l.process(l.looking)
	l.fill(l.publisher())
	stop()
	putBack := l.mark(accountTopics.Events)
	cutBack()
	proc, _ := l.process(l.looking)
	l.stopped(proc)
	putBack()
	l.serves(proc)
	if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version != 17 || len(l.asides()) > 0 {
		t.Errorf("%+v, set aside: %v", o, l.asides())
	}
}

// The log is cut off under a partition that serves: the transaction that finds out is aborted, the
// partition stops, and stays so when the log has grown beyond what was lost.
func TestCutOffWhileServing(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	cutBack := l.mark(accountTopics.Events)
	proc, stop := l.process(l.looking)
	p := l.publisher()
	for range 3 {
		l.do(p, command("s0", "deposit"), amount(1))
	}
	cutBack()
	// Enough for the aborted records to reach beyond the old end.
	for range 100 {
		if _, err := l.publisher().Publish(l.context(10*time.Second), command("s0", "deposit"), "account", record.JSON, amount(1)); err != nil {
			t.Fatal(err)
		}
		if parts, _ := proc.Status(); slices.ContainsFunc(parts, func(p Partition) bool { return p.State == stopped }) {
			break
		}
	}
	l.stopped(proc)
	if got := len(l.events()["s0"]); got != 8 {
		t.Errorf("stream s0 has %d events, want the 8 that are left", got)
	}
	stop()
	for l.end(accountTopics.Events) < 200 { // as if others' aborted transactions had come on top
		l.aborted(20)
	}
	proc, _ = l.process(l.looking)
	l.stopped(proc)
	l.accept(accountTopics.Events + "/0")
	l.serves(proc)
	if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version < 9 {
		t.Errorf("%+v", o)
	}
	l.events()
}

// A store of before there were accepted losses says as much of the log as it did.
func TestCheckpointOfAnEarlierVersion(t *testing.T) {
	cp := checkpoint{Codec: 1, Fingerprint: 2, EventsID: [16]byte{3}, NextEvent: 4, NextOutcome: 5, NextCommand: 6, LastAppend: 7, Epoch: 8, EpochCount: 9, EpochBegan: 10}
	old := cp.append(nil)[:oldCheckpointLen]
	if got, err := parseCheckpoint(old); err != nil || got != cp {
		t.Errorf("%+v, %v", got, err)
	}
	cp.Loss = 11
	if got, err := parseCheckpoint(cp.append(nil)); err != nil || got != cp {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := parseCheckpoint(old[1:]); err == nil {
		t.Error("a checkpoint that was cut short was read")
	}
}

// A gap in the log itself stops the partition, and says what an operator can do; accepting is not among it.
func TestGapInTheLog(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.do(l.publisher(), command("a", "deposit"), amount(1))
	stop()
	cl, err := kgo.NewClient(append(l.kafka, kgo.TransactionalID("intruder"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	var enc record.Encoder
	e := event.Envelope{Aggregate: "account", Stream: "a", Version: 3, Type: "account.v1.Changed", Time: time.Now(), RecordedTime: time.Now(),
		CausationID: "x", CommandOffset: 1, LastOfCommand: true, ContentType: record.JSON, Data: []byte(`{"delta":1}`)}
	if err := cl.ProduceSync(l.context(10*time.Second), enc.Event(&e, accountTopics.Events)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := cl.EndTransaction(l.context(10*time.Second), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	proc, _ := l.process(l.looking)
	why := l.stopped(proc)
	for _, want := range []string{accountTopics.Events + "/0", "stream a has version 3", "after version 1", "topology verify", "restart the processor"} {
		if !strings.Contains(why, want) {
			t.Errorf("it says %s, without %q", why, want)
		}
	}
}

// A log without its beginning is no loss to whoever has snapshots, and to others one that nobody can accept.
func TestBeginningIsGone(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	if err := l.cluster.DeleteRecords(accountTopics.Events, 0, 3); err != nil {
		t.Fatal(err)
	}
	l.dir = t.TempDir()
	_, stop = l.process(l.looking)
	if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version != 9 {
		t.Errorf("with snapshots: %+v", o)
	}
	stop()
	l.delete(accountTopics.Snapshots)
	l.apply()
	l.check()
	l.dir = t.TempDir()
	proc, _ := l.process(l.looking)
	if why := l.stopped(proc); !strings.Contains(why, "begins at offset 3") || strings.Contains(why, "accept-loss") {
		t.Errorf("it says %s", why)
	}
}
