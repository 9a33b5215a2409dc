package producer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// traffic sends n deposits to a few streams and waits for their outcomes; what is unknown is asked
// again with the same ID, as a client should.
func (l *lab) traffic(p *Publisher, prefix string, n int) {
	l.t.Helper()
	ctx := l.context(60 * time.Second)
	var wg sync.WaitGroup
	for i := range n {
		c := command("s"+strconv.Itoa(i%5), "deposit")
		c.ID = prefix + "-" + strconv.Itoa(i)
		wg.Go(func() {
			for {
				o, err := p.Do(ctx, c, "account", record.JSON, amount(1))
				switch {
				case err == nil && o.Kind == event.Accepted:
					return
				case ctx.Err() == nil && (errors.Is(err, event.ErrOutcomeUnknown) || errors.Is(err, event.ErrUnavailable)):
					continue
				}
				l.t.Errorf("%s: %v %s, %v", c.ID, o.Kind, o.Code, err)
				return
			}
		})
	}
	wg.Wait()
}

// exactlyOnce checks that every command of traffic has exactly one event.
func (l *lab) exactlyOnce(want int) {
	l.t.Helper()
	seen := map[string]int{}
	for _, events := range l.events() {
		for _, e := range events {
			seen[e.CausationID]++
		}
	}
	for id, n := range seen {
		if n != 1 {
			l.t.Errorf("command %s has %d events", id, n)
		}
	}
	if len(seen) != want {
		l.t.Errorf("%d commands have events, want %d", len(seen), want)
	}
}

// Every request of a transaction fails once or several times, answered with an error, applied with the
// answer lost, or cut off: whatever happens, each command has its events exactly once.
func TestFaultsInATransaction(t *testing.T) {
	keys := map[string]kmsg.Key{
		"Produce": kmsg.Produce, "AddOffsetsToTxn": kmsg.AddOffsetsToTxn, "TxnOffsetCommit": kmsg.TxnOffsetCommit, "EndTxn": kmsg.EndTxn,
		"InitProducerID": kmsg.InitProducerID, "OffsetFetch": kmsg.OffsetFetch, "ListOffsets": kmsg.ListOffsets, "Heartbeat": kmsg.Heartbeat,
	}
	errs := map[string]*kerr.Error{
		"unknown server error": kerr.UnknownServerError, "timed out, applied": kerr.RequestTimedOut, "not coordinator": kerr.NotCoordinator,
		"concurrent transactions": kerr.ConcurrentTransactions, "invalid producer epoch": kerr.InvalidProducerEpoch, "fenced": kerr.ProducerFenced,
		"abortable": kerr.TransactionAbortable, "illegal generation": kerr.IllegalGeneration, "cut off": nil,
	}
	for keyName, key := range keys {
		for errName, kafkaErr := range errs {
			t.Run(keyName+"/"+errName, func(t *testing.T) {
				t.Parallel()
				l := newLab(t, 2)
				_, stop := l.process(func(c *Config) { c.Logger = quiet })
				p := l.publisher()
				l.traffic(p, "calm", 10)
				var hits func() int
				if kafkaErr != nil {
					hits = l.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{key}, Err: kafkaErr, Count: 3, When: l.ofProcessor}).Hits
				} else {
					var mu sync.Mutex
					left, n := 3, 0
					hits = func() int { mu.Lock(); defer mu.Unlock(); return n }
					l.cluster.ControlKey(int16(key), func(req kmsg.Request) (kmsg.Response, error, bool) {
						l.cluster.KeepControl()
						mu.Lock()
						defer mu.Unlock()
						if left == 0 || !l.ofProcessor(req) {
							return nil, nil, false
						}
						left--
						n++
						return nil, net.ErrClosed, true
					})
				}
				for round := range 3 {
					l.traffic(p, fmt.Sprint("storm", round), 20)
				}
				stop() // and once more after a restart, which restores
				l.process(func(c *Config) { c.Logger = quiet })
				l.traffic(p, "after", 10)
				l.exactlyOnce(80)
				if key != kmsg.Heartbeat && key != kmsg.AddOffsetsToTxn && hits() == 0 {
					t.Error("the fault did not happen")
				}
			})
		}
	}
}

