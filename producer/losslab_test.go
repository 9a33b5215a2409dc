package producer

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/partlog"
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
	end, err := partlog.Ends(l.context(10*time.Second), l.adm, 0, topic)
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
