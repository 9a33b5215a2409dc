package kafka

import (
	"bufio"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/internal/embedded/dirlock"
)

const serveEnv = "EMBEDDED_KAFKA_TEST_SERVE"

// TestMain is also the broker process that gets killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(serveEnv); dir != "" {
		s, err := Start(context.Background(), Config{Addr: "127.0.0.1:0", DataDir: dir, Logger: quiet})
		if err != nil {
			os.Stdout.WriteString(err.Error() + "\n") //nolint:errcheck // the parent sees that nothing came
			os.Exit(1)
		}
		os.Stdout.WriteString(s.Addr() + "\n") //nolint:errcheck // the same
		select {}
	}
	os.Exit(m.Run())
}

// The restart keeps everything, and Close leaves nothing running.
func TestRestart(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, ignore) }) // runs last, after the test's clients have closed
	dir := t.TempDir()
	ctx := testContext(t)

	run := func(check func(addr string, adm *kadm.Client)) {
		s, err := Start(ctx, Config{Addr: "127.0.0.1:0", DataDir: dir, Logger: quiet})
		require.NoError(t, err)
		cl, err := kgo.NewClient(kgo.SeedBrokers(s.Addr()), kgo.DisableClientMetrics())
		require.NoError(t, err)
		check(s.Addr(), kadm.NewClient(cl))
		cl.Close()
		require.NoError(t, s.Close())
		require.NoError(t, s.Close(), "a second Close")
	}

	var first kadm.TopicDetails
	var cluster string
	configs := map[string]*string{
		"cleanup.policy": kadm.StringPtr("delete"), "retention.ms": kadm.StringPtr("-1"), "retention.bytes": kadm.StringPtr("-1"),
		"message.timestamp.type": kadm.StringPtr("LogAppendTime"),
	}
	run(func(addr string, adm *kadm.Client) {
		_, err := adm.CreateTopic(ctx, parts, -1, configs, topic)
		require.NoError(t, err)
		produce(t, client(t, addr), topic, parts, "kept")
		require.NoError(t, adm.CommitAllOffsets(ctx, group, kadm.OffsetsFromRecords(kgo.Record{Topic: topic, Offset: 0})))
		first, err = adm.ListTopics(ctx)
		require.NoError(t, err)
		meta, err := adm.BrokerMetadata(ctx)
		require.NoError(t, err)
		require.Len(t, meta.Brokers, 1)
		cluster = meta.Cluster
	})
	run(func(addr string, adm *kadm.Client) {
		again, err := adm.ListTopics(ctx)
		require.NoError(t, err)
		require.Equal(t, first[topic].ID, again[topic].ID, "the topic's ID")
		require.Len(t, again[topic].Partitions, parts)
		rc, err := adm.DescribeTopicConfigs(ctx, topic)
		require.NoError(t, err)
		got := map[string]*string{}
		for _, c := range rc[0].Configs {
			if _, ours := configs[c.Key]; ours {
				got[c.Key] = c.Value
			}
		}
		require.Equal(t, configs, got)
		meta, err := adm.BrokerMetadata(ctx)
		require.NoError(t, err)
		require.Equal(t, cluster, meta.Cluster)
		require.Equal(t, same(parts, "kept"), committed(t, addr, topic, parts))
		require.Equal(t, []int64{1, -1, -1}, offsets(t, addr, group, topic, parts))
	})
}

