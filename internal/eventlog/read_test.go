package eventlog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

const partitions = 3

func cluster(t *testing.T) []kgo.Opt {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, "cqrsflow.order.events"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return []kgo.Opt{kgo.SeedBrokers(c.ListenAddrs()...)}
}

// append writes the next versions of streams in one transaction, which ends as told.
func appendEvents(t *testing.T, opts []kgo.Opt, end kgo.TransactionEndTry, events ...event.Envelope) {
	t.Helper()
	cl, err := kgo.NewClient(append(slices.Clone(opts), kgo.TransactionalID("test"), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	var enc record.Encoder
	for i := range events {
		e := &events[i]
		e.Partition = topology.PartitionOfStream(e.Stream, partitions)
		if err := cl.ProduceSync(t.Context(), enc.Event(e, "cqrsflow.order.events")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.EndTransaction(t.Context(), end); err != nil {
		t.Fatal(err)
	}
}

func ev(stream string, version event.Version) event.Envelope {
	now := time.Date(2026, 1, 1, 0, 0, int(version), 0, time.UTC)
	return event.Envelope{Aggregate: "order", Stream: event.StreamID(stream), Version: version, Type: "order.v1.OrderPaid", Time: now, RecordedTime: now,
		CommandOffset: int64(version), Data: []byte(stream)}
}

func TestRead(t *testing.T) {
	opts := cluster(t)
	if r, err := Read(t.Context(), Query{Kafka: opts, Aggregate: "order"}, func(*event.Envelope) error { return errors.New("an event") }); err != nil || r.Events != 0 {
		t.Fatalf("empty: %+v, %v", r, err)
	}
	appendEvents(t, opts, kgo.TryCommit, ev("a", 1), ev("b", 1), ev("c", 1), ev("d", 1))
	appendEvents(t, opts, kgo.TryAbort, ev("a", 2), ev("b", 2))
	appendEvents(t, opts, kgo.TryCommit, ev("a", 2))
	plain, err := kgo.NewClient(append(slices.Clone(opts), kgo.DefaultProduceTopic("cqrsflow.order.events"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if err := plain.ProduceSync(t.Context(), kgo.KeySliceRecord([]byte("a"), []byte("foreign"))).FirstErr(); err != nil {
		t.Fatal(err)
	}
	appendEvents(t, opts, kgo.TryAbort, ev("a", 3)) // aborted at the very end

	read := func(q Query) ([]string, Result) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		q.Kafka, q.Aggregate = opts, "order"
		var ids []string
		r, err := Read(ctx, q, func(e *event.Envelope) error {
			ids = append(ids, e.ID())
			if string(e.Data) != string(e.Stream) {
				return fmt.Errorf("data %q of %s", e.Data, e.ID())
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(ids)
		return ids, r
	}
	var done, total int64
	ids, r := read(Query{Progress: func(d, n int64) { done, total = d, n }})
	if d := cmp.Diff([]string{"a/1", "a/2", "b/1", "c/1", "d/1"}, ids); d != "" || r.Events != 5 || r.Foreign != 1 || len(r.Through) != partitions {
		t.Errorf("%+v (-want +got):\n%s", r, d)
	}
	if done != total || total == 0 {
		t.Errorf("progress ended at %d of %d", done, total)
	}
	numbers, err := Partitions(t.Context(), Query{Kafka: opts, Aggregate: "order"})
	if d := cmp.Diff([]int32{0, 1, 2}, numbers); d != "" || err != nil {
		t.Errorf("partitions: %v (-want +got):\n%s", err, d)
	}
	var apart int64
	for _, p := range numbers {
		_, r := read(Query{Partitions: []int32{p}})
		apart += r.Events
	}
	if apart != 5 {
		t.Errorf("%d events partition by partition, want 5", apart)
	}
	ids, r = read(Query{Stream: "a"})
	if d := cmp.Diff([]string{"a/1", "a/2"}, ids); d != "" || len(r.Through) != 1 {
		t.Errorf("stream a: %+v (-want +got):\n%s", r, d)
	}
}

func TestAt(t *testing.T) {
	opts := cluster(t)
	appendEvents(t, opts, kgo.TryCommit, ev("a", 1), ev("a", 2))
	p := topology.PartitionOfStream("a", partitions)
	e, err := At(t.Context(), Query{Kafka: opts, Aggregate: "order"}, p, 1)
	if err != nil || e.ID() != "a/2" {
		t.Errorf("%s, %v", e.ID(), err)
	}
	for _, offset := range []int64{2, 3} { // a marker, the end
		if _, err := At(t.Context(), Query{Kafka: opts, Aggregate: "order"}, p, offset); !errors.Is(err, event.ErrNotFound) {
			t.Errorf("at %d: %v", offset, err)
		}
	}
}

func TestReadErrors(t *testing.T) {
	opts := cluster(t)
	appendEvents(t, opts, kgo.TryCommit, ev("a", 1))
	boom := errors.New("boom")
	if _, err := Read(t.Context(), Query{Kafka: opts, Aggregate: "order"}, func(*event.Envelope) error { return boom }); !errors.Is(err, boom) {
		t.Errorf("error %v, want boom", err)
	}
	if _, err := Read(t.Context(), Query{Kafka: opts, Aggregate: "nothing"}, nil); !errors.Is(err, event.ErrUnavailable) && !errors.Is(err, event.ErrNotFound) {
		t.Errorf("error %v for a topic that is not there", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := Read(ctx, Query{Kafka: []kgo.Opt{kgo.SeedBrokers("127.0.0.1:1")}, Aggregate: "order"}, nil); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("error %v without a broker", err)
	}
}
