package producer

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/partlog"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

func rounds(c *Config) { c.RoundEvents, c.RoundStep = 10, 100 }

// A restore from nothing begins with the snapshots and still knows the commands before the marker.
func TestRestoreFromTheMarker(t *testing.T) {
	l := newLab(t, 1)
	_, stop := l.process(rounds)
	p := l.publisher()
	c := command("carol", "deposit")
	c.ID = "key-1"
	l.do(p, c, amount(3))
	for i := range 40 {
		l.do(p, command("s"+strconv.Itoa(i%5), "deposit"), amount(1))
	}
	stop()

	ctx := l.context(20 * time.Second)
	cl, err := kgo.NewClient(l.kafka...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	details, err := kadm.NewClient(cl).ListTopics(ctx, accountTopics.All()...)
	if err != nil {
		t.Fatal(err)
	}
	end, err := partlog.Ends(ctx, kadm.NewClient(cl), 0, accountTopics.Events, accountTopics.Snapshots)
	if err != nil {
		t.Fatal(err)
	}
	part := scratchPartition(t, 1000)
	part.cp = checkpoint{Codec: 1, Fingerprint: 1, EventsID: [16]byte(details[accountTopics.Events].ID), LastAppend: -1}
	rs := restorer{opts: l.kafka, admin: cl, group: "cqrsflow.processor", log: quiet}
	covered, err := rs.snapshots(ctx, part, bounds{end: end})
	if err != nil || covered < 30 || part.cp.LastAppend < 30 {
		t.Fatalf("the snapshots cover events up to %d, commands up to %d: %v", covered, part.cp.LastAppend, err)
	}
	if h, ok, err := part.store.head("s0"); !ok || err != nil || h.Version < 5 {
		t.Fatalf("%+v %v %v", h, ok, err)
	}

	// The events after the marker follow what the snapshots hold: nothing looks like a gap.
	adm := kadm.NewClient(cl)
	log := bounds{eventsID: part.cp.EventsID, committed: 41}
	if log.start, err = partlog.Starts(ctx, adm, 0, accountTopics.Events, accountTopics.Outcomes); err != nil {
		t.Fatal(err)
	}
	if log.end, err = partlog.Ends(ctx, adm, 0, accountTopics.Events, accountTopics.Outcomes, accountTopics.Snapshots); err != nil {
		t.Fatal(err)
	}
	part.limits.windowAge = 0 // no more than what the snapshots do not have
	if err := rs.scratch(ctx, part, log, true); err != nil {
		t.Fatalf("from the snapshots: %v", err)
	}
	if h, ok, err := part.store.head("s0"); !ok || err != nil || h.Version != 8 {
		t.Fatalf("%+v %v %v", h, ok, err)
	}

	l.dir = t.TempDir()
	l.process(rounds)
	if o := l.do(p, c, amount(3)); !o.Replayed || o.Version != 1 {
		t.Fatalf("%+v", o)
	}
}

// A stream that got no snapshot is not covered by a marker.
func TestStreamTooLargeForASnapshot(t *testing.T) {
	l := newLab(t, 1)
	grow := func(c *Config) {
		rounds(c)
		c.EventBytes = 1 << 10
	}
	l.typ.Codec = paddedCodec{} // its states are larger than events may be
	_, stop := l.process(grow)
	p := l.publisher()
	for i := range 40 {
		l.do(p, command("s"+strconv.Itoa(i%5), "deposit"), amount(1))
	}
	stop()
	for _, r := range l.logged(accountTopics.Snapshots) {
		if string(r.Key) == markerKey {
			t.Fatal("a round that left streams out has a marker")
		}
	}
	l.dir = t.TempDir()
	l.process(grow)
	if o := l.do(p, command("s0", "deposit"), amount(1)); o.Version != 9 {
		t.Fatalf("version %d of a stream that had 8 events", o.Version)
	}
}

type paddedCodec struct{ accountCodec }

func (c paddedCodec) EncodeState(buf []byte, s any) ([]byte, error) {
	b, err := c.accountCodec.EncodeState(buf, s)
	return append(b, strings.Repeat(" ", 2<<10)...), err
}

// Retention may have emptied the outcomes: the store is ahead of them, and that is no loss.
func TestOutcomesAreGone(t *testing.T) {
	l := newLab(t, 1)
	_, stop := l.process()
	p := l.publisher()
	for range 3 {
		l.do(p, command("a", "deposit"), amount(1))
	}
	stop()
	cl, err := kgo.NewClient(l.kafka...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	end, err := partlog.Ends(l.context(5*time.Second), kadm.NewClient(cl), 0, accountTopics.Outcomes)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.cluster.DeleteRecords(accountTopics.Outcomes, 0, end[accountTopics.Outcomes]); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{l.dir, t.TempDir()} {
		l.dir = dir
		proc, stop := l.process()
		l.await(proc, func(p Partition) bool { return p.State == serving })
		stop()
	}
}

// A record that would make an outcome too large for the broker is answered, and the next one decided.
func TestPoisonRecord(t *testing.T) {
	l := newLab(t, 1)
	l.process()
	p := l.publisher()
	cl, err := kgo.NewClient(append(l.kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	long := []byte(strings.Repeat("\xff", 300<<10))
	for _, header := range []string{"ce_type", "ce_id", "ce_correlationid", "ce_time", "traceparent", "x-unknown"} {
		r := &kgo.Record{Topic: accountTopics.Commands, Key: []byte("a"), Value: []byte("{}"), Headers: []kgo.RecordHeader{{Key: header, Value: long}}}
		if err := cl.ProduceSync(l.context(5*time.Second), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	r := &kgo.Record{Topic: accountTopics.Commands, Key: long, Value: long, Headers: []kgo.RecordHeader{{Key: "ce_type", Value: []byte("account.v1.deposit")}}}
	if err := cl.ProduceSync(l.context(5*time.Second), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if o := l.do(p, command("a", "deposit"), amount(1)); o.Kind != event.Accepted || o.Version != 1 {
		t.Fatalf("%+v", o)
	}
}

// A processor that is to stop does, though the brokers no longer take what its transaction needs.
func TestStopWhileKafkaIsDown(t *testing.T) {
	l := newLab(t, 1)
	began := make(chan struct{}, 1)
	_, stop := l.process(func(c *Config) { c.Logger = quiet })
	p := l.publisher()
	l.do(p, command("a", "deposit"), amount(1))
	l.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		if !l.ofProcessor(req) {
			return nil, nil, false
		}
		select {
		case began <- struct{}{}:
		default:
		}
		return nil, net.ErrClosed, true
	})
	if _, err := p.Publish(l.context(5*time.Second), command("a", "deposit"), "account", record.JSON, amount(1)); err != nil {
		t.Fatal(err)
	}
	<-began
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		stop()
	}()
	select {
	case <-ended:
	case <-l.context(40 * time.Second).Done():
		t.Fatal("Run has not returned")
	}
}

// Losing partitions while owning none, then for real: no worker goes on holding what another was given.
func TestLossesAreNotMissed(t *testing.T) {
	l := newLab(t, 4)
	l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.GroupAuthorizationFailed, Count: 2})
	proc, _ := l.process(func(c *Config) { c.Workers, c.Logger = 2, quiet })
	allServed := func() {
		t.Helper()
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		ctx := l.context(30 * time.Second)
		for {
			parts, _ := proc.Status()
			n := 0
			for _, p := range parts {
				if p.State == serving {
					n++
				}
			}
			if n == 4 && len(parts) == 4 {
				return
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				t.Fatalf("partitions: %+v", parts)
			}
		}
	}
	allServed()
	for round := range 3 {
		n := 2 - round%2
		h := l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Heartbeat}, Err: kerr.GroupAuthorizationFailed, Count: n})
		if err := h.Wait(l.context(20*time.Second), n); err != nil {
			t.Fatal(err)
		}
		p := l.publisher()
		for i := range 8 { // every partition, wherever it is now
			if o := l.do(p, command("s"+strconv.Itoa(i), "deposit"), amount(1)); o.Kind != event.Accepted {
				t.Fatalf("%+v", o)
			}
		}
		allServed()
	}
}