// ofProcessor keeps faults away from the publisher's own requests.
func (l *lab) ofProcessor(req kmsg.Request) bool {
	if r, ok := req.(*kmsg.ProduceRequest); ok {
		return r.TransactionID != nil
	}
	return true
}

// A torn commit, as a broker leaves it that is killed between two partitions' markers: the events are
// there, outcome and offset are not. The command is not run again, and is answered.
func TestTornCommitIsNotRunAgain(t *testing.T) {
	l := newLab(t, 1)
	_, stop := l.process()
	p := l.publisher()
	l.do(p, command("torn", "deposit"), amount(1))
	stop()
	// Write the event of the next command as the processor would have, in a transaction without its
	// outcome and its offset.
	ctx := l.context(20 * time.Second)
	c := command("torn", "deposit")
	c.ID = "torn-1"
	receipt, err := p.Publish(ctx, c, "account", record.JSON, amount(5))
	if err != nil {
		t.Fatal(err)
	}
	env := event.Envelope{Aggregate: "account", Stream: "torn", Version: 2, Type: "account.v1.Changed", Time: time.Now(), RecordedTime: time.Now(),
		CausationID: c.ID, CommandOffset: receipt.Offset, LastOfCommand: true, ContentType: record.JSON, Data: []byte(`{"delta":5}`)}
	l.writeEvents(ctx, env)
	l.process()
	o := l.do(p, c, amount(5))
	if o.Kind != event.Accepted || o.Version != 2 || state(t, o).Balance != 6 || !o.Replayed {
		t.Fatalf("%+v", o)
	}
	outcomes := map[int64]event.Outcome{}
	for _, r := range l.logged(accountTopics.Outcomes) {
		o, err := record.ParseOutcome(r, "account", nil)
		if err != nil {
			t.Fatal(err)
		}
		outcomes[o.CommandOffset] = o
	}
	if first := outcomes[receipt.Offset]; first.Kind != event.Accepted || first.Version != 2 || first.Replayed {
		t.Fatalf("the torn command's outcome: %+v", first)
	}
	if n := len(l.events()["torn"]); n != 2 {
		t.Fatalf("%d events, want 2", n)
	}
}

