package reactor_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/reactor"
	"github.com/cqrsflow/cqrsflow/consumers/reactor/purchases"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	customerv1 "github.com/cqrsflow/cqrsflow/schemas/customer/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var when = time.Date(1997, 1, 12, 0, 0, 0, 0, time.UTC)

func paid(order, customer string) logtest.Command {
	return logtest.Command{Stream: order, At: when, Events: []proto.Message{
		&orderv1.OrderPaid{Customer: customer, Units: 3, Total: &typev1.Money{Amount: "11.77", Currency: "USD"}, PaidAt: timestamppb.New(when)}}}
}

func many(from, to int) (out []logtest.Command) {
	for i := from; i < to; i++ {
		out = append(out, logtest.One(fmt.Sprintf("o-%d", i), &orderv1.OrderPlaced{Customer: "c"}), paid(fmt.Sprintf("o-%d", i), fmt.Sprintf("c-%d", i%7)))
	}
	return out
}

func config(t *testing.T, log *logtest.Log) reactor.Config {
	t.Helper()
	return purchases.Configure(reactor.Config{Client: log.Client(), Aggregates: logtest.Types(t, "order"), Instance: "a", ParkedEvery: 5 * time.Millisecond,
		RetryMin: 5 * time.Millisecond, RetryMax: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
}

func start(t *testing.T, cfg reactor.Config) (*reactor.Reactor, func()) {
	t.Helper()
	r, err := reactor.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return r, stop
}

// commands reads the committed commands to customers.
func commands(t *testing.T, log *logtest.Log) (out []*kgo.Record) {
	t.Helper()
	topic := topology.TopicsOf("", "customer").Commands
	cl, err := kgo.NewClient(append(log.Client(), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.KeepControlRecords())...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	var total, read int64
	ends.Each(func(o kadm.ListedOffset) { total += o.Offset })
	seen := map[int32]int64{}
	for read < total {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		fetches := cl.PollFetches(ctx)
		cancel()
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			seen[r.Partition] = r.Offset + 1
			if !r.Attrs.IsControl() {
				out = append(out, r)
			}
		})
		read = 0
		for _, n := range seen {
			read += n
		}
	}
	return out
}

func ids(recs []*kgo.Record) map[string]int {
	out := map[string]int{}
	for _, r := range recs {
		c, _, _ := record.ParseCommand(r, nil)
		out[c.ID]++
	}
	return out
}

func TestAPaidOrderIsRecordedWithItsCustomer(t *testing.T) {
	log := logtest.New(t, 4, "order", "customer")
	events := log.Append(t, "order", logtest.One("o-1", &orderv1.OrderPlaced{Customer: "c-9"}), paid("o-1", "c-9"))
	log.Foreign(t, "order", "o-1")
	cfg := config(t, log)
	cfg.From = reactor.Start
	r, stop := start(t, cfg)
	logtest.Until(t, "the command is sent", func() bool { return r.Status().Commands == 1 })
	logtest.Until(t, "the foreign record was seen", func() bool { return r.Status().Foreign == 1 })
	if ok, why := r.Ready(); !ok {
		t.Errorf("not ready: %s", why)
	}
	stop()
	recs := commands(t, log)
	if len(recs) != 1 {
		t.Fatalf("%d commands, want 1", len(recs))
	}
	got, content, err := record.ParseCommand(recs[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	want := event.Command{ID: reactor.CommandID("purchases", &events[1], 0), Type: "customer.v1.RecordPurchase", Stream: "c-9", Time: when,
		ExpectedVersion: event.AnyVersion, CausationID: "o-1/2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if want := topology.PartitionOf("c-9", int32(4)); recs[0].Partition != want {
		t.Errorf("partition %d, want %d", recs[0].Partition, want)
	}
	var body customerv1.RecordPurchase
	if err := proto.Unmarshal(recs[0].Value, &body); err != nil || content != record.Protobuf {
		t.Fatal(content, err)
	}
	if diff := cmp.Diff(&customerv1.RecordPurchase{Order: "o-1", Total: &typev1.Money{Amount: "11.77", Currency: "USD"}, Units: 3,
		PurchasedAt: timestamppb.New(when)}, &body, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if !recs[0].Attrs.IsTransactional() {
		t.Error("the command was not produced in a transaction")
	}

	// A restart repeats nothing, and needs no From any more.
	cfg.From = reactor.Refuse
	r, stop = start(t, cfg)
	log.Append(t, "order", paid("o-2", "c-9"))
	logtest.Until(t, "the next command is sent", func() bool { return r.Status().Commands == 1 })
	stop()
	if n := len(commands(t, log)); n != 2 {
		t.Errorf("%d commands, want 2", n)
	}
}

// Where it has a key, whoever reads its commands can tell that they are the reactor's.
func TestReactionsAreSigned(t *testing.T) {
	log := logtest.New(t, 1, "order", "customer")
	log.Append(t, "order", logtest.One("o-1", &orderv1.OrderPlaced{Customer: "c-9"}), paid("o-1", "c-9"))
	keys, err := principal.NewKeyring(secret.Generate("a"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(t, log)
	cfg.From = reactor.Start
	cfg.Sign = (&principal.Signer{Keys: keys, As: principal.Principal{Kind: principal.Service, ID: reactor.ServiceName}}).Sign
	r, stop := start(t, cfg)
	logtest.Until(t, "the command is sent", func() bool { return r.Status().Commands == 1 })
	stop()
	recs := commands(t, log)
	if len(recs) != 1 {
		t.Fatalf("%d commands, want 1", len(recs))
	}
	c, content, err := record.ParseCommand(recs[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	m := principal.MessageOf(&c, content, recs[0].Value)
	if who, err := keys.Verify([]byte(c.Auth), &m, recs[0].Timestamp); err != nil || who.String() != "service:react" {
		t.Errorf("%s, %v", who, err)
	}
}

func TestCommandIDsNeverChange(t *testing.T) {
	e := event.Envelope{Aggregate: "order", Stream: "cdnow-1", Version: 2}
	if got, want := reactor.CommandID("purchases", &e, 0), "adfc4e82-94be-52df-ae5f-b3cccf4dfeb0"; got != want {
		t.Errorf("the first command's ID is %s, want %s: commands of a replay would no longer be told from new ones", got, want)
	}
	if reactor.CommandID("purchases", &e, 0) == reactor.CommandID("purchases", &e, 1) {
		t.Error("two commands of one event have the same ID")
	}
}

func TestWithoutACommittedOffsetItAsksWhereToStart(t *testing.T) {
	log := logtest.New(t, 2, "order", "customer")
	log.Append(t, "order", many(0, 5)...)
	r, err := reactor.New(config(t, log))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Run(t.Context()); !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), "--from") {
		t.Errorf("%v", err)
	}
	cfg := config(t, log)
	cfg.From = reactor.End
	r, stop := start(t, cfg)
	logtest.Until(t, "the reactor is ready", func() bool { ok, _ := r.Ready(); return ok })
	log.Append(t, "order", paid("o-new", "c-1"))
	logtest.Until(t, "the new event is reacted to", func() bool { return r.Status().Commands >= 1 })
	stop()
	if n := len(commands(t, log)); n != 1 {
		t.Errorf("%d commands; what happened before must not count", n)
	}
}

func TestTwoMembersSendEachCommandOnce(t *testing.T) {
	log := logtest.New(t, 8, "order", "customer")
	cfg := config(t, log)
	cfg.From, cfg.BatchRecords = reactor.Start, 5
	first, _ := start(t, cfg)
	written := make(chan struct{})
	go func() {
		defer close(written)
		for i := range 20 {
			log.Append(t, "order", many(i*10, i*10+10)...)
		}
	}()
	logtest.Until(t, "the first works", func() bool { return first.Status().Commands > 20 })
	cfg.Instance = "b"
	second, stopSecond := start(t, cfg)
	logtest.Until(t, "the second works", func() bool { return second.Status().Commands > 0 || first.Status().Commands == 200 })
	stopSecond()
	<-written
	logtest.Until(t, "all is done", func() bool { return len(ids(commands(t, log))) == 200 })
	for id, n := range ids(commands(t, log)) {
		if n != 1 {
			t.Errorf("command %s was sent %d times", id, n)
		}
	}
}

func TestAFailedRecordAbortsTheBatch(t *testing.T) {
	log := logtest.New(t, 2, "order", "customer")
	var failed atomic.Int32
	log.Cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		log.Cluster.KeepControl()
		p := req.(*kmsg.ProduceRequest)
		if len(p.Topics) != 1 || failed.Load() > 0 {
			return nil, nil, false
		}
		resp := p.ResponseKind().(*kmsg.ProduceResponse)
		hit := false
		for _, topic := range p.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, part := range topic.Partitions {
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = part.Partition, kerr.MessageTooLarge.Code
				rt.Partitions = append(rt.Partitions, rp)
				hit = true
			}
			resp.Topics = append(resp.Topics, rt)
		}
		if !hit || p.TransactionID == nil || !strings.Contains(*p.TransactionID, "purchases") {
			return nil, nil, false
		}
		failed.Add(1)
		return resp, nil, true
	})
	log.Append(t, "order", many(0, 30)...)
	cfg := config(t, log)
	cfg.From = reactor.Start
	r, stop := start(t, cfg)
	logtest.Until(t, "all is done", func() bool { return r.Status().Commands >= 30 })
	stop()
	if failed.Load() == 0 {
		t.Fatal("no produce request failed: the test tests nothing")
	}
	got := ids(commands(t, log))
	if len(got) != 30 {
		t.Errorf("%d commands, want 30", len(got))
	}
	for id, n := range got {
		if n != 1 {
			t.Errorf("command %s was sent %d times", id, n)
		}
	}
}

func TestAnEndOfUnknownOutcomeStartsANewSession(t *testing.T) {
	log := logtest.New(t, 2, "order", "customer")
	var failed atomic.Int32
	log.Cluster.ControlKey(int16(kmsg.EndTxn), func(req kmsg.Request) (kmsg.Response, error, bool) {
		log.Cluster.KeepControl()
		end := req.(*kmsg.EndTxnRequest)
		if !strings.Contains(end.TransactionalID, "purchases") || failed.Add(1) > 2 {
			return nil, nil, false
		}
		resp := end.ResponseKind().(*kmsg.EndTxnResponse)
		resp.ErrorCode = kerr.InvalidProducerEpoch.Code
		return resp, nil, true
	})
	log.Append(t, "order", many(0, 30)...)
	cfg := config(t, log)
	cfg.From = reactor.Start
	r, stop := start(t, cfg)
	logtest.Until(t, "all is done", func() bool { return len(ids(commands(t, log))) == 30 })
	logtest.Until(t, "it has recovered", func() bool { ok, _ := r.Ready(); return ok && r.Status().Failing.IsZero() })
	stop()
	if failed.Load() < 2 {
		t.Fatal("no EndTxn failed: the test tests nothing")
	}
	for id, n := range ids(commands(t, log)) {
		if n != 1 {
			t.Errorf("command %s is committed %d times", id, n)
		}
	}
}
