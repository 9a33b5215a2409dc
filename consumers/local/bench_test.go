package local_test

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/consumers/local"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// BenchmarkIndex indexes 70,000 small orders, each placed and paid, on eight partitions one after the
// other, in batches of so many events. Besides the time it reports the CPU time of the process, and both
// until everything is durable.
func BenchmarkIndex(b *testing.B) {
	const orders, partitions = 70_000, 8
	for _, batch := range []int{5000, 500, 50} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				b.StopTimer()
				logs := shop(orders, partitions)
				index, err := local.Open(local.Config{Dir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				sink := local.New(index)
				cpu := cpuTime(b)
				b.StartTimer()
				began := time.Now()
				replay(b, sink, logs, batch)
				visible := time.Since(began)
				if err := index.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				b.ReportMetric(orders/visible.Seconds(), "orders/s")
				b.ReportMetric((cpuTime(b) - cpu).Seconds(), "cpu-s")
				if n, err := index.Bleve().DocCount(); err != nil || n != orders {
					b.Fatalf("%d documents, %v", n, err)
				}
				if err := index.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// shop makes the logs of so many orders, each placed and then paid.
func shop(orders, partitions int) [][]event.Recorded {
	logs := make([][]event.Recorded, partitions)
	day := time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := range orders {
		p := n % partitions
		when := day.Add(time.Duration(n) * time.Minute)
		id := event.StreamID(fmt.Sprintf("cdnow-%d", n+1))
		customer := fmt.Sprintf("cdnow-%05d", n%23_570)
		money := &typev1.Money{Amount: "29.33", Currency: "USD"}
		env := event.Envelope{Aggregate: "order", Stream: id, Version: 1, Type: "order.v1.OrderPlaced", Time: when, RecordedTime: when,
			LastOfCommand: true, Partition: int32(p), Offset: int64(len(logs[p])), CommandOffset: int64(len(logs[p]))}
		logs[p] = append(logs[p], event.Recorded{Envelope: env, Body: &orderv1.OrderPlaced{Customer: customer, Total: money, PlacedAt: timestamppb.New(when),
			Lines: []*orderv1.LineItem{{Sku: "cd", Name: "CD", Quantity: 2, Total: money}}}})
		env.Version, env.Type, env.Offset, env.CommandOffset = 2, "order.v1.OrderPaid", env.Offset+1, env.CommandOffset+1
		logs[p] = append(logs[p], event.Recorded{Envelope: env, Body: &orderv1.OrderPaid{Customer: customer, Total: money, Units: 2, PaidAt: timestamppb.New(when)}})
	}
	return logs
}

func replay(b *testing.B, sink runner.Sink, logs [][]event.Recorded, size int) {
	ctx := context.Background()
	sessions := make([]runner.Session, len(logs))
	at := make([]runner.Checkpoint, len(logs))
	part := func(p int) runner.Partition {
		return runner.Partition{Aggregate: "order", Source: runner.Events, Topic: "cqrsflow.order.events", TopicID: [16]byte{1}, Number: int32(p)}
	}
	for p := range logs {
		s, err := sink.Open(ctx, part(p))
		if err != nil {
			b.Fatal(err)
		}
		sessions[p], at[p] = s, runner.Checkpoint{TopicID: [16]byte{1}, CommandOffset: -1}
	}
	for more := true; more; {
		more = false
		for p := range logs {
			n := min(size, len(logs[p]))
			if n == 0 {
				continue
			}
			more = true
			events := logs[p][:n]
			logs[p] = logs[p][n:]
			to := runner.Checkpoint{TopicID: [16]byte{1}, Next: events[n-1].Offset + 1, CommandOffset: events[n-1].CommandOffset}
			if err := sessions[p].Apply(ctx, &runner.Batch{Partition: part(p), From: at[p], To: to, Events: events}); err != nil {
				b.Fatal(err)
			}
			at[p] = to
		}
	}
}

func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
