package producer

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// lossLab is a lab with a recorded topology, on disk, so that its brokers can come back with less.
type lossLab struct {
	*lab
	data string
	opts []kfake.Opt
	adm  *kadm.Client
	top  *topology.Topology
	// recorded are the topics' IDs as a process that starts finds them recorded.
	recorded map[string][16]byte
}

func newLossLab(t *testing.T) *lossLab {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := ln.Addr().(*net.TCPAddr).Port
	_ = ln.Close()
	data := t.TempDir()
	opts := []kfake.Opt{kfake.NumBrokers(1), kfake.Ports(port), kfake.DataDir(data), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"})}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	l := &lossLab{lab: &lab{t: t, cluster: cluster, kafka: []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.MetadataMinAge(10 * time.Millisecond)},
		partitions: 1, dir: t.TempDir(), typ: accountType(t)}, data: data, opts: opts}
	t.Cleanup(func() { l.cluster.Close() })
	l.connect()
	l.apply()
	l.check()
	return l
}

// connect makes clients that have no connection of before the brokers were started.
func (l *lossLab) connect() {
	l.t.Helper()
	cl, err := kgo.NewClient(l.kafka...)
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(cl.Close)
	l.adm = kadm.NewClient(cl)
	l.top = topology.New(cl, topology.Config{Partitions: 1, Replication: 1}, []string{"account"})
}

