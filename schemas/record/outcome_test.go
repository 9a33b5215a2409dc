package record

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/event"
	cqrsflowv1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/v1"
)

// Outcomes are read and written by hand; both sides must agree with the generated code, for any outcome.
func TestOutcomesAsTheGeneratedCodeHasThem(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		data := rapid.SliceOf(rapid.Byte())
		some := rapid.StringN(1, -1, -1) // an element with nothing set is never written
		number := rapid.Int64Min(0)
		o := event.Outcome{Kind: event.Kind(rapid.IntRange(0, 5).Draw(t, "kind")), Code: text.Draw(t, "code"), Message: text.Draw(t, "message"),
			Version: event.Version(number.Draw(t, "version")), Replayed: rapid.Bool().Draw(t, "replayed"), State: data.Draw(t, "state"), Digest: data.Draw(t, "digest")}
		for range rapid.IntRange(0, 3).Draw(t, "fields") {
			o.Fields = append(o.Fields, event.FieldError{Field: text.Draw(t, "field"), Message: some.Draw(t, "what")})
		}
		for range rapid.IntRange(0, 3).Draw(t, "events") {
			o.Events = append(o.Events, event.Ref{Type: some.Draw(t, "type"), Version: event.Version(number.Draw(t, "sequence"))})
		}
		if rapid.Bool().Draw(t, "positioned") {
			o.Position = event.Position{Aggregate: "order", Partition: 3, Offset: number.Draw(t, "offset")}
		}
		if len(o.State) == 0 {
			o.State = nil
		}
		if len(o.Digest) == 0 {
			o.Digest = nil
		}
		var m cqrsflowv1.Outcome
		if err := proto.Unmarshal(appendOutcome(nil, &o), &m); err != nil {
			t.Fatal(err)
		}
		again, err := proto.Marshal(&m)
		if err != nil {
			t.Fatal(err)
		}
		var back event.Outcome
		if err := parseOutcome(again, nil, &back); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(o, back); diff != "" {
			t.Errorf("(-written +read)\n%s", diff)
		}
	})
}

// What is cut short is an error, never a panic or half an outcome.
func TestOutcomesCutShort(t *testing.T) {
	b := appendOutcome(nil, &event.Outcome{Kind: event.Rejected, Code: "c", Message: "m", Events: []event.Ref{{Type: "t", Version: 300}}, State: []byte("state")})
	whole := 0
	for n := range b {
		var o event.Outcome
		if parseOutcome(b[:n], nil, &o) == nil {
			whole++
		}
	}
	if whole != 5 { // where a field ends, and where there is none
		t.Errorf("%d of %d prefixes were read, want 5", whole, len(b))
	}
}
