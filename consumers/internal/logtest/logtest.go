// Package logtest writes event logs for tests of consumers, on an in-memory Kafka, as the processor would.
package logtest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// Epoch is when the first command of a log is recorded; each further one a second later.
var Epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Log is an in-memory Kafka with the topics of aggregate types.
type Log struct {
	Cluster    *kfake.Cluster
	Partitions int32
	writer     *kgo.Client

	mu struct {
		sync.Mutex
		versions map[string]event.Version // by aggregate/stream
		commands map[string]int64         // next command offset, by aggregate/partition
		n        int
	}
}

// Command is what one command appends to a stream.
type Command struct {
	Stream string
	Events []proto.Message
	// Type and Data, if set, are appended instead of Events, as they are.
	Type string
	Data []byte
	// At is when it happened; zero is when it is recorded.
	At time.Time
	// Outcome has an outcome written as well, under this command ID.
	Outcome string
	// Variant is the assignment under which it was decided.
	Variant string
	// Skip leaves out that many versions before the first event.
	Skip int
}

// New starts a cluster that ends with the test.
func New(t testing.TB, partitions int32, aggregates ...string) *Log {
	t.Helper()
	var topics []string
	for _, a := range aggregates {
		topics = append(topics, topology.TopicsOf("", a).All()...)
	}
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topics...),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatalf("start kfake: %v", err)
	}
	t.Cleanup(c.Close)
	l := &Log{Cluster: c, Partitions: partitions}
	l.mu.versions, l.mu.commands = map[string]event.Version{}, map[string]int64{}
	l.writer, err = kgo.NewClient(append(l.Client(), kgo.TransactionalID("logtest"), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.writer.Close)
	return l
}

// Client are the options that reach the cluster.
func (l *Log) Client() []kgo.Opt { return []kgo.Opt{kgo.SeedBrokers(l.Cluster.ListenAddrs()...)} }

// Append appends the commands in one transaction and returns the events with their offsets.
func (l *Log) Append(t testing.TB, aggregate string, commands ...Command) []event.Envelope {
	t.Helper()
	return l.transaction(t, kgo.TryCommit, aggregate, commands...)
}

// Abort writes the commands in a transaction that is aborted.
func (l *Log) Abort(t testing.TB, aggregate string, commands ...Command) {
	t.Helper()
	l.transaction(t, kgo.TryAbort, aggregate, commands...)
}

// One is a command that appends events to a stream.
func One(stream string, events ...proto.Message) Command {
	return Command{Stream: stream, Events: events}
}

// Raw is a command that appends one event of a type, with these bytes.
func Raw(stream, typ string, data []byte) Command {
	return Command{Stream: stream, Type: typ, Data: data}
}

func (l *Log) transaction(t testing.TB, end kgo.TransactionEndTry, aggregate string, commands ...Command) []event.Envelope {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.writer.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	var enc record.Encoder
	var recs []*kgo.Record
	var out []event.Envelope
	for _, c := range commands {
		events, outcome := l.envelopes(t, aggregate, c, end == kgo.TryCommit)
		for i := range events {
			recs = append(recs, enc.Event(&events[i], topology.TopicsOf("", aggregate).Events))
		}
		out = append(out, events...)
		if outcome != nil {
			recs = append(recs, enc.Outcome(outcome, topology.TopicsOf("", aggregate).Outcomes))
		}
	}
	results := l.writer.ProduceSync(ctx, recs...)
	if err := results.FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := l.writer.EndTransaction(ctx, end); err != nil {
		t.Fatal(err)
	}
	byKey := map[string]int64{}
	for _, r := range results {
		for _, h := range r.Record.Headers {
			if h.Key == "ce_id" {
				byKey[string(h.Value)] = r.Record.Offset
			}
		}
	}
	for i := range out {
		out[i].Offset = byKey[out[i].ID()]
	}
	return out
}

func (l *Log) envelopes(t testing.TB, aggregate string, c Command, keep bool) ([]event.Envelope, *event.Outcome) {
	t.Helper()
	partition := topology.PartitionOf(c.Stream, l.Partitions)
	stream, place := aggregate+"/"+c.Stream, aggregate+"#"+string('0'+partition)
	recorded := Epoch.Add(time.Duration(l.mu.n) * time.Second)
	l.mu.n++
	at := c.At
	if at.IsZero() {
		at = recorded
	}
	version := l.mu.versions[stream] + event.Version(c.Skip)
	offset := l.mu.commands[place]
	type body struct {
		typ  string
		data []byte
	}
	var bodies []body
	if c.Type != "" {
		bodies = append(bodies, body{c.Type, c.Data})
	}
	for _, m := range c.Events {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, body{string(m.ProtoReflect().Descriptor().FullName()), data})
	}
	var events []event.Envelope
	var refs []event.Ref
	for i, b := range bodies {
		version++
		events = append(events, event.Envelope{Aggregate: aggregate, Stream: event.StreamID(c.Stream), Version: version, Type: b.typ,
			Time: at, RecordedTime: recorded, CausationID: c.Outcome, Variant: c.Variant, CommandOffset: offset, LastOfCommand: i == len(bodies)-1,
			Partition: partition, ContentType: record.Protobuf, Data: b.data})
		refs = append(refs, event.Ref{Type: b.typ, Version: version})
	}
	var outcome *event.Outcome
	if c.Outcome != "" {
		outcome = &event.Outcome{Aggregate: aggregate, Stream: event.StreamID(c.Stream), CommandID: c.Outcome, Kind: event.Accepted,
			Version: version, Events: refs, Position: event.Position{Aggregate: aggregate, Partition: partition, Offset: offset},
			Digest: []byte{1, 2, 3}, RecordedTime: recorded, Partition: partition, CommandOffset: offset}
	}
	if keep {
		l.mu.versions[stream] = version
		l.mu.commands[place] = offset + 1
	}
	return events, outcome
}

// Foreign writes a record without a transaction to an events topic, as a program that should not would.
func (l *Log) Foreign(t testing.TB, aggregate, stream string) {
	t.Helper()
	cl, err := kgo.NewClient(append(l.Client(), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	rec := &kgo.Record{Topic: topology.TopicsOf("", aggregate).Events, Partition: topology.PartitionOf(stream, l.Partitions), Key: []byte(stream), Value: []byte("{}")}
	if err := cl.ProduceSync(t.Context(), rec).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// Until waits until ok holds, and fails the test after a generous time.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("still waiting for: %s", what)
		}
		<-tick.C
	}
}
