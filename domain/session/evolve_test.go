package session

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
)

// Whatever is registered is handled: commands by Decide, events by Evolve. No command is public.
func TestExhaustive(t *testing.T) {
	spec := Spec(nil)
	for _, c := range spec.Commands {
		_, err := Decide(decider.Command[proto.Message]{Command: event.Command{Stream: "s"}, Body: message(t, c.Type)}, &sessionv1.SessionState{})
		if errors.Is(err, event.ErrUnknownType) || c.Public {
			t.Errorf("%s: public %v, %v", c.Type, c.Public, err)
		}
	}
	for _, typ := range spec.Events {
		if !evolve(&sessionv1.SessionState{}, message(t, typ)) {
			t.Errorf("Evolve does not handle %s", typ)
		}
	}
	if before := (&sessionv1.SessionState{Status: active}); !proto.Equal(before, Evolve(before, &sessionv1.RefreshSession{})) {
		t.Error("something that is no event changed the state")
	}
}

func message(t *testing.T, typ string) proto.Message {
	t.Helper()
	mt, err := protoregistry.GlobalTypes.FindMessageByName(protoreflect.FullName(typ))
	if err != nil {
		t.Fatal(err)
	}
	return mt.New().Interface()
}
