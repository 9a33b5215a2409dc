package compare_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/compare"
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/order"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/producer"
	typev1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/type/v1"
	orderschema "github.com/cqrsflow/cqrsflow/schemas/order"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

var topics = topology.TopicsOf("", order.Name)

// lab is a Kafka with the topics of orders.
type lab struct {
	t     testing.TB
	kafka []kgo.Opt
	dir   string
	// at is what the processor's clock shows; nil is the time.
	at atomic.Pointer[time.Time]
	// signer signs what is published; nil: nobody does.
	signer *principal.Signer
}

func newLab(t testing.TB, partitions int32) *lab {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(partitions, topics.All()...),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return &lab{t: t, kafka: []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.MetadataMinAge(10 * time.Millisecond)}, dir: t.TempDir()}
}

func (l *lab) context() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	l.t.Cleanup(cancel)
	return ctx
}

func (l *lab) clock() time.Time {
	if at := l.at.Load(); at != nil {
		return *at
	}
	return time.Now()
}

// orders is the aggregate, with more variants.
func orders(t testing.TB, more map[string]decide) *decider.Type {
	t.Helper()
	s := order.Spec(orderschema.Codec)
	for name, d := range more {
		s.Variants = append(s.Variants, decider.Variant[proto.Message, proto.Message, *orderv1.OrderState]{Name: name, Decide: d})
	}
	typ, err := decider.NewType(s)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

// ordersDecided is the aggregate with another default.
func ordersDecided(t testing.TB, d decide) *decider.Type {
	t.Helper()
	s := order.Spec(orderschema.Codec)
	s.Decider.Decide = d
	typ, err := decider.NewType(s)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

type decide = func(decider.Command[proto.Message], *orderv1.OrderState) ([]proto.Message, error)

// live is a processor at work, and a publisher.
type live struct {
	*lab
	pub *producer.Publisher
}

// serve runs them while f publishes.
func (l *lab) serve(typ *decider.Type, f func(live)) {
	l.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	cfg := producer.Config{Kafka: l.kafka, Types: []*decider.Type{typ}, Dir: l.dir, Workers: 1, Instance: "test",
		SessionTimeout: 6 * time.Second, Logger: quiet, Clock: l.clock}
	if l.signer != nil {
		cfg.Principals = l.signer.Keys
	}
	p, err := producer.NewProcessor(cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	pub, err := producer.NewPublisher(l.context(), producer.PublisherConfig{Kafka: l.kafka, Aggregates: []string{order.Name}, Logger: quiet, Sign: l.signer.Sign})
	if err != nil {
		l.t.Fatal(err)
	}
	ended := make(chan struct{}, 2)
	go func() { _ = p.Run(ctx); ended <- struct{}{} }()
	go func() { _ = pub.Run(ctx); ended <- struct{}{} }()
	defer func() { stop(); <-ended; <-ended }()
	f(live{l, pub})
}

// do publishes a command and waits for its outcome.
func (l live) do(id, stream string, body proto.Message) event.Outcome {
	l.t.Helper()
	data, err := proto.Marshal(body)
	if err != nil {
		l.t.Fatal(err)
	}
	c := event.Command{ID: id, Stream: event.StreamID(stream), Type: string(body.ProtoReflect().Descriptor().FullName()), ExpectedVersion: event.AnyVersion}
	o, err := l.pub.Do(l.context(), c, order.Name, record.Protobuf, data)
	if err != nil {
		l.t.Fatal(err)
	}
	return o
}

func place(amount string) *orderv1.PlaceOrder {
	return &orderv1.PlaceOrder{Customer: "ann", Lines: []*orderv1.Line{{Sku: "cd", Quantity: 1, Total: &typev1.Money{Amount: amount, Currency: "USD"}}}}
}

// history is n orders, placed for 10 to 39 dollars, paid, and paid once more, which is rejected.
func (l *lab) history(typ *decider.Type, n int) {
	l.t.Helper()
	l.serve(typ, func(l live) {
		for i := range n {
			id := fmt.Sprint("o-", i)
			l.do(id+"-place", id, place(fmt.Sprintf("%d.00", 10+i%30)))
			l.do(id+"-pay", id, &orderv1.PayOrder{})
			if o := l.do(id+"-again", id, &orderv1.PayOrder{}); o.Kind != event.Rejected {
				l.t.Fatalf("%+v", o)
			}
		}
	})
}

// run compares.
func (l *lab) run(typ *decider.Type, change ...func(*compare.Config)) *compare.Report {
	l.t.Helper()
	r, err := compare.Run(l.context(), l.config(typ, change...))
	if err != nil {
		l.t.Fatal(err)
	}
	return r
}

func (l *lab) config(typ *decider.Type, change ...func(*compare.Config)) compare.Config {
	cfg := compare.Config{Kafka: l.kafka, Type: typ, Metrics: aggregates.Metrics(order.Name)}
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}
