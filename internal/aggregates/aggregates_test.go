package aggregates

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

func everything() []*decider.Type { return append(All(), Account()) }

func TestLookup(t *testing.T) {
	if diff := cmp.Diff([]string{"order", "customer", "user", "session", "emailclaim", "source", "experiment"}, Names()); diff != "" {
		t.Error(diff)
	}
	for _, want := range All() {
		for _, name := range []string{want.Name, want.Plural} {
			if got, ok := Lookup(name); !ok || got != want {
				t.Errorf("Lookup(%q) = %v, %v", name, got, ok)
			}
		}
	}
	for _, name := range []string{"", "account", "accounts", "Order"} {
		if got, ok := Lookup(name); ok {
			t.Errorf("Lookup(%q) = %v", name, got)
		}
	}
	All()[0] = nil
	if All()[0] == nil {
		t.Error("All hands out its own slice")
	}
}

// Nothing of identity is open, and nothing else is closed.
func TestOpen(t *testing.T) {
	var names []string
	for _, typ := range Open() {
		names = append(names, typ.Name)
	}
	if diff := cmp.Diff([]string{"order", "customer", "experiment"}, names); diff != "" {
		t.Error(diff)
	}
	if len(All()) != len(Names()) {
		t.Error("Open changes All")
	}
}

// Every message of an aggregate's protobuf packages, in any version, that is no part of another one is
// registered as a command or an event, or is the state: a new message cannot be forgotten.
func TestEveryMessageIsRegistered(t *testing.T) {
	for _, typ := range everything() {
		t.Run(typ.Name, func(t *testing.T) {
			state := typ.Initial().(proto.Message).ProtoReflect().Descriptor()
			want := []string{string(state.FullName())}
			for _, c := range typ.Commands {
				want = append(want, c.Type)
			}
			want = append(want, typ.Events...)
			slices.Sort(want)
			family, _, _ := strings.Cut(string(state.ParentFile().Package()), ".")
			if diff := cmp.Diff(want, roots(family)); diff != "" {
				t.Errorf("registered (-) and in the protobuf packages %s.* (+):\n%s", family, diff)
			}
		})
	}
}

// roots are the messages of the packages family.* that no other one of them has as a field, sorted.
func roots(family string) []string {
	var names []string
	parts := map[protoreflect.FullName]bool{}
	protoregistry.GlobalFiles.RangeFiles(func(f protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(f.Package()), family+".") {
			return true
		}
		for i := range f.Messages().Len() {
			m := f.Messages().Get(i)
			names = append(names, string(m.FullName()))
			for j := range m.Fields().Len() {
				if part := m.Fields().Get(j).Message(); part != nil {
					parts[part.FullName()] = true
				}
			}
		}
		return true
	})
	names = slices.DeleteFunc(names, func(n string) bool { return parts[protoreflect.FullName(n)] })
	slices.Sort(names)
	return names
}

// What is registered can be decoded, decided, encoded and folded.
func TestEveryTypeIsHandled(t *testing.T) {
	const content = "application/protobuf"
	for _, typ := range everything() {
		for _, c := range typ.Commands {
			body, err := typ.Codec.DecodeCommand(c.Type, content, nil)
			if err != nil {
				t.Errorf("decode the command %s: %v", c.Type, err)
				continue
			}
			_, err = typ.Decide(event.Command{Type: c.Type, Stream: "s", Time: time.Unix(0, 0)}, body, typ.Initial())
			if errors.Is(err, event.ErrUnknownType) {
				t.Errorf("decide %s: %v", c.Type, err)
			}
			if c.Summary == "" || !strings.HasSuffix(c.Summary, ".") {
				t.Errorf("the summary of %s is %q; it should be a sentence", c.Type, c.Summary)
			}
		}
		for _, name := range typ.Events {
			env := &event.Envelope{Aggregate: typ.Name, Stream: "s", Version: 1, Type: name, ContentType: content, Time: time.Unix(7, 0)}
			body, err := typ.Codec.DecodeEvent(env)
			if err != nil {
				t.Errorf("decode the event %s: %v", name, err)
				continue
			}
			typ.Evolve(typ.Initial(), body)
			current, _, data, err := typ.Codec.EncodeEvent(nil, body)
			if err != nil || !slices.Contains(typ.Events, current) {
				t.Errorf("%s is upcast to %s, which cannot be written: %v", name, current, err)
			}
			env.Type, env.Data = current, data
			if again, err := typ.Codec.DecodeEvent(env); err != nil || !proto.Equal(again.(proto.Message), body.(proto.Message)) {
				t.Errorf("%s does not survive encoding: %v, %v", name, again, err)
			}
		}
		if _, err := typ.Codec.DecodeCommand(typ.Events[0], content, nil); !errors.Is(err, event.ErrUnknownType) {
			t.Errorf("%s takes the event %s as a command: %v", typ.Name, typ.Events[0], err)
		}
		if _, err := typ.Codec.DecodeEvent(&event.Envelope{Type: typ.Commands[0].Type, ContentType: content}); !errors.Is(err, event.ErrUnknownType) {
			t.Errorf("%s takes the command %s as an event: %v", typ.Name, typ.Commands[0].Type, err)
		}
	}
}

// Old notes are upcast on the way into the fold.
func TestOldEventIsFolded(t *testing.T) {
	typ, _ := Lookup("order")
	old, err := protoregistry.GlobalTypes.FindMessageByName("order.v1.OrderAnnotated")
	if err != nil {
		t.Fatal(err)
	}
	m := old.New()
	m.Set(m.Descriptor().Fields().ByName("text"), protoreflect.ValueOfString("call first"))
	data, err := proto.Marshal(m.Interface())
	if err != nil {
		t.Fatal(err)
	}
	next, err := typ.Extend(typ.Begin(), &event.Envelope{Aggregate: "order", Stream: "s", Version: 1, Type: "order.v1.OrderAnnotated",
		ContentType: "application/protobuf", Data: data, Time: time.Date(1997, 1, 1, 0, 0, 0, 0, time.UTC)})
	if err != nil {
		t.Fatal(err)
	}
	json, err := typ.Codec.JSON(next.State)
	if want := `{"notes":[{"text":"call first","notedAt":"1997-01-01T00:00:00Z"}]}`; err != nil || string(json) != want {
		t.Errorf("the state is %s, %v; want %s", json, err, want)
	}
}