// What the write side asks of a broker: Kafka 4.0's transactions, and the two requests that find out who
// has a transaction open.
func TestBrokerFeatures(t *testing.T) {
	s := start(t, t.TempDir())
	ctx := testContext(t)
	cl := client(t, s.Addr(), kgo.TransactionalID("one"))
	adm := kadm.NewClient(cl)
	createTopic(t, s.Addr(), topic, parts)

	resp, err := kmsg.NewPtrApiVersionsRequest().RequestWith(ctx, client(t, s.Addr()))
	require.NoError(t, err)
	finalized := map[string]int16{}
	for _, f := range resp.FinalizedFeatures {
		finalized[f.Name] = f.MaxVersionLevel
	}
	require.GreaterOrEqual(t, finalized["transaction.version"], int16(2))
	t.Log("finalized features:", finalized)
	require.NoError(t, cl.BeginTransaction())
	produce(t, cl, topic, parts, "open")
	txns, err := adm.ListTransactions(ctx, nil, []string{"Ongoing"})
	require.NoError(t, err)
	require.Equal(t, []string{"one"}, txns.TransactionalIDs())
	producers, err := adm.DescribeProducers(ctx, kadm.TopicsSet{topic: {0: {}}})
	require.NoError(t, err)
	active := producers.SortedProducers()
	require.Len(t, active, 1)
	require.Equal(t, int64(0), active[0].CurrentTxnStartOffset)
	require.NoError(t, cl.EndTransaction(ctx, kgo.TryAbort))

	err = client(t, s.Addr(), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(0)).
		ProduceSync(ctx, &kgo.Record{Topic: "unplanned", Value: []byte("x")}).FirstErr()
	require.ErrorIs(t, err, kerr.UnknownTopicOrPartition, "topics are not made by accident")
}

func TestCompression(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	createTopic(t, s.Addr(), topic, 1)
	var want []string
	for _, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression(), kgo.SnappyCompression(), kgo.GzipCompression()} {
		value := strings.Repeat("compressible ", 100)
		produce(t, client(t, s.Addr(), kgo.ProducerBatchCompression(codec)), topic, 1, value)
		want = append(want, value)
	}
	require.Equal(t, [][]string{want}, committed(t, start(t, image(t, dir)).Addr(), topic, 1))
}

func TestAddrInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	addr, dir := taken.Addr().String(), t.TempDir()

	_, err = Start(testContext(t), Config{Addr: addr, DataDir: dir, Logger: quiet})
	var inUse *AddrInUseError
	require.ErrorAs(t, err, &inUse)
	require.Equal(t, addr, inUse.Addr)
	require.ErrorContains(t, err, addr)
	require.ErrorIs(t, err, syscall.EADDRINUSE)

	start(t, dir) // the failed start let the directory go
}

func TestAdvertisedAddress(t *testing.T) {
	s, err := Start(testContext(t), Config{Addr: ":0", DataDir: t.TempDir(), Logger: quiet})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Close()) }()
	host, _, err := net.SplitHostPort(s.Addr())
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1", host)
	createTopic(t, s.Addr(), topic, 1) // the client goes where the broker says it is
}

func TestOneProcessADirectory(t *testing.T) {
	dir := t.TempDir()
	start(t, dir)
	_, err := Start(testContext(t), Config{Addr: "127.0.0.1:0", DataDir: dir, Logger: quiet})
	require.ErrorIs(t, err, dirlock.ErrLocked)
	require.ErrorContains(t, err, dir)
}

func TestConfigIsChecked(t *testing.T) {
	_, err := Start(testContext(t), Config{DataDir: t.TempDir()})
	require.ErrorContains(t, err, "Addr")
	_, err = Start(testContext(t), Config{Addr: "127.0.0.1:0"})
	require.ErrorContains(t, err, "DataDir")
}

// A member that was killed with its broker must not hold up the group for its session's time.
func TestGroupFormsAtOnceAfterCrash(t *testing.T) {
	for _, instance := range []string{"", "static"} {
		t.Run("instance "+instance, func(t *testing.T) {
			join := func(addr string) *kgo.Client {
				opts := []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.SessionTimeout(5 * time.Minute), kgo.DisableAutoCommit()}
				if instance != "" {
					opts = append(opts, kgo.InstanceID(instance))
				}
				cl := client(t, addr, opts...)
				require.NoError(t, cl.PollFetches(testContext(t)).Err0()) // fails at the context's deadline, far below the session's
				return cl
			}
			dir := t.TempDir()
			s := start(t, dir)
			createTopic(t, s.Addr(), topic, 1)
			produce(t, client(t, s.Addr()), topic, 1, "one")
			join(s.Addr())
			join(start(t, image(t, dir)).Addr())
		})
	}
}

