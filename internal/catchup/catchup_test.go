package catchup

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

func TestMeasureAndWait(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "events"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	client := func(opts ...kgo.Opt) *kgo.Client {
		cl, err := kgo.NewClient(append(opts, kgo.SeedBrokers(c.ListenAddrs()...), kgo.DisableClientMetrics())...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cl.Close)
		return cl
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	plain := client(kgo.DefaultProduceTopic("events"), kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	for range 10 {
		if err := plain.ProduceSync(ctx, kgo.StringRecord("x")).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	consumer := client(kgo.ConsumerGroup("p.orders.v1"), kgo.ConsumeTopics("events"), kgo.DisableAutoCommit(), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	var read []*kgo.Record
	for len(read) < 10 {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		read = append(read, fetches.Records()...)
	}
	admin := kadm.NewClient(plain)
	groups := []Group{{"orders", "p.orders.v1"}, {"nobody", "p.nobody.v1"}}
	now := func(context.Context) ([]Group, error) { return groups, nil }
	measure := func(want Lag) {
		t.Helper()
		got, err := Measure(ctx, admin, groups)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]Lag{want, {Group: groups[1], State: "Dead"}}, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
	if err := consumer.CommitRecords(ctx, read[0]); err != nil {
		t.Fatal(err)
	}
	measure(Lag{Group: groups[0], State: "Stable", Members: 1, Done: 1, Total: 10, Lag: 9})

	short, stop := context.WithTimeout(ctx, 2*lookEvery)
	defer stop()
	if err := Wait(short, admin, now, nil, nil); err == nil {
		t.Error("it did not wait for the group")
	}
	if err := consumer.CommitRecords(ctx, read...); err != nil {
		t.Fatal(err)
	}
	measure(Lag{Group: groups[0], State: "Stable", Members: 1, Done: 10, Total: 10})
	var done, total int64
	looks := 0
	busy := func() bool { looks++; return looks < 3 }
	if err := Wait(ctx, admin, now, busy, func(d, n int64) { done, total = d, n }); err != nil || done != 10 || total != 10 || looks < 3+settled-1 {
		t.Errorf("%d of %d, %v after %d looks", done, total, err, looks)
	}
}

func TestUnavailable(t *testing.T) {
	cl, err := kgo.NewClient(kgo.SeedBrokers("127.0.0.1:1"), kgo.DisableClientMetrics())
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := Measure(ctx, kadm.NewClient(cl), []Group{{"a", "a"}}); !errors.Is(err, event.ErrUnavailable) {
		t.Errorf("error %v", err)
	}
}
