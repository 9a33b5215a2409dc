package record

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

var update = flag.Bool("update", false, "write golden files")

// Every record, byte by byte, as it stands in logs by now: with a variant, and without one as before there were any.
func TestGoldenRecords(t *testing.T) {
	var enc Encoder
	var b strings.Builder
	show := func(what string, r *kgo.Record) {
		fmt.Fprintf(&b, "%s\nkey %s\n", what, r.Key)
		for _, h := range r.Headers {
			fmt.Fprintf(&b, "%s: %s\n", h.Key, h.Value)
		}
		fmt.Fprintf(&b, "value %x\n\n", r.Value)
	}
	for _, variant := range []string{"", "checkout=v2"} {
		name := ""
		if variant != "" {
			name = ", variant " + variant
		}
		show("command"+name, enc.Command(&event.Command{ID: "id-1", Type: "order.v1.PayOrder", Stream: "o-1", Time: at, ExpectedVersion: 3,
			CausationID: "a", CorrelationID: "b", TraceParent: "c", Variant: variant, ReturnState: true}, "commands", 3, JSON, []byte("{}")))
		show("event"+name, enc.Event(&event.Envelope{Aggregate: "order", Stream: "o-1", Version: 4, Type: "order.v1.OrderPaid", Time: at, RecordedTime: at,
			CausationID: "id-1", CorrelationID: "b", TraceParent: "c", Principal: "user:1", Variant: variant, CommandOffset: 99, LastOfCommand: true,
			Partition: 3, ContentType: Protobuf, Data: []byte{1, 2}}, "events"))
		show("outcome"+name, enc.Outcome(&event.Outcome{Aggregate: "order", Stream: "o-1", CommandID: "id-1", Kind: event.Accepted, Version: 4,
			Events: []event.Ref{{Type: "order.v1.OrderPaid", Version: 4}}, Position: event.Position{Aggregate: "order", Partition: 3, Offset: 99},
			CorrelationID: "b", TraceParent: "c", Variant: variant, RecordedTime: at, Partition: 3, CommandOffset: 99, Digest: []byte{0xd, 0xe}}, "outcomes"))
	}
	const proof = "v1;key=a;user=u-1;roles=clerk;session=s-1;expires=1777636860;mac=2NWHVxkFvHTH1IWdov-nG-0fWgxMQuHodGXGcxJW1nA"
	show("command, signed", enc.Command(&event.Command{ID: "id-1", Type: "order.v1.PayOrder", Stream: "o-1", ExpectedVersion: event.AnyVersion, Auth: proof},
		"commands", 3, JSON, []byte("{}")))
	show("outcome, denied", enc.Outcome(&event.Outcome{Aggregate: "order", Stream: "o-1", CommandID: "id-1", Kind: event.Denied, Code: "permission_denied", Version: 4,
		Principal: "user:u-1", RecordedTime: at, Partition: 3, CommandOffset: 99}, "outcomes"))
	const path = "testdata/records.golden"
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(want) {
		t.Errorf("the records have changed; want\n%s\ngot\n%s", want, b.String())
	}
}

// What is no assignment, or far too long to be one, makes no command malformed: the default decides it.
func TestAnOddVariantIsNoMistake(t *testing.T) {
	for _, v := range []string{"", "v2", "=", "a=@b", strings.Repeat("x", 10_000)} {
		r := &kgo.Record{Key: []byte("o-1"), Value: []byte("{}"), Headers: []kgo.RecordHeader{{Key: "ce_type", Value: []byte("order.v1.PayOrder")}, {Key: "cqrs-variant", Value: []byte(v)}}}
		c, _, err := ParseCommand(r, &Names{})
		if err != nil || !strings.HasPrefix(v, c.Variant) || len(c.Variant) > event.MaxAssignment+1 {
			t.Errorf("%.20q: %q, %v", v, c.Variant, err)
		}
		if _, ok := event.ParseAssignment(c.Variant); ok {
			t.Errorf("%.20q is an assignment", v)
		}
	}
	for text, want := range map[string]event.Assignment{
		"checkout=v2":       {Experiment: "checkout", Variant: "v2"},
		"checkout/1=v2@ada": {Experiment: "checkout/1", Variant: "v2", Unit: "ada"},
	} {
		if a, ok := event.ParseAssignment(text); !ok || a != want || a.String() != text {
			t.Error(a, ok)
		}
	}
	longest := event.Assignment{Experiment: strings.Repeat("e", 128) + "/2147483647", Variant: strings.Repeat("v", 41), Unit: strings.Repeat("u", 128)}
	if a, ok := event.ParseAssignment(longest.String()); !ok || a != longest {
		t.Errorf("%d bytes are too long", len(longest.String()))
	}
}