func scratchPartition(t *testing.T, window int64) *partition {
	t.Helper()
	cache := pebble.NewCache(8 << 20)
	t.Cleanup(cache.Unref)
	s, err := openStore(t.TempDir(), cache, pebbleLog{quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	})
	lim := limits{snapshotEvery: 100, inline: 1 << 10, eventBytes: 1 << 20, windowCount: window, windowAge: 24 * time.Hour}
	return &partition{typ: accountType(t), topics: accountTopics, count: 1, limits: lim, store: s, cache: newCache(&budget{bytes: 1 << 20}), cp: checkpoint{LastAppend: -1}}
}

// After a restore the window holds the last commands, whether or not they had events.
func TestWindowAfterRestore(t *testing.T) {
	const window, total = 2_000, 20_000
	p := scratchPartition(t, window)
	w := newRestoreBatch(p)
	defer w.close()
	base := time.Now().Add(-time.Hour)
	stream := func(i int) event.StreamID { return event.StreamID("s" + strconv.Itoa(i)) }
	for i := range total {
		o := event.Outcome{Kind: event.Accepted, Stream: stream(i), CommandID: "x", CommandOffset: int64(i), Offset: int64(i), RecordedTime: base, Digest: make([]byte, 16)}
		var err error
		if i%10 < 4 {
			err = w.outcome(&o)
		} else {
			err = w.event(&event.Envelope{Stream: stream(i), Version: 1, Type: "T", CausationID: "x", CommandOffset: int64(i), LastOfCommand: true, Offset: int64(i), RecordedTime: base, Time: base}, &o)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	for i := total - window; i < total; i++ {
		k, ok, err := p.store.known(p.cp.Epoch, knownKeyOf(stream(i), "", "x"))
		if !ok || err != nil || !k.Digested {
			t.Fatalf("command %d of %d: %+v %v %v", i, total, k, ok, err)
		}
	}
}

// Epochs that end partly by count and partly by age drop nothing that is within both bounds.
func TestWindowOfMixedEpochs(t *testing.T) {
	p := scratchPartition(t, 1000)
	b := p.store.db.NewBatch()
	cp := p.cp
	put := func(name string, at time.Time) {
		if _, err := putKnown(b, &cp, &p.limits, knownKeyOf("s", "", name), &known{Recorded: at.UnixNano()}, nil); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	for i := range 250 {
		put("a"+strconv.Itoa(i), begin)
	}
	for i := range 500 {
		put("b"+strconv.Itoa(i), begin.Add(time.Minute))
	}
	put("c", begin.Add(2*time.Minute))
	put("d", begin.Add(6*time.Hour+10*time.Minute))
	put("e", begin.Add(12*time.Hour+20*time.Minute))
	if err := b.Commit(pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := p.store.known(cp.Epoch, knownKeyOf("s", "", "a249")); !ok || err != nil {
		t.Fatal("503 commands and 12 hours later it is forgotten", err)
	}
}
