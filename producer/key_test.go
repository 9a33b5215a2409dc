package producer

import (
	"bytes"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
)

// An oversized key is answered, and what comes behind it flows on.
func TestOversizedKey(t *testing.T) {
	for name, size := range map[string]int{"compressed": 3 << 20, "just below the broker's bound": 1<<20 - 300} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 1)
			l.process()
			p := l.publisher()
			l.do(p, command("s0", "deposit"), amount(1))
			cl, err := kgo.NewClient(append(l.kafka, kgo.ProducerBatchMaxBytes(8<<20), kgo.BrokerMaxWriteBytes(16<<20), kgo.ProducerBatchCompression(kgo.ZstdCompression()))...)
			if err != nil {
				t.Fatal(err)
			}
			defer cl.Close()
			r := &kgo.Record{Topic: accountTopics.Commands, Partition: 0, Key: bytes.Repeat([]byte("a"), size), Value: amount(1), Headers: []kgo.RecordHeader{
				{Key: "ce_type", Value: []byte("account.v1.deposit")}, {Key: "content-type", Value: []byte(record.JSON)}}}
			if err := cl.ProduceSync(l.context(10*time.Second), r).FirstErr(); err != nil {
				t.Fatal("produce:", err)
			}
			ctx := l.context(15 * time.Second)
			o, err := p.Do(ctx, command("s0", "deposit"), "account", record.JSON, amount(1))
			if err != nil || o.Kind != event.Accepted {
				t.Fatal("the partition does not flow on:", o.Kind, err)
			}
		})
	}
}