func (l *lossLab) apply() {
	l.t.Helper()
	plan, err := l.top.Plan(l.context(20 * time.Second))
	if err == nil {
		err = l.top.Apply(l.context(20*time.Second), plan)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// check is what a process begins with.
func (l *lossLab) check() {
	l.t.Helper()
	actual, err := l.top.Check(l.context(20 * time.Second))
	if err != nil {
		l.t.Fatal(err)
	}
	l.recorded = actual["account"].TopicIDs
}

func (l *lossLab) accept(named ...string) []topology.Loss {
	l.t.Helper()
	lost, err := l.top.AcceptLoss(l.context(20*time.Second), named...)
	if err != nil {
		l.t.Fatal(err)
	}
	return lost
}

func (l *lossLab) delete(topics ...string) {
	l.t.Helper()
	if _, err := l.adm.DeleteTopics(l.context(20*time.Second), topics...); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lossLab) looking(c *Config) {
	rounds(c)
	c.LookEvery, c.TopicIDs = 20*time.Millisecond, l.recorded
}

// stopped waits until the partition has stopped, and returns why.
func (l *lossLab) stopped(p *Processor) string {
	l.t.Helper()
	why := ""
	l.await(p, func(p Partition) bool {
		if p.State == stopped {
			why = p.Err.Error()
		}
		return p.State == stopped
	})
	return why
}

func (l *lossLab) serves(p *Processor) {
	l.t.Helper()
	l.await(p, func(p Partition) bool { return p.State == serving })
}

func (l *lossLab) end(topic string) int64 {
	l.t.Helper()
	end, err := ends(l.context(10*time.Second), l.adm, 0, topic)
	if err != nil {
		l.t.Fatal(err)
	}
	return end[topic]
}

// fill decides 40 deposits on five streams, with checkpoint rounds on the way.
func (l *lossLab) fill(p *Publisher) {
	l.t.Helper()
	for i := range 40 {
		if o := l.do(p, command("s"+strconv.Itoa(i%5), "deposit"), amount(1)); o.Kind != event.Accepted {
			l.t.Fatalf("%+v", o)
		}
	}
}

func (l *lossLab) asides() []string {
	l.t.Helper()
	found, err := filepath.Glob(filepath.Join(l.dir, "account", "0.lost-*"))
	if err != nil {
		l.t.Fatal(err)
	}
	return found
}

// mark copies a partition's files while the brokers are down; cutBack puts them back later: a broker
// whose disk was restored.
func (l *lossLab) mark(topic string) (cutBack func()) {
	l.t.Helper()
	dir, saved := filepath.Join(l.data, "partitions", topic+"-0"), filepath.Join(l.t.TempDir(), "saved")
	l.restart(func() {
		if err := os.CopyFS(saved, os.DirFS(dir)); err != nil {
			l.t.Fatal(err)
		}
	})
	return func() {
		l.restart(func() {
			if err := os.RemoveAll(dir); err != nil {
				l.t.Fatal(err)
			}
			if err := os.CopyFS(dir, os.DirFS(saved)); err != nil {
				l.t.Fatal(err)
			}
			if err := os.Remove(filepath.Join(l.data, "seq_windows.json")); err != nil && !os.IsNotExist(err) {
				l.t.Fatal(err)
			}
		})
	}
}

// restart ends the brokers, calls between, and starts them again where they were.
func (l *lossLab) restart(between func()) {
	l.t.Helper()
	l.cluster.Close()
	between()
	var err error
	if l.cluster, err = kfake.NewCluster(l.opts...); err != nil {
		l.t.Fatal(err)
	}
	l.connect()
}

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

// Commands that end before the group's offset: those that would come up to it must not be skipped.
func TestTruncatedCommands(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	cutBack := l.mark(accountTopics.Commands)
	_, stop = l.process(l.looking)
	l.unnamed(40, 2)
	l.fill(l.publisher())
	stop()
	cutBack()
	proc, _ := l.process(l.looking)
	if why := l.stopped(proc); !strings.Contains(why, "accept-loss --lost "+accountTopics.Commands+"/0") {
		t.Errorf("it says %s", why)
	}
	if lost := l.accept(); len(lost) != 1 || lost[0].Group != "cqrsflow.processor" || lost[0].Committed != 81 || lost[0].End != 40 {
		t.Errorf("accepted: %+v", lost)
	}
	l.serves(proc)
	// Again, nobody named the command: its ID is its offset, which a lost one had before it.
	l.unnamed(40, 1)
	c := command("s0", "deposit")
	if o := l.do(l.publisher(), c, amount(1)); o.Version != 19 {
		t.Errorf("%+v", o)
	}
	if lost := l.accept(); len(lost) > 0 {
		t.Errorf("lost again: %v", lost)
	}
}

// The commands have grown beyond the group's old offset by the time that a processor starts: it is an
// offset of commands that are lost, and those that are there now begin before it.
func TestCommandsGrownBeyondTheOldOffset(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	cutBack := l.mark(accountTopics.Commands)
	_, stop = l.process(l.looking)
	l.fill(l.publisher())
	stop()
	cutBack()
	if lost := l.accept(); len(lost) != 1 {
		t.Fatalf("accepted: %v", lost)
	}
	for i := range int64(60) {
		l.unnamed(40+i, 1)
	}
	l.process(l.looking)
	if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version != 16+60+1 {
		t.Errorf("version %d, want %d", o.Version, 16+60+1)
	}
}

// unnamed publishes a deposit that has no command ID, at the offset.
func (l *lossLab) unnamed(at int64, n int) {
	l.t.Helper()
	cl, err := kgo.NewClient(append(l.kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		l.t.Fatal(err)
	}
	defer cl.Close()
	r := &kgo.Record{Topic: accountTopics.Commands, Key: []byte("s0"), Value: amount(n), Headers: []kgo.RecordHeader{{Key: "ce_type", Value: []byte("account.v1.deposit")}}}
	if err := cl.ProduceSync(l.context(10*time.Second), r).FirstErr(); err != nil {
		l.t.Fatal(err)
	}
	if r.Offset != at {
		l.t.Fatalf("the command has offset %d, want %d", r.Offset, at)
	}
}

// After commands were lost, an offset that is committed says again where to go on, though neither the
// store nor an outcome is left to tell.
func TestOffsetsCountAgainAfterALoss(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	l.delete(accountTopics.Commands)
	l.apply()
	l.accept()
	l.check()
	_, stop = l.process(l.looking)
	p := l.publisher()
	l.do(p, command("s0", "deposit"), amount(1))
	if o := l.do(p, command("s0", "withdraw"), amount(1000)); o.Kind != event.Rejected {
		t.Fatalf("%+v", o)
	}
	stop()
	end := l.end(accountTopics.Outcomes)
	if err := l.cluster.DeleteRecords(accountTopics.Outcomes, 0, end); err != nil {
		t.Fatal(err)
	}
	l.dir = t.TempDir()
	l.process(l.looking)
	if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version != 10 {
		t.Errorf("%+v", o)
	}
	var again []*kgo.Record
	for _, r := range l.logged(accountTopics.Outcomes) {
		if r.Attrs.IsTransactional() {
			again = append(again, r)
		}
	}
	if len(again) != 1 {
		t.Errorf("%d commands were decided, want the new one only", len(again))
	}
}

// Commands are cut off under a partition that serves: its client begins again at the start, and what was
// decided is not decided once more.
func TestCommandsCutOffWhileServing(t *testing.T) {
	l := newLossLab(t)
	_, stop := l.process(l.looking)
	l.fill(l.publisher())
	stop()
	cutBack := l.mark(accountTopics.Commands)
	proc, _ := l.process(l.looking)
	p := l.publisher()
	l.fill(p)
	cutBack()
	if _, err := l.publisher().Publish(l.context(10*time.Second), command("s0", "deposit"), "account", record.JSON, amount(1)); err != nil {
		t.Fatal(err)
	}
	if why := l.stopped(proc); !strings.Contains(why, accountTopics.Commands+" ends at offset 41, but commands up to 80 were decided") {
		t.Errorf("it says %s", why)
	}
	if got := len(l.events()["s0"]); got != 16 {
		t.Errorf("stream s0 has %d events, want 16", got)
	}
	l.accept()
	l.serves(proc)
	if o := l.do(l.publisher(), command("s0", "deposit"), amount(1)); o.Version != 17 {
		t.Errorf("%+v", o)
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

// aborted writes events in a transaction that does not come to pass.
func (l *lossLab) aborted(n int) {
	l.t.Helper()
	cl, err := kgo.NewClient(append(l.kafka, kgo.TransactionalID("aborts"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		l.t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		l.t.Fatal(err)
	}
	for range n {
		cl.Produce(context.Background(), &kgo.Record{Topic: accountTopics.Events, Key: []byte("s0"), Value: []byte("x")}, nil)
	}
	if err := cl.Flush(l.context(10 * time.Second)); err != nil {
		l.t.Fatal(err)
	}
	if err := cl.EndTransaction(l.context(10*time.Second), kgo.TryAbort); err != nil {
		l.t.Fatal(err)
	}
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
