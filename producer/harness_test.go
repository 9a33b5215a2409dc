package producer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/partlog"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// The tests' aggregate is an account: deposits always go through, withdrawals only as far as there is money.

type accountCommand struct {
	Op     string `json:"op"`
	Amount int64  `json:"amount"`
	For    string `json:"for"`
}

type accountEvent struct {
	Delta int64 `json:"delta"`
}

type accountState struct {
	Balance int64 `json:"balance"`
	Events  int   `json:"events"`
}

var accountDecider = decider.Decider[decider.Command[accountCommand], accountEvent, accountState]{
	Initial: func() accountState { return accountState{} },
	Decide: func(c decider.Command[accountCommand], s accountState) ([]accountEvent, error) {
		switch c.Body.Op {
		case "deposit":
			return []accountEvent{{c.Body.Amount}}, nil
		case "twice":
			return []accountEvent{{c.Body.Amount}, {c.Body.Amount}}, nil
		case "nothing":
			return nil, nil
		case "panic":
			panic("out of order")
		case "withdraw":
			if s.Balance < c.Body.Amount {
				return nil, event.Reject("insufficient_funds", "the balance is %d", s.Balance)
			}
			return []accountEvent{{-c.Body.Amount}}, nil
		}
		return nil, fmt.Errorf("no such operation")
	},
	Evolve: func(s accountState, e accountEvent) accountState {
		return accountState{Balance: s.Balance + e.Delta, Events: s.Events + 1}
	},
}

type accountCodec struct{}

func (accountCodec) Version() uint32 { return 1 }

func (accountCodec) DecodeCommand(typ, _ string, data []byte) (any, error) {
	op, ok := strings.CutPrefix(typ, "account.v1.")
	if !ok {
		return nil, event.ErrUnknownType
	}
	c := accountCommand{Op: op}
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", event.ErrMalformed, err)
	}
	return c, nil
}

func (accountCodec) ValidateCommand(body any) []event.FieldError {
	if body.(accountCommand).Amount < 0 {
		return []event.FieldError{{Field: "amount", Message: "must not be negative"}}
	}
	return nil
}

func (accountCodec) EncodeEvent(buf []byte, body any) (string, string, []byte, error) {
	data, err := json.Marshal(body)
	return "account.v1.Changed", record.JSON, append(buf, data...), err
}

func (accountCodec) DecodeEvent(e *event.Envelope) (any, error) {
	if e.Type != "account.v1.Changed" {
		return nil, event.ErrUnknownType
	}
	var out accountEvent
	if err := json.Unmarshal(e.Data, &out); err != nil {
		return nil, fmt.Errorf("%w: %w", event.ErrUndecodable, err)
	}
	return out, nil
}

func (accountCodec) EncodeState(buf []byte, s any) ([]byte, error) {
	data, err := json.Marshal(s)
	return append(buf, data...), err
}

func (accountCodec) DecodeState(data []byte) (any, error) {
	var s accountState
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", event.ErrUndecodable, err)
	}
	return s, nil
}

func (accountCodec) JSON(body any) ([]byte, error) { return json.Marshal(body) }