func (l *lab) writeEvents(ctx context.Context, envs ...event.Envelope) {
	l.t.Helper()
	cl, err := kgo.NewClient(append(l.kafka, kgo.TransactionalID("test-writer"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		l.t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		l.t.Fatal(err)
	}
	var enc record.Encoder
	for _, env := range envs {
		if err := cl.ProduceSync(ctx, enc.Event(&env, accountTopics.Events)).FirstErr(); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err != nil {
		l.t.Fatal(err)
	}
}

// Committed offsets expire. Without one the processor goes on after the last command that the log
// tells of, instead of deciding all commands once more.
func TestAbsentOffsetIsNotZero(t *testing.T) {
	l := newLab(t, 1)
	_, stop := l.process(func(c *Config) { c.WindowCount = 1 }) // so that the window cannot hide it
	p := l.publisher()
	for range 5 {
		l.do(p, command("eve", "deposit"), amount(1))
	}
	l.do(p, command("eve", "withdraw"), amount(100)) // the last one has an outcome, and no event
	stop()
	cl, err := kgo.NewClient(l.kafka...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if _, err := kadm.NewClient(cl).DeleteGroup(l.context(10*time.Second), "cqrsflow.processor"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{l.dir, t.TempDir()} {
		l.dir = dir
		_, stop := l.process(func(c *Config) { c.WindowCount = 1 })
		if o := l.do(p, command("fay", "deposit"), amount(1)); o.Kind != event.Accepted {
			t.Fatalf("%+v", o)
		}
		stop()
		if n := len(l.events()["eve"]); n != 5 {
			t.Fatalf("%d events, want 5", n)
		}
		if n := len(l.logged(accountTopics.Outcomes)); n != 7 && n != 8 {
			t.Fatalf("%d outcomes", n)
		}
		if _, err := kadm.NewClient(cl).DeleteGroup(l.context(10*time.Second), "cqrsflow.processor"); err != nil {
			t.Fatal(err)
		}
	}
}

// A log that lost data stops the partition, loudly.
func TestLostLogStopsThePartition(t *testing.T) {
	for name, lose := range map[string]func(*lab) error{
		"topic made again": func(l *lab) error {
			if err := l.cluster.DeleteTopic(accountTopics.Events); err != nil {
				return err
			}
			return l.cluster.CreateTopic(accountTopics.Events, 1, nil)
		},
		"a gap": func(l *lab) error {
			l.dir = l.t.TempDir() // nothing local to go on from
			return l.cluster.DeleteRecords(accountTopics.Events, 0, 2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 1)
			_, stop := l.process()
			p := l.publisher()
			for range 4 {
				l.do(p, command("gil", "deposit"), amount(1))
			}
			stop()
			if err := lose(l); err != nil {
				t.Fatal(err)
			}
			proc, _ := l.process()
			part := l.await(proc, func(p Partition) bool { return p.State == stopped })
			if !errors.Is(part.Err, event.ErrCorrupt) {
				t.Fatalf("%+v", part)
			}
		})
	}
}

// await polls the processor's status until a partition is as wanted.
func (l *lab) await(p *Processor, want func(Partition) bool) Partition {
	l.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	ctx := l.context(30 * time.Second)
	for {
		parts, _ := p.Status()
		for _, part := range parts {
			if want(part) {
				return part
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			l.t.Fatalf("partitions: %+v", parts)
		}
	}
}

// The restore barrier: a former owner's transaction has committed its offset, but the marker on the
// events partition is still to come. Reading the events only up to the last stable offset would miss
// them. The new owner waits for it, or ends what can no longer be committed.
func TestRestoreWaitsForOpenTransactions(t *testing.T) {
	l := newLab(t, 1)
	p := l.publisher()
	ctx := l.context(30 * time.Second)
	// A departed owner left a transaction with an event open.
	cl, err := kgo.NewClient(append(l.kafka, kgo.TransactionalID("cqrsflow.processor-departed-0"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionTimeout(10*time.Minute))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	var enc record.Encoder
	env := event.Envelope{Aggregate: "account", Stream: "hal", Version: 1, Type: "account.v1.Changed", Time: time.Now(), RecordedTime: time.Now(),
		CausationID: "x", CommandOffset: 0, LastOfCommand: true, ContentType: record.JSON, Data: []byte(`{"delta":5}`)}
	if err := cl.ProduceSync(ctx, enc.Event(&env, accountTopics.Events)).FirstErr(); err != nil {
		t.Fatal(err)
	}
	l.process() // the timeout is ten minutes: it has to end that transaction itself
	if o := l.do(p, command("hal", "deposit"), amount(1)); o.Kind != event.Accepted || o.Version != 1 || state(t, o).Balance != 1 {
		t.Fatalf("%+v", o)
	}
	if err := cl.EndTransaction(ctx, kgo.TryCommit); err == nil {
		t.Fatal("the departed owner could commit")
	}
	if n := len(l.events()["hal"]); n != 1 {
		t.Fatalf("%d events, want 1", n)
	}
}

// Records that nobody should have written: they are answered or skipped, and the rest goes on.
func TestForeignRecords(t *testing.T) {
	l := newLab(t, 1)
	_, stop := l.process()
	p := l.publisher()
	ctx := l.context(20 * time.Second)
	cl, err := kgo.NewClient(append(l.kafka, kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	header := func(kv ...string) (hs []kgo.RecordHeader) {
		for i := 0; i < len(kv); i += 2 {
			hs = append(hs, kgo.RecordHeader{Key: kv[i], Value: []byte(kv[i+1])})
		}
		return hs
	}
	bad := []*kgo.Record{
		{Key: []byte("ida")},                                                    // null value, no headers
		{Key: []byte("ida"), Value: []byte("{}")},                               // no type
		{Value: []byte("{}"), Headers: header("ce_type", "account.v1.deposit")}, // no key
		{Key: []byte("white space"), Value: []byte("{}"), Headers: header("ce_type", "account.v1.deposit")},
		{Key: make([]byte, 300), Value: []byte("{}"), Headers: header("ce_type", "account.v1.deposit")},
		{Key: []byte("ida"), Value: []byte("{}"), Headers: header("ce_type", "account.v1.deposit", "ce_id", "\xff\xfe")},
		{Key: []byte("ida"), Value: []byte("{}"), Headers: header("ce_type", "account.v1.deposit", "ce_time", "yesterday")},
		{Key: []byte("ida"), Value: []byte("{}"), Headers: header("ce_type", "account.v1.deposit", "ce_expectedversion", "-2")},
		{Key: []byte("ida"), Value: []byte("{}"), Headers: header("ce_type", "\xff\xff")},
		{Key: []byte("ida"), Value: nil, Headers: header("ce_type", "account.v1.deposit")},
		{Key: []byte("ida"), Value: []byte("\xff\xff"), Headers: header("ce_type", "account.v1.deposit")},
	}
	for _, r := range bad {
		r.Topic = accountTopics.Commands
		if err := cl.ProduceSync(ctx, r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	// An event that is in no transaction is not the processor's.
	foreign := kgo.Record{Topic: accountTopics.Events, Key: []byte("ida"), Value: []byte("{}"), Headers: header("ce_type", "account.v1.Changed", "ce_id", "ida/1")}
	if err := cl.ProduceSync(ctx, &foreign).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if o := l.do(p, command("ida", "deposit"), amount(1)); o.Kind != event.Accepted || o.Version != 1 {
		t.Fatalf("%+v", o)
	}
	invalid := 0
	for _, r := range l.logged(accountTopics.Outcomes) {
		o, err := record.ParseOutcome(r, "account", nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.Kind == event.Invalid && o.Message != "" {
			invalid++
		}
	}
	if invalid != len(bad) {
		t.Fatalf("%d of %d bad commands were answered as invalid", invalid, len(bad))
	}
	stop()
	l.dir = t.TempDir() // restoring skips it as well
	l.process()
	if o := l.do(p, command("ida", "deposit"), amount(1)); o.Kind != event.Accepted || o.Version != 2 {
		t.Fatalf("%+v", o)
	}
}

// An event in the stream that cannot be read rejects that stream's commands; the others go on.
func TestUndecodableEvent(t *testing.T) {
	l := newLab(t, 1)
	ctx := l.context(20 * time.Second)
	_, stop := l.process()
	p := l.publisher()
	l.do(p, command("kim", "deposit"), amount(1))
	stop()
	l.writeEvents(ctx, event.Envelope{Aggregate: "account", Stream: "jan", Version: 1, Type: "account.v1.Changed", Time: time.Now(), RecordedTime: time.Now(),
		CausationID: "x", CommandOffset: 0, LastOfCommand: true, ContentType: record.JSON, Data: []byte(`{"delta":`)})
	l.process()
	if o := l.do(p, command("jan", "deposit"), amount(1)); o.Kind != event.Rejected || o.Code != CodeStreamUndecodable {
		t.Fatalf("%+v", o)
	}
	if o := l.do(p, command("kim", "deposit"), amount(1)); o.Kind != event.Accepted {
		t.Fatalf("%+v", o)
	}
}
