package topology

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"
	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/event"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var single = Config{Partitions: 4, Replication: 1}

func start(t *testing.T, opts ...kfake.Opt) *kgo.Client {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func ctxOf(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// applied is a cluster with everything made.
func applied(t *testing.T, cfg Config, aggregates ...string) (*kgo.Client, *Topology) {
	t.Helper()
	client := start(t)
	top := New(client, cfg, aggregates)
	apply(t, top)
	return client, top
}

func apply(t *testing.T, top *Topology) Plan {
	t.Helper()
	p, err := top.Plan(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := top.Apply(ctxOf(t), p); err != nil {
		t.Fatal(err)
	}
	return p
}

func refuses(t *testing.T, top *Topology, category error, want ...string) {
	t.Helper()
	_, err := top.Check(ctxOf(t))
	contains(t, err, category, want...)
}

func contains(t *testing.T, err, category error, want ...string) {
	t.Helper()
	if !errors.Is(err, category) {
		t.Fatalf("error %v is not %q", err, category)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not contain %q", err, w)
		}
	}
}

func TestApplyThenCheck(t *testing.T) {
	client := start(t)
	top := New(client, single, []string{"order", "customer"})
	refuses(t, top, event.ErrConfig, "missing topics", "cqrsflow.order.events", "cqrsflow.customer.snapshots", "cqrsflow topology apply")

	p := apply(t, top)
	if len(p.Changes) != 12 || len(p.Problems) != 0 {
		t.Fatalf("plan on an empty cluster: %v", p)
	}
	actual, err := top.Check(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	details, err := kadm.NewClient(client).ListTopics(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]Actual{}
	for _, a := range []string{"order", "customer"} {
		w := Actual{Topics: TopicsOf("", a), Partitions: 4, TopicIDs: map[string][16]byte{}}
		for _, name := range w.Topics.All() {
			w.TopicIDs[name] = details[name].ID
			if len(details[name].Partitions) != 4 {
				t.Errorf("topic %s has %d partitions", name, len(details[name].Partitions))
			}
		}
		want[a] = w
	}
	if diff := cmp.Diff(want, actual); diff != "" {
		t.Error(diff)
	}

	// A second run has nothing to do, and applying an old plan again does no harm.
	again, err := top.Plan(ctxOf(t))
	if err != nil || len(again.Changes) > 0 || len(again.Problems) > 0 {
		t.Errorf("second plan: %v, %v", again, err)
	}
	if err := top.Apply(ctxOf(t), p); err != nil {
		t.Errorf("apply the first plan again: %v", err)
	}
	if found, err := top.Verify(ctxOf(t)); err != nil || len(found) > 0 {
		t.Errorf("verify: %v, %v", found, err)
	}
	if got := recordsUnder(t, client, "cqrsflow.order.snapshots"); got != 1 {
		t.Errorf("the topology was recorded %d times", got)
	}
}

func TestApplySetsConfigs(t *testing.T) {
	client, top := applied(t, single, "order")
	adm := kadm.NewClient(client)
	spoil := []kadm.AlterConfig{
		{Op: kadm.SetConfig, Name: "retention.ms", Value: kadm.StringPtr("1000")},
		{Op: kadm.SetConfig, Name: "message.timestamp.type", Value: kadm.StringPtr("CreateTime")},
	}
	if _, err := adm.AlterTopicConfigs(ctxOf(t), spoil, "cqrsflow.order.events"); err != nil {
		t.Fatal(err)
	}
	if found, err := top.Verify(ctxOf(t)); err != nil || len(found) != 2 {
		t.Errorf("verify: %v, %v", found, err)
	}
	p := apply(t, top)
	want := []Change{{Action: SetConfig, Aggregate: "order", Topic: "cqrsflow.order.events",
		Settings: map[string]string{"retention.ms": "-1", "message.timestamp.type": "LogAppendTime"},
		Was:      map[string]string{"retention.ms": "1000", "message.timestamp.type": "CreateTime"}}}
	if diff := cmp.Diff(want, p.Changes); diff != "" {
		t.Error(diff)
	}
	if found, err := top.Verify(ctxOf(t)); err != nil || len(found) > 0 {
		t.Errorf("verify after apply: %v, %v", found, err)
	}
}

func TestGrownInPlace(t *testing.T) {
	client, top := applied(t, single, "order")
	adm := kadm.NewClient(client)
	if _, err := adm.UpdatePartitions(ctxOf(t), 6, "cqrsflow.order.events"); err != nil {
		t.Fatal(err)
	}
	refuses(t, top, event.ErrConfig, "different partition counts", "cqrsflow.order.events has 6", "cqrsflow.order.commands has 4")
	if _, err := adm.UpdatePartitions(ctxOf(t), 6, "cqrsflow.order.commands", "cqrsflow.order.outcomes", "cqrsflow.order.snapshots", "cqrsflow.order.parked"); err != nil {
		t.Fatal(err)
	}
	refuses(t, top, event.ErrConfig, "have 6 partitions, but 4 were recorded", "migration")
	apply(t, top)
	if losses, err := top.AcceptLoss(ctxOf(t)); err != nil || len(losses) > 0 {
		t.Errorf("accept loss where nothing was lost: %v, %v", losses, err)
	}
	refuses(t, top, event.ErrConfig, "have 6 partitions, but 4 were recorded")
}

func TestTopicMadeAgain(t *testing.T) {
	for _, which := range []string{"commands", "events", "outcomes"} {
		t.Run(which, func(t *testing.T) {
			client, top := applied(t, single, "order", "customer")
			adm := kadm.NewClient(client)
			topic := "cqrsflow.order." + which
			before, err := top.Check(ctxOf(t))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := adm.DeleteTopic(ctxOf(t), topic); err != nil {
				t.Fatal(err)
			}
			refuses(t, top, event.ErrCorrupt, topic+" was deleted", "topology apply", "topology accept-loss")
			_, err = top.AcceptLoss(ctxOf(t))
			contains(t, err, event.ErrConfig, "missing topics", topic)

			p := apply(t, top)
			if len(p.Changes) != 1 || p.Changes[0].Topic != topic || p.Changes[0].Partitions != 4 || len(p.Problems) != 1 {
				t.Errorf("plan: %+v", p)
			}
			// Making the topic again does not bless the loss.
			refuses(t, top, event.ErrCorrupt, topic+" was deleted and made again", "topology accept-loss")

			losses, err := top.AcceptLoss(ctxOf(t))
			if err != nil {
				t.Fatal(err)
			}
			after, err := top.Check(ctxOf(t))
			if err != nil {
				t.Fatal(err)
			}
			want := []Loss{{Aggregate: "order", Topic: topic, Recorded: idText(before["order"].TopicIDs[topic]), Actual: idText(after["order"].TopicIDs[topic])}}
			if diff := cmp.Diff(want, losses); diff != "" {
				t.Error(diff)
			}
			if before["order"].TopicIDs[topic] == after["order"].TopicIDs[topic] {
				t.Error("the topic ID did not change")
			}
			if losses, err := top.AcceptLoss(ctxOf(t)); err != nil || len(losses) > 0 {
				t.Errorf("second accept loss: %v, %v", losses, err)
			}
		})
	}
}

// Snapshots are a cache: losing them loses the record of the topology with them, and apply makes both again.
func TestSnapshotsMadeAgain(t *testing.T) {
	client, top := applied(t, single, "order")
	if _, err := kadm.NewClient(client).DeleteTopic(ctxOf(t), "cqrsflow.order.snapshots"); err != nil {
		t.Fatal(err)
	}
	refuses(t, top, event.ErrConfig, "missing topics: cqrsflow.order.snapshots")
	p := apply(t, top)
	if len(p.Changes) != 2 || p.Changes[1].Action != RecordTopology {
		t.Errorf("plan: %+v", p)
	}
	if _, err := top.Check(ctxOf(t)); err != nil {
		t.Error(err)
	}
}

// An installation of an earlier version lacks the parked topic, on Kafka and in the record: roles say what to
// do, and apply does it, once.
func TestATopicThatIsNewInThisVersion(t *testing.T) {
	client := start(t)
	top := New(client, single, []string{"order"})
	topics := TopicsOf("", "order")
	apply(t, top)
	seen, err := top.observe(ctxOf(t), false)
	if err != nil {
		t.Fatal(err)
	}
	earlier := seen.record("order", topics)
	delete(earlier.Topics, topics.Parked)
	earlier.AcceptedLosses = 2
	if err := top.write(ctxOf(t), topics.Snapshots, earlier); err != nil {
		t.Fatal(err)
	}
	deleteTopic(t, client, topics.Parked)
	refuses(t, top, event.ErrConfig, "missing topics: cqrsflow.order.parked", "topology apply")
	if p := apply(t, top); len(p.Changes) != 2 {
		t.Errorf("plan: %+v", p)
	}
	if _, err := top.Check(ctxOf(t)); err != nil {
		t.Error(err)
	}
	if seen, err = top.observe(ctxOf(t), false); err != nil || seen.recorded["order"].AcceptedLosses != 2 {
		t.Errorf("recorded %+v, %v", seen.recorded["order"], err)
	}
	if again, err := top.Plan(ctxOf(t)); err != nil || len(again.Changes) > 0 {
		t.Errorf("second plan: %v, %v", again, err)
	}
	deleteTopic(t, client, topics.Parked)
	refuses(t, top, event.ErrCorrupt, "topic cqrsflow.order.parked was deleted")
}

func deleteTopic(t *testing.T, client *kgo.Client, name string) {
	t.Helper()
	if _, err := kadm.NewClient(client).DeleteTopic(ctxOf(t), name); err != nil {
		t.Fatal(err)
	}
}

// Topics that an operator made are taken as they are, but have to be recorded once.
func TestTopicsMadeByHand(t *testing.T) {
	client := start(t)
	topics := TopicsOf("", "order")
	if _, err := kadm.NewClient(client).CreateTopics(ctxOf(t), 3, 1, nil, topics.All()...); err != nil {
		t.Fatal(err)
	}
	top := New(client, single, []string{"order"})
	refuses(t, top, event.ErrConfig, "never been recorded", "topology apply")
	apply(t, top)
	actual, err := top.Check(ctxOf(t))
	if err != nil || actual["order"].Partitions != 3 {
		t.Errorf("check: %v, %v", actual, err)
	}
	// kfake does not know the setting, and says so by not mentioning it.
	found, err := top.Verify(ctxOf(t))
	if err != nil || len(found) != len(topics.All()) {
		t.Errorf("verify: %v, %v", found, err)
	}
	for _, f := range found {
		if f.Level != Note || f.Setting != "unclean.leader.election.enable" {
			t.Errorf("verify: %v", f)
		}
	}
}

// The record is found whatever stands around it: snapshots, deletions, transactions open, committed and
// aborted, and a transactional record of the same key, which somebody else must have written.
func TestRecordAmongOthers(t *testing.T) {
	client, top := applied(t, single, "order")
	topic := "cqrsflow.order.snapshots"
	writer := func(id string) *kgo.Client {
		c, err := kgo.NewClient(append(client.Opts(), kgo.TransactionalID(id), kgo.RecordPartitioner(kgo.ManualPartitioner()))...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		if err := c.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		for i := range 50 {
			c.Produce(ctxOf(t), &kgo.Record{Topic: topic, Key: fmt.Appendf(nil, "order-%d", i), Value: []byte("x")}, nil)
		}
		c.Produce(ctxOf(t), &kgo.Record{Topic: topic, Key: []byte(RecordKey), Value: []byte(`{"format":1,"partitions":99,"topics":{"x":"y"}}`)}, nil)
		if err := c.Flush(ctxOf(t)); err != nil {
			t.Fatal(err)
		}
		return c
	}
	if err := writer("commits").EndTransaction(ctxOf(t), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	if _, err := kadm.NewClient(client).DeleteTopic(ctxOf(t), "cqrsflow.order.events"); err != nil {
		t.Fatal(err)
	}
	apply(t, top)
	if _, err := top.AcceptLoss(ctxOf(t)); err != nil {
		t.Fatal(err)
	}
	if err := writer("aborts").EndTransaction(ctxOf(t), kgo.TryAbort); err != nil {
		t.Fatal(err)
	}
	writer("stays-open")
	if _, err := top.Check(ctxOf(t)); err != nil {
		t.Error(err)
	}
	// To its end, too: nothing agrees any more.
	if _, err := kadm.NewClient(client).DeleteTopic(ctxOf(t), "cqrsflow.order.events"); err != nil {
		t.Fatal(err)
	}
	refuses(t, top, event.ErrCorrupt, "cqrsflow.order.events was deleted")
}

func TestRecordThatCannotBeRead(t *testing.T) {
	client, top := applied(t, single, "order")
	put := func(value []byte) {
		t.Helper()
		c, err := top.second(kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := c.ProduceSync(ctxOf(t), &kgo.Record{Topic: "cqrsflow.order.snapshots", Key: []byte(RecordKey), Value: value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := kadm.NewClient(client).UpdatePartitions(ctxOf(t), 5, TopicsOf("", "order").All()...); err != nil {
		t.Fatal(err)
	}
	put([]byte("no JSON"))
	refuses(t, top, event.ErrCorrupt, "!topology", "not JSON")
	put([]byte(`{"format":1}`))
	refuses(t, top, event.ErrCorrupt, "lacks")
	put([]byte(`{"format":2}`))
	refuses(t, top, event.ErrConfig, "format 2", "later cqrsflow")
	put(nil)
	refuses(t, top, event.ErrConfig, "never been recorded")
}

func TestOldBrokers(t *testing.T) {
	client := start(t, kfake.MaxVersions(kversion.V3_7_0()))
	refuses(t, New(client, single, []string{"order"}), event.ErrConfig, "transaction.version is 0", "Kafka 4.0")
}

// kfake advertises features as a broker of the version that it plays does, so the check is the real one there too.
func TestTransactionVersionLowered(t *testing.T) {
	client, top := applied(t, single, "order")
	responses, err := kadm.NewClient(client).UpdateFeatures(ctxOf(t), false, kadm.FeatureUpdate{Feature: "transaction.version", MaxVersionLevel: 1, UpgradeType: 3})
	if err != nil || responses.Error() != nil {
		t.Fatal(err, responses.Error())
	}
	refuses(t, top, event.ErrConfig, "transaction.version is 1", "kafka-features.sh")
}

func TestUnreachable(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	top := New(client, single, []string{"order"})
	began := time.Now()
	refuses(t, top, event.ErrUnavailable, addr, "CQRSFLOW_KAFKA_BROKERS")
	if took := time.Since(began); took > reachTimeout+time.Second {
		t.Errorf("it took %v", took)
	}
	if _, err := top.Check(t.Context()); !event.SafeToRetry(err) {
		t.Errorf("%v is not safe to retry", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := top.Check(ctx); !errors.Is(err, context.Canceled) || event.SafeToRetry(err) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestUnfit(t *testing.T) {
	client := start(t)
	contains(t, New(client, Config{Partitions: -1}, []string{"order"}).err, event.ErrConfig, "Partitions")
	contains(t, New(client, single, nil).err, event.ErrConfig, "no aggregate type")
	contains(t, New(client, Config{Prefix: strings.Repeat("p", 100)}, []string{strings.Repeat("a", 150)}).err, event.ErrConfig, "249")
	grouped, err := kgo.NewClient(append(client.Opts(), kgo.ConsumerGroup("g"))...)
	if err != nil {
		t.Fatal(err)
	}
	defer grouped.Close()
	top := New(grouped, single, []string{"order"})
	_, err = top.Check(ctxOf(t))
	contains(t, err, event.ErrConfig, "without group")
	_, err = top.Plan(ctxOf(t))
	contains(t, err, event.ErrConfig)
	contains(t, top.Apply(ctxOf(t), Plan{Changes: []Change{{}}}), event.ErrConfig)
}

// Kafka may refuse a topic: the error says which and is not to be retried.
func TestCreateRefused(t *testing.T) {
	client := start(t)
	top := New(client, Config{Partitions: 2, Replication: 3}, []string{"order"})
	p, err := top.Plan(ctxOf(t))
	if err != nil {
		t.Fatal(err)
	}
	contains(t, top.Apply(ctxOf(t), p), event.ErrConfig, "create topics", "topic cqrsflow.order.", "INVALID_REPLICATION_FACTOR")
}

func recordsUnder(t *testing.T, client *kgo.Client, topic string) (n int) {
	t.Helper()
	ends, err := kadm.NewClient(client).ListEndOffsets(ctxOf(t), topic)
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(topic, 0)
	c, err := kgo.NewClient(append(client.Opts(), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for at := int64(0); at < end.Offset; {
		fetches := c.PollFetches(ctxOf(t))
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			at = r.Offset + 1
			if string(r.Key) == RecordKey {
				n++
			}
		})
	}
	return n
}

// A broker that does not answer is not waited for beyond the client's own patience.
func TestErrorsOfRequests(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	client, err := kgo.NewClient(kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.RetryTimeout(time.Millisecond), kgo.RequestRetries(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	top := New(client, single, []string{"order"})
	apply(t, top)
	for _, key := range []kmsg.Key{kmsg.DescribeConfigs, kmsg.ListOffsets} {
		cluster.ControlKey(int16(key), func(kmsg.Request) (kmsg.Response, error, bool) {
			return nil, errors.New("broken"), true // closes the connection
		})
		_, err := top.Plan(ctxOf(t))
		contains(t, err, event.ErrUnavailable, cluster.ListenAddrs()[0])
	}
}
