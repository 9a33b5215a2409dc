package producer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// fixedCodec is as cheap as a codec can be, so that a benchmark shows the processor's own work.
type fixedCodec struct{ accountCodec }

func (fixedCodec) DecodeCommand(_, _ string, data []byte) (any, error) {
	return accountCommand{Op: "deposit", Amount: int64(binary.LittleEndian.Uint64(data))}, nil
}

func (fixedCodec) ValidateCommand(any) []event.FieldError { return nil }

func (fixedCodec) EncodeEvent(buf []byte, body any) (string, string, []byte, error) {
	buf = binary.LittleEndian.AppendUint64(buf, uint64(body.(accountEvent).Delta))
	return "account.v1.Changed", "application/protobuf", append(buf, make([]byte, 92)...), nil
}

func (fixedCodec) EncodeState(buf []byte, s any) ([]byte, error) {
	a := s.(accountState)
	buf = binary.LittleEndian.AppendUint64(buf, uint64(a.Balance))
	return binary.LittleEndian.AppendUint64(buf, uint64(a.Events)), nil
}

func (fixedCodec) DecodeState(b []byte) (any, error) {
	return accountState{Balance: int64(binary.LittleEndian.Uint64(b)), Events: int(binary.LittleEndian.Uint64(b[8:]))}, nil
}

// BenchmarkTransaction is the processor's work for a command, without Kafka: decided, encoded, and moved
// into the local store in batches, over many streams.
func BenchmarkTransaction(b *testing.B) {
	const batch, streams = 1000, 100_000
	typ, err := decider.NewType(decider.Spec[accountCommand, accountEvent, accountState]{
		Name: "account", Plural: "accounts", Fingerprint: 1, Decider: accountDecider, Codec: fixedCodec{},
		Commands: []decider.CommandType{{Type: "account.v1.deposit", Name: "deposit", Public: true}}, Events: []string{"account.v1.Changed"},
	})
	if err != nil {
		b.Fatal(err)
	}
	blocks := pebble.NewCache(64 << 20)
	defer blocks.Unref()
	s, err := openStore(b.TempDir(), blocks, pebbleLog{quiet})
	if err != nil {
		b.Fatal(err)
	}
	cfg, err := Config{Kafka: []kgo.Opt{}, Types: []*decider.Type{typ}, Dir: "x"}.withDefaults()
	_ = err // no brokers are needed
	p := &partition{typ: typ, topics: accountTopics, count: 1, limits: cfg.limits(), store: s, filter: newFilter(1 << 20),
		cache: newCache(&budget{bytes: 64 << 20}), cp: checkpoint{LastAppend: -1}}
	p.round.last = time.Now()
	defer func() { _ = p.close() }()
	w := step{enc: &encoder{}}
	offset := int64(0)
	w.emit = func(r *kgo.Record) { r.Offset = offset; offset++ }
	r := rand.New(rand.NewPCG(1, 2))
	records := make([]*kgo.Record, 0, batch)
	body := make([]byte, 100)
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if len(records) < batch {
			records = append(records, &kgo.Record{Topic: accountTopics.Commands, Offset: int64(n), Key: fmt.Appendf(nil, "account-%d", r.IntN(streams)), Value: body,
				Headers: []kgo.RecordHeader{{Key: "ce_id", Value: fmt.Appendf(nil, "%032d", n)}, {Key: "ce_type", Value: []byte("account.v1.deposit")}, {Key: "content-type", Value: []byte("application/protobuf")}}})
			continue
		}
		p.begin()
		now := time.Now()
		if err := p.advance(now, w.emit); err != nil {
			b.Fatal(err)
		}
		for _, rec := range records {
			if o, err := w.command(p, rec, now); err != nil || o.Kind != event.Accepted {
				b.Fatal(o, err)
			}
		}
		if err := p.commit(); err != nil {
			b.Fatal(err)
		}
		w.enc.Reset()
		records = records[:0]
	}
}