// A broker process is killed again and again in the middle of transactions. Each transaction writes its
// number to all partitions and commits it as an offset.
func TestKillNine(t *testing.T) {
	const kills, between = 8, 40
	dir := t.TempDir()
	s, err := Start(testContext(t), Config{Addr: "127.0.0.1:0", DataDir: dir, Logger: quiet})
	require.NoError(t, err)
	createTopic(t, s.Addr(), topic, parts)
	require.NoError(t, s.Close())

	next := 1
	for range kills {
		next = killWhileCommitting(t, dir, next, between)
		s, err := Start(testContext(t), Config{Addr: "127.0.0.1:0", DataDir: dir, Logger: quiet})
		require.NoError(t, err)
		all := committed(t, s.Addr(), topic, parts)
		at := offsets(t, s.Addr(), group, topic, 1)[0]
		require.NoError(t, s.Close())

		for _, values := range all {
			require.Equal(t, all[0], values, "every partition has the same transactions")
			require.Len(t, values, int(at), "and so has the group's offset")
		}
		for i, v := range all[0] {
			require.Equal(t, txnID(i+1), v, "in order, none missing, none twice")
		}
		// The one whose answer never came may have been committed or not; the others were acknowledged.
		require.Contains(t, []int{next - 1, next}, len(all[0]))
		next = len(all[0]) + 1
	}
}

// killWhileCommitting runs a broker process on dir and commits transactions from number next on, kills it
// after some, and returns the first number that was not acknowledged.
func killWhileCommitting(t *testing.T, dir string, next, some int) int {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), serveEnv+"="+dir)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)

	cl := client(t, strings.TrimSpace(line), kgo.TransactionalID("one"), kgo.TransactionTimeout(10*time.Second), kgo.RetryTimeout(200*time.Millisecond))
	ctx := testContext(t)
	killed := make(chan struct{})
	for done := 0; ; done++ {
		if done == some { // the loop goes on, so that the kill comes at any point of it
			go func() {
				defer close(killed)
				_ = child.Process.Kill()
				_ = child.Wait()
				cl.Close() // fails what is in flight: cancelling would not, its outcome being unknown
			}()
		}
		if err := commitOne(ctx, cl, next); err != nil {
			if done < some {
				t.Fatalf("transaction %d failed before the kill: %v", next, err)
			}
			break
		}
		next++
	}
	<-killed
	return next
}

func commitOne(ctx context.Context, cl *kgo.Client, n int) error {
	if err := cl.BeginTransaction(); err != nil {
		return err
	}
	var records []*kgo.Record
	for p := range int32(parts) {
		records = append(records, &kgo.Record{Topic: topic, Partition: p, Value: []byte(txnID(n))})
	}
	if err := cl.ProduceSync(ctx, records...).FirstErr(); err != nil {
		return err
	}
	pid, epoch, err := cl.ProducerID(ctx)
	if err != nil {
		return err
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch = "one", group, pid, epoch
	meta, err := kadm.NewClient(cl).ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	rt := kmsg.NewTxnOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = topic, meta[topic].ID
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Offset = int64(n)
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	add := kmsg.NewPtrAddOffsetsToTxnRequest()
	add.TransactionalID, add.Group, add.ProducerID, add.ProducerEpoch = "one", group, pid, epoch
	if resp, err := add.RequestWith(ctx, cl); err != nil || resp.ErrorCode != 0 {
		return errors.Join(err, kerr.ErrorForCode(resp.ErrorCode))
	}
	resp, err := req.RequestWith(ctx, cl)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); err != nil {
		return err
	}
	return cl.EndTransaction(ctx, kgo.TryCommit)
}
