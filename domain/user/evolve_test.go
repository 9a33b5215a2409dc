package user

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// Whatever is registered is handled: commands by Decide, events by Evolve.
func TestExhaustive(t *testing.T) {
	spec := Spec(nil)
	for _, c := range spec.Commands {
		for status := range userv1.UserStatus_name {
			_, err := Decide(decider.Command[proto.Message]{Command: event.Command{Stream: "u"}, Body: message(t, c.Type)}, &userv1.UserState{Status: userv1.UserStatus(status)})
			if errors.Is(err, event.ErrUnknownType) {
				t.Errorf("Decide does not know the command: %v", err)
			}
		}
	}
	for _, typ := range spec.Events {
		if !evolve(&userv1.UserState{}, message(t, typ)) {
			t.Errorf("Evolve does not handle %s", typ)
		}
	}
	if before := (&userv1.UserState{Status: active}); !proto.Equal(before, Evolve(before, &userv1.ForgetUser{})) {
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
