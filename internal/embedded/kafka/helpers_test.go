package kafka

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const deadline = 30 * time.Second

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	t.Cleanup(cancel)
	return ctx
}

// start runs a broker on dir and a free port until the test ends.
func start(t testing.TB, dir string) *Server {
	t.Helper()
	s, err := Start(testContext(t), Config{Addr: "127.0.0.1:0", DataDir: dir, Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func client(t testing.TB, addr string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(addr),
		kgo.ProducerLinger(0),
		kgo.DisableClientMetrics(), // they would be pushed once more on Close, to brokers that the tests have killed
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

func createTopic(t testing.TB, addr, topic string, partitions int32) {
	t.Helper()
	_, err := kadm.NewClient(client(t, addr)).CreateTopic(testContext(t), partitions, 1, nil, topic)
	require.NoError(t, err)
}

// produce adds one record a partition, numbered from 0, with the given value.
func produce(t testing.TB, cl *kgo.Client, topic string, partitions int32, value string) {
	t.Helper()
	var records []*kgo.Record
	for p := range partitions {
		records = append(records, &kgo.Record{Topic: topic, Partition: p, Value: []byte(value)})
	}
	require.NoError(t, cl.ProduceSync(testContext(t), records...).FirstErr())
}

// committed returns the values that a read-committed consumer gets from each partition. It marks the end
// with a record outside any transaction, to know when it has read everything.
func committed(t testing.TB, addr, topic string, partitions int32) [][]string {
	t.Helper()
	const endOf = "end of "
	end := endOf + time.Now().String()
	produce(t, client(t, addr), topic, partitions, end)

	cl := client(t, addr, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.FetchMaxWait(100*time.Millisecond))
	ctx := testContext(t)
	values := make([][]string, partitions)
	for done := int32(0); done < partitions; {
		fetches := cl.PollFetches(ctx)
		require.NoError(t, fetches.Err0(), "read so far: %v", values)
		fetches.EachRecord(func(r *kgo.Record) {
			if string(r.Value) == end {
				done++
				return
			}
			if strings.HasPrefix(string(r.Value), endOf) { // of an earlier call
				return
			}
			values[r.Partition] = append(values[r.Partition], string(r.Value))
		})
	}
	return values
}

// offsets returns the group's committed offset of each partition, -1 for none.
func offsets(t testing.TB, addr, group, topic string, partitions int32) []int64 {
	t.Helper()
	resp, err := kadm.NewClient(client(t, addr)).FetchOffsets(testContext(t), group)
	require.NoError(t, err)
	var at []int64
	for p := range partitions {
		o, ok := resp.Lookup(topic, p)
		if !ok {
			at = append(at, -1)
			continue
		}
		require.NoError(t, o.Err)
		at = append(at, o.At)
	}
	return at
}

// image copies a running broker's directory: the files that a kill -9 at this moment would leave, since
// what a process has written survives it.
func image(t testing.TB, dir string) string {
	t.Helper()
	dst := t.TempDir()
	require.NoError(t, os.CopyFS(dst, os.DirFS(dir)))
	return dst
}

func same[T any](n int32, v ...T) (all [][]T) {
	for range n {
		all = append(all, v)
	}
	return all
}

func txnID(i int) string { return fmt.Sprintf("txn-%d", i) }
