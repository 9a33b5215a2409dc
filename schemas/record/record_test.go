package record

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	cqrsflowv1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/v1"
)

var at = time.Date(1997, 1, 1, 0, 0, 0, 123456000, time.UTC)

// transactional gives a record the attributes that the broker gives to one from a transaction.
func transactional(t testing.TB, r *kgo.Record) *kgo.Record {
	t.Helper()
	r.Attrs = kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Transactional: true})
	return r
}

func TestCommandRoundTrip(t *testing.T) {
	var enc Encoder
	for name, want := range map[string]event.Command{
		"all":    {ID: "id-1", Type: "order.v1.PlaceOrder", Stream: "o-1", Time: at, ExpectedVersion: 7, CausationID: "a", CorrelationID: "b", TraceParent: "c", Auth: "v1;…", Variant: "checkout=v2", ReturnState: true},
		"little": {ID: "id-2", Type: "order.v1.PayOrder", Stream: "o-1", ExpectedVersion: event.AnyVersion},
		"new":    {ID: "id-3", Type: "order.v1.PayOrder", Stream: "o-1", ExpectedVersion: 0},
	} {
		r := enc.Command(&want, "topic", 3, JSON, nil)
		if r.Value == nil {
			t.Errorf("%s: the value is null", name)
		}
		got, content, err := ParseCommand(r, &Names{})
		if err != nil || content != JSON {
			t.Fatalf("%s: %v, %s", name, err, content)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestCommandByHand(t *testing.T) {
	r := &kgo.Record{Key: []byte("o-1"), Value: []byte("{}"), Partition: 3, Offset: 17, Headers: []kgo.RecordHeader{{Key: "ce_type", Value: []byte("order.v1.PayOrder")}, {Key: "x-mine", Value: []byte("1")}}}
	got, content, err := ParseCommand(r, nil)
	want := event.Command{ID: "3-17", Type: "order.v1.PayOrder", Stream: "o-1", ExpectedVersion: event.AnyVersion}
	if diff := cmp.Diff(want, got); diff != "" || err != nil || content != JSON {
		t.Fatal(diff, err, content)
	}
}

func TestEventRoundTrip(t *testing.T) {
	var enc Encoder
	want := event.Envelope{Aggregate: "order", Stream: "o-1", Version: 4, Type: "order.v1.OrderPaid", Time: at, RecordedTime: at.Add(time.Hour), CausationID: "id-1",
		CorrelationID: "b", TraceParent: "c", Principal: "user:1", Variant: "checkout=v2", CommandOffset: 99, LastOfCommand: true, Partition: 3, ContentType: Protobuf, Data: []byte{1, 2}}
	r := transactional(t, enc.Event(&want, "topic"))
	var got event.Envelope
	if err := ParseEvent(r, "order", &Names{}, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, spoil := range map[string]func(*kgo.Record){
		"not transactional": func(r *kgo.Record) { r.Attrs = kgo.RecordAttrs{} },
		"other key":         func(r *kgo.Record) { r.Key = []byte("o-2") },
		"no key":            func(r *kgo.Record) { r.Key = nil },
		"null":              func(r *kgo.Record) { r.Value = nil },
		"no headers":        func(r *kgo.Record) { r.Headers = nil },
		"bad version":       func(r *kgo.Record) { set(r, hStreamVersion, "four") },
		"other version":     func(r *kgo.Record) { set(r, hStreamVersion, "5") },
		"bad time":          func(r *kgo.Record) { set(r, hRecordedTime, "1997") },
	} {
		r := transactional(t, enc.Event(&want, "topic"))
		r.Headers = append([]kgo.RecordHeader(nil), r.Headers...)
		spoil(r)
		if err := ParseEvent(r, "order", nil, &got); !errors.Is(err, event.ErrForeign) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func set(r *kgo.Record, key, value string) {
	for i := range r.Headers {
		if r.Headers[i].Key == key {
			r.Headers[i].Value = []byte(value)
		}
	}
}

func TestOutcomeRoundTrip(t *testing.T) {
	var enc Encoder
	want := event.Outcome{Aggregate: "order", Stream: "o-1", CommandID: "id-1", Kind: event.Invalid, Code: "invalid_command", Message: "no",
		Fields: []event.FieldError{{Field: "lines[0].quantity", Message: "must be positive"}}, Version: 4, Events: []event.Ref{{Type: "order.v1.OrderPaid", Version: 4}},
		Position: event.Position{Aggregate: "order", Partition: 3, Offset: 98}, Replayed: true, State: []byte{1}, Digest: []byte{2}, CorrelationID: "b", TraceParent: "c",
		RecordedTime: at, Principal: "user:1", Variant: "checkout=v2", Partition: 3, CommandOffset: 99}
	r := enc.Outcome(&want, "topic")
	var m cqrsflowv1.Outcome
	if err := proto.Unmarshal(r.Value, &m); err != nil {
		t.Fatal(err)
	}
	if b, err := (proto.MarshalOptions{Deterministic: true}).Marshal(&m); err != nil || !bytes.Equal(b, r.Value) || len(m.ProtoReflect().GetUnknown()) > 0 {
		t.Errorf("by hand %x, generated %x, %v", r.Value, b, err)
	}
	got, err := ParseOutcome(transactional(t, r), "order", nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	r.Value = []byte{0xff}
	if _, err := ParseOutcome(r, "order", nil); !errors.Is(err, event.ErrUndecodable) {
		t.Error(err)
	}
}

// Records of a batch share memory: none may change when another is made, in this batch's memory or in
// that of the one before.
func TestRecordsOfABatchDoNotOverlap(t *testing.T) {
	var enc Encoder
	for round := range 3 {
		var events, outcomes []*kgo.Record
		var want []event.Envelope
		for i := range 2_000 {
			env := event.Envelope{Aggregate: "order", Stream: event.StreamID(strings.Repeat("s", 1+i%128)), Version: event.Version(i + 1), Type: "t", ContentType: Protobuf,
				Time: at, RecordedTime: at.Add(time.Duration(i*(round+1)) * time.Microsecond), CommandOffset: int64(i), Data: bytes.Repeat([]byte{byte(i)}, i%700)}
			want = append(want, env)
			data, err := enc.Body(256, func(b []byte) ([]byte, error) { return append(b, env.Data...), nil })
			if err != nil {
				t.Fatal(err)
			}
			env.Data = data
			events = append(events, transactional(t, enc.Event(&env, "topic")))
			outcomes = append(outcomes, transactional(t, enc.Outcome(&event.Outcome{Aggregate: "order", Stream: env.Stream, CommandID: "id", Kind: event.Accepted,
				RecordedTime: at, CommandOffset: int64(i), State: want[i].Data}, "outcomes")))
		}
		for i := range want {
			var got event.Envelope
			if err := ParseEvent(events[i], "order", nil, &got); err != nil {
				t.Fatal(i, err)
			}
			if diff := cmp.Diff(want[i], got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatal(round, i, diff)
			}
			o, err := ParseOutcome(outcomes[i], "order", nil)
			if err != nil || o.CommandOffset != int64(i) || !bytes.Equal(o.State, want[i].Data) {
				t.Fatal(round, i, o, err)
			}
		}
		enc.Reset()
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("o-1"), []byte("{}"), "ce_type", []byte("order.v1.PayOrder"), "ce_time", []byte("1997-01-01T00:00:00Z"))
	f.Add([]byte("o-1"), []byte(nil), "ce_streamversion", []byte("99999999999999999999"), "ce_id", []byte("o-1/1"))
	f.Fuzz(func(t *testing.T, key, value []byte, k1 string, v1 []byte, k2 string, v2 []byte) {
		r := transactional(t, &kgo.Record{Key: key, Value: value, Headers: []kgo.RecordHeader{{Key: k1, Value: v1}, {Key: k2, Value: v2}}})
		c, _, err := ParseCommand(r, &Names{})
		if event.CheckCommandID(c.ID) != nil {
			t.Errorf("command ID %q", c.ID)
		}
		if err == nil && (event.CheckStreamID(c.Stream) != nil || c.Type == "") {
			t.Errorf("%+v", c)
		}
		var env event.Envelope
		if ParseEvent(r, "order", nil, &env) == nil && (env.Version < 1 || event.CheckStreamID(env.Stream) != nil) {
			t.Errorf("%+v", env)
		}
		if o, err := ParseOutcome(r, "order", nil); err == nil && o.CommandID == "" {
			t.Errorf("%+v", o)
		}
	})
}

func BenchmarkEvent(b *testing.B) {
	var enc Encoder
	env := event.Envelope{Aggregate: "order", Stream: "cdnow-12345", Version: 4, Type: "order.v1.OrderPaid", Time: at, RecordedTime: at, CausationID: "id-1", CommandOffset: 99, ContentType: Protobuf, Data: []byte{1, 2}}
	b.ReportAllocs()
	for i := range b.N {
		if i%1000 == 0 {
			enc.Reset()
		}
		enc.Event(&env, "topic")
	}
}

func BenchmarkParseEvent(b *testing.B) {
	var enc Encoder
	env := event.Envelope{Aggregate: "order", Stream: "cdnow-12345", Version: 4, Type: "order.v1.OrderPaid", Time: at, RecordedTime: at, CausationID: "id-1", CommandOffset: 99, ContentType: Protobuf, Data: []byte{1, 2}}
	r := transactional(b, enc.Event(&env, "topic"))
	var names Names
	b.ReportAllocs()
	for b.Loop() {
		if err := ParseEvent(r, "order", &names, &env); err != nil {
			b.Fatal(err)
		}
	}
}
