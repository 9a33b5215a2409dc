package decidertest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"sort"
	"strings"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/decider"
)

// decide calls Decide twice and checks that it is pure.
func decide[C, E, S any](t TB, d decider.Decider[C, E, S], command C, state S) ([]E, error) {
	t.Helper()
	commandBefore, stateBefore := render(command), render(state)
	events, err := d.Decide(command, state)
	again, errAgain := d.Decide(command, state)
	unchanged(t, "Decide changed the command", commandBefore, render(command))
	unchanged(t, "Decide changed the state", stateBefore, render(state))
	if diff := diff(events, again); diff != "" {
		t.Fatalf("Decide is not pure: the second time other events happened (-first +second):\n%s", diff)
	}
	if fmt.Sprint(err) != fmt.Sprint(errAgain) {
		t.Fatalf("Decide is not pure: first %v, then %v", err, errAgain)
	}
	if err != nil && len(events) > 0 {
		t.Fatalf("Decide returned %d events and the error %v: one or the other", len(events), err)
	}
	return events, err
}

// evolve calls Evolve twice and checks that it is pure.
func evolve[C, E, S any](t TB, d decider.Decider[C, E, S], state S, e E) S {
	t.Helper()
	eventBefore, stateBefore := render(e), render(state)
	next := d.Evolve(state, e)
	nextBefore := render(next)
	again := d.Evolve(state, e)
	unchanged(t, fmt.Sprintf("Evolve changed the event %T", e), eventBefore, render(e))
	unchanged(t, fmt.Sprintf("Evolve (%T) changed the state that it got", e), stateBefore, render(state))
	unchanged(t, fmt.Sprintf("Evolve (%T) changed the state that it had returned before", e), nextBefore, render(next))
	if diff := diff(next, again); diff != "" {
		t.Fatalf("Evolve (%T) is not pure (-first +second):\n%s", e, diff)
	}
	return next
}

func unchanged(t TB, what, before, after string) {
	t.Helper()
	if before != after {
		t.Fatalf("%s (-before +after):\n%s", what, cmp.Diff(strings.Split(before, "\n"), strings.Split(after, "\n")))
	}
}

// trail keeps states and what they looked like when they were made: states that share memory change later.
type trail[S any] struct {
	states []recorded[S]
}

type recorded[S any] struct {
	state S
	text  string
}

func (tr *trail[S]) add(s S) { tr.states = append(tr.states, recorded[S]{s, render(s)}) }

func (tr *trail[S]) last() S { return tr.states[len(tr.states)-1].state }

func (tr *trail[S]) check(t TB) {
	t.Helper()
	for i, r := range tr.states {
		unchanged(t, fmt.Sprintf("the state at version %d was changed by what came after", i), r.text, render(r.state))
	}
}

// render writes everything that can be reached from v, so that changes show. Functions and channels are
// taken to be constant. Cycles are not supported.
func render(v any) string {
	var b strings.Builder
	write(&b, reflect.ValueOf(v), "")
	return b.String()
}

func write(b *strings.Builder, v reflect.Value, indent string) {
	if !v.IsValid() {
		b.WriteString("nil")
		return
	}
	if v.CanInterface() {
		if m, ok := v.Interface().(proto.Message); ok {
			writeMessage(b, m, indent)
			return
		}
	}
	deeper := indent + "  "
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			b.WriteString("nil")
			return
		}
		write(b, v.Elem(), indent)
	case reflect.Struct:
		fmt.Fprintf(b, "%s {\n", v.Type())
		for i := range v.NumField() {
			b.WriteString(deeper + v.Type().Field(i).Name + ": ")
			write(b, v.Field(i), deeper)
			b.WriteByte('\n')
		}
		b.WriteString(indent + "}")
	case reflect.Slice, reflect.Array:
		fmt.Fprintf(b, "%s [\n", v.Type())
		for i := range v.Len() {
			b.WriteString(deeper)
			write(b, v.Index(i), deeper)
			b.WriteByte('\n')
		}
		b.WriteString(indent + "]")
	case reflect.Map:
		var entries []string
		for it := v.MapRange(); it.Next(); {
			var entry strings.Builder
			write(&entry, it.Key(), deeper)
			entry.WriteString(": ")
			write(&entry, it.Value(), deeper)
			entries = append(entries, deeper+entry.String()+"\n")
		}
		sort.Strings(entries)
		fmt.Fprintf(b, "%s {\n%s%s}", v.Type(), strings.Join(entries, ""), indent)
	case reflect.Func, reflect.Chan, reflect.UnsafePointer:
		b.WriteString(v.Type().String())
	default:
		fmt.Fprintf(b, "%v", v)
	}
}

// writeMessage writes a message as JSON for people, and as bytes for what JSON does not show.
func writeMessage(b *strings.Builder, m proto.Message, indent string) {
	r := m.ProtoReflect()
	if !r.IsValid() {
		b.WriteString("nil")
		return
	}
	fmt.Fprintf(b, "%s ", r.Descriptor().FullName())
	wire, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(m)
	if err != nil {
		fmt.Fprintf(b, "(%v)", err)
	}
	text, err := protojson.MarshalOptions{AllowPartial: true}.Marshal(m)
	var indented bytes.Buffer
	if err == nil && json.Indent(&indented, text, indent, "  ") == nil {
		b.Write(indented.Bytes())
	}
	fmt.Fprintf(b, " %x", wire)
}