func accountType(t testing.TB) *decider.Type {
	typ, err := decider.NewType(decider.Spec[accountCommand, accountEvent, accountState]{
		Name: "account", Plural: "accounts", Fingerprint: 1, Decider: accountDecider, Codec: accountCodec{},
		Commands: []decider.CommandType{{Type: "account.v1.deposit", Name: "deposit", Public: true}},
		Events:   []string{"account.v1.Changed"},
		Attributes: func(s accountState) map[string]any {
			return map[string]any{"balance": s.Balance}
		},
		Owner: func(c accountCommand) string { return c.For },
	})
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

var accountTopics = topology.TopicsOf("", "account")

// lab is a Kafka with the account's topics, and a folder for local stores.
type lab struct {
	t          testing.TB
	cluster    *kfake.Cluster
	kafka      []kgo.Opt
	partitions int32
	dir        string
	typ        *decider.Type
}

func newLab(t testing.TB, partitions int32, opts ...kfake.Opt) *lab {
	t.Helper()
	opts = append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(partitions, accountTopics.All()...),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"})}, opts...)
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return &lab{t: t, cluster: cluster, kafka: []kgo.Opt{kgo.SeedBrokers(cluster.ListenAddrs()...), kgo.MetadataMinAge(10 * time.Millisecond)},
		partitions: partitions, dir: t.TempDir(), typ: accountType(t)}
}

func (l *lab) context(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	l.t.Cleanup(cancel)
	return ctx
}

func (l *lab) config(change ...func(*Config)) Config {
	cfg := Config{Kafka: l.kafka, Types: []*decider.Type{l.typ}, Dir: l.dir, Workers: 1, Instance: "test", SessionTimeout: 6 * time.Second, Logger: slog.New(slog.NewTextHandler(testLog{l.t}, nil))}
	for _, f := range change {
		f(&cfg)
	}
	return cfg
}

type testLog struct{ t testing.TB }

func (w testLog) Write(b []byte) (int, error) {
	w.t.Helper()
	w.t.Log(string(bytes.TrimSpace(b)))
	return len(b), nil
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// process runs a processor until stop is called, which waits for its end.
func (l *lab) process(change ...func(*Config)) (p *Processor, stop func()) {
	l.t.Helper()
	p, err := NewProcessor(l.config(change...))
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := p.Run(ctx); err != nil {
			l.t.Error(err)
		}
	}()
	var once atomic.Bool
	stop = func() {
		cancel()
		<-done
		once.Store(true)
	}
	l.t.Cleanup(func() {
		if !once.Load() {
			stop()
		}
	})
	return p, stop
}

// publisher runs a publisher until the test ends.
func (l *lab) publisher(change ...func(*PublisherConfig)) *Publisher {
	l.t.Helper()
	cfg := PublisherConfig{Kafka: l.kafka, Aggregates: []string{"account"}, Logger: quiet}
	for _, f := range change {
		f(&cfg)
	}
	p, err := NewPublisher(l.context(10*time.Second), cfg)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.Run(ctx)
	}()
	l.t.Cleanup(func() {
		cancel()
		<-done
	})
	return p
}

func command(stream, op string) event.Command {
	return event.Command{Stream: event.StreamID(stream), Type: "account.v1." + op, ExpectedVersion: event.AnyVersion, ReturnState: true}
}

func amount(n int) []byte { return fmt.Appendf(nil, `{"amount":%d}`, n) }

// do publishes a command and returns its outcome.
func (l *lab) do(p *Publisher, c event.Command, body []byte) event.Outcome {
	l.t.Helper()
	o, err := p.Do(l.context(30*time.Second), c, "account", record.JSON, body)
	if err != nil {
		l.t.Fatal(err)
	}
	return o
}

// state is the state that an outcome carries.
func state(t testing.TB, o event.Outcome) accountState {
	t.Helper()
	var s accountState
	if err := json.Unmarshal(o.State, &s); err != nil {
		t.Fatalf("outcome %+v: %v", o, err)
	}
	return s
}

// logged reads a topic's committed records to its end.
func (l *lab) logged(topic string) []*kgo.Record {
	l.t.Helper()
	ctx := l.context(30 * time.Second)
	cl, err := kgo.NewClient(l.kafka...)
	if err != nil {
		l.t.Fatal(err)
	}
	defer cl.Close()
	listed, err := kadm.NewClient(cl).ListEndOffsets(ctx, topic)
	if err != nil {
		l.t.Fatal(err)
	}
	var out []*kgo.Record
	for n := range l.partitions {
		end, _ := listed.Lookup(topic, n)
		err := partlog.Read(ctx, l.kafka, partlog.Span{Topic: topic, Partition: n, To: end.Offset}, nil, nil, func(r *kgo.Record) error {
			out = append(out, r)
			return nil
		})
		if err != nil {
			l.t.Fatal(err)
		}
	}
	return out
}

// events returns the committed events by stream, and fails where versions have a gap or a duplicate.
func (l *lab) events() map[event.StreamID][]event.Envelope {
	l.t.Helper()
	out := map[event.StreamID][]event.Envelope{}
	for _, r := range l.logged(accountTopics.Events) {
		var e event.Envelope
		if err := record.ParseEvent(r, "account", nil, &e); err != nil {
			l.t.Fatal(err)
		}
		if want := event.Version(len(out[e.Stream]) + 1); e.Version != want {
			l.t.Fatalf("stream %s has version %d, want %d", e.Stream, e.Version, want)
		}
		out[e.Stream] = append(out[e.Stream], e)
	}
	return out
}
