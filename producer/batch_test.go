package producer

import (
	"encoding/binary"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// A transaction that is too much for the broker, or for its time, is tried again with half of the
// commands: a backlog cannot end in a batch that fails for ever.
func TestABatchThatFailsIsHalved(t *testing.T) {
	const commands, most = 300, 40
	l := newLab(t, 1)
	cl, err := kgo.NewClient(l.kafka...)
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	var backlog []*kgo.Record
	for i := range commands {
		backlog = append(backlog, &kgo.Record{Topic: accountTopics.Commands, Key: fmt.Appendf(nil, "s%d", i), Value: amount(1), Headers: []kgo.RecordHeader{
			{Key: "ce_id", Value: fmt.Appendf(nil, "c%d", i)}, {Key: "ce_type", Value: []byte("account.v1.deposit")}, {Key: "content-type", Value: []byte(record.JSON)}}})
	}
	if err := cl.ProduceSync(l.context(10*time.Second), backlog...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	refused := 0
	l.cluster.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
		l.cluster.KeepControl()
		r := req.(*kmsg.ProduceRequest)
		if r.TransactionID == nil {
			return nil, nil, false
		}
		large := false
		resp := r.ResponseKind().(*kmsg.ProduceResponse)
		for _, topic := range r.Topics {
			rt := kmsg.NewProduceResponseTopic()
			rt.Topic, rt.TopicID = topic.Topic, topic.TopicID
			for _, p := range topic.Partitions {
				const recordCount = 57 // offset of the number of records in a batch, KIP-98
				large = large || len(p.Records) > recordCount+4 && binary.BigEndian.Uint32(p.Records[recordCount:]) > most
				rp := kmsg.NewProduceResponseTopicPartition()
				rp.Partition, rp.ErrorCode = p.Partition, kerr.MessageTooLarge.Code
				rt.Partitions = append(rt.Partitions, rp)
			}
			resp.Topics = append(resp.Topics, rt)
		}
		if !large {
			return nil, nil, false
		}
		mu.Lock()
		defer mu.Unlock()
		refused++
		return resp, nil, true
	})
	// No linger and many records at once: the client makes one batch of what a transaction holds.
	l.process(func(c *Config) { c.Logger = quiet })
	p := l.publisher()
	o := l.do(p, command("s0", "deposit"), amount(1))
	if s := state(t, o); s.Balance != 2 {
		t.Errorf("balance %d, want 2", s.Balance)
	}
	mu.Lock()
	defer mu.Unlock()
	if refused == 0 {
		t.Error("no batch was too large")
	}
	if n := len(l.logged(accountTopics.Outcomes)); n != commands+1 {
		t.Errorf("%d outcomes, want %d", n, commands+1)
	}
}

// The session tells of one revocation only until a transaction ends. A worker that loses partitions
// twice while it decides one batch must notice the second loss as well, or it would keep a store that
// belongs to another worker.
func TestASecondRevocationDuringATransaction(t *testing.T) {
	l := newLab(t, 3, kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	held, free := make(chan struct{}), make(chan struct{})
	var once sync.Once
	typ := *l.typ
	typ.Codec = holding{typ.Codec, func() { once.Do(func() { close(held); <-free }) }}
	member := func(name string) *Processor {
		p, _ := l.process(func(c *Config) {
			c.Instance, c.Dir = name, t.TempDir()
			c.Types = []*decider.Type{&typ}
		})
		return p
	}
	first := member("first")
	await(t, "the first has all partitions", func() bool { return served(first) == 3 })
	pub := l.publisher()
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.do(pub, command("s1", "deposit"), amount(1))
	}()
	<-held
	second := member("second")
	await(t, "the second has one", func() bool { return served(second) == 1 })
	third := member("third")
	await(t, "the third has one", func() bool { return served(third) == 1 })
	close(free)
	<-done
	await(t, "the first has given up what it lost", func() bool {
		parts, _ := first.Status()
		return len(parts) == 1
	})
}

// holding calls hold before it decodes a command.
type holding struct {
	decider.Codec
	hold func()
}

func (h holding) DecodeCommand(typ, content string, data []byte) (any, error) {
	h.hold()
	return h.Codec.DecodeCommand(typ, content, data)
}

func served(p *Processor) (n int) {
	parts, _ := p.Status()
	for _, part := range parts {
		if part.State == serving {
			n++
		}
	}
	return n
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not in time: %s", what)
		}
	}
}
