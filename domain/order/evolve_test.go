package order

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// superseded are the events that the codec turns into later ones before Evolve sees them.
var superseded = map[string]bool{"order.v1.OrderAnnotated": true}

// Whatever is registered is handled: commands by Decide, current events by Evolve.
func TestExhaustive(t *testing.T) {
	spec := Spec(nil)
	for _, c := range spec.Commands {
		for _, s := range []*orderv1.OrderState{{}, {Status: placed}} {
			_, err := Decide(decider.Command[proto.Message]{Command: event.Command{Stream: "o"}, Body: message(t, c.Type)}, s)
			if errors.Is(err, event.ErrUnknownType) {
				t.Errorf("Decide does not know the command: %v", err)
			}
		}
	}
	for _, typ := range spec.Events {
		if evolve(&orderv1.OrderState{}, message(t, typ)) == superseded[typ] {
			t.Errorf("Evolve handles %s: %v", typ, !superseded[typ])
		}
	}
	if before := (&orderv1.OrderState{Status: paid}); !proto.Equal(before, Evolve(before, &orderv1.PayOrder{})) {
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
