package schemas_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas"
	"github.com/cqrsflow/cqrsflow/schemas/order"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	orderv2 "github.com/cqrsflow/cqrsflow/schemas/order/v2"
)

func TestDecodeErrors(t *testing.T) {
	failing := schemas.NewRegistry(schemas.Old(&orderv1.OrderAnnotated{}, func(proto.Message, time.Time) (proto.Message, error) {
		return nil, errors.New("no note")
	}))
	circle := schemas.NewRegistry(schemas.Old(&orderv1.OrderAnnotated{}, func(m proto.Message, _ time.Time) (proto.Message, error) {
		return m, nil
	}))
	tests := []struct {
		name              string
		registry          *schemas.Registry
		typ, content, raw string
		want              error
	}{
		{"no such type", order.Events, "order.v1.OrderLost", "", "", event.ErrUnknownType},
		{"no type", order.Events, "", "", "", event.ErrUnknownType},
		{"a command is no event", order.Events, "order.v1.PlaceOrder", "", "", event.ErrUnknownType},
		{"bad protobuf", order.Events, "order.v1.OrderPlaced", "application/protobuf", "\x0a\x05", event.ErrUndecodable},
		{"bad JSON", order.Events, "order.v1.OrderPlaced", "application/json", "{", event.ErrUndecodable},
		{"bad content type", order.Events, "order.v1.OrderPlaced", "text/html", "", event.ErrUndecodable},
		{"upcaster fails", failing, "order.v1.OrderAnnotated", "", "", event.ErrUndecodable},
		{"upcasters go in a circle", circle, "order.v1.OrderAnnotated", "", "", event.ErrUndecodable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m, err := tt.registry.Decode(tt.typ, tt.content, []byte(tt.raw))
			if !errors.Is(err, tt.want) {
				t.Fatalf("%v, error %v, want %v", m, err, tt.want)
			}
			if errors.Is(err, event.ErrMalformed) {
				t.Errorf("error %v blames a caller for what is in the log", err)
			}
			checkWording(t, err)
		})
	}
}

func TestUpcastOrderAnnotated(t *testing.T) {
	at := noon.Add(time.Hour)
	tests := []struct {
		name string
		old  *orderv1.OrderAnnotated
		at   time.Time
		want *orderv2.Note
	}{
		{"with its time", &orderv1.OrderAnnotated{Text: "a", AnnotatedAt: minutes(1)}, at, &orderv2.Note{Text: "a", NotedAt: minutes(1)}},
		{"with the event's time", &orderv1.OrderAnnotated{Text: "a"}, at, &orderv2.Note{Text: "a", NotedAt: timestamppb.New(at)}},
		{"without time", &orderv1.OrderAnnotated{Text: "a"}, time.Time{}, &orderv2.Note{Text: "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			data, err := schemas.Marshal(tt.old)
			if err != nil {
				t.Fatal(err)
			}
			got, err := order.Events.DecodeAt("order.v1.OrderAnnotated", schemas.ContentTypeProtobuf, data, tt.at)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&orderv2.OrderAnnotated{Note: tt.want}, got, protocmp.Transform()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestUpcastersChain goes through two old versions.
func TestUpcastersChain(t *testing.T) {
	r := schemas.NewRegistry(
		schemas.Old(&orderv1.CancelOrder{}, func(m proto.Message, _ time.Time) (proto.Message, error) {
			return &orderv1.AnnotateOrder{Text: m.(*orderv1.CancelOrder).GetReason()}, nil
		}),
		schemas.Old(&orderv1.AnnotateOrder{}, func(m proto.Message, _ time.Time) (proto.Message, error) {
			return &orderv2.Note{Text: m.(*orderv1.AnnotateOrder).GetText()}, nil
		}),
		schemas.Current(&orderv2.Note{}),
	)
	got, err := r.Decode("order.v1.CancelOrder", "", []byte(`{"reason":"late"}`))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&orderv2.Note{Text: "late"}, got, protocmp.Transform()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestRegisteredTwice(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	schemas.NewRegistry(schemas.Current(&orderv1.PayOrder{}), schemas.Current(&orderv1.PayOrder{}))
}

func TestCodec(t *testing.T) {
	var codec decider.Codec = order.Codec

	t.Run("command", func(t *testing.T) {
		body, err := codec.DecodeCommand("order.v1.RemoveLine", "", []byte(`{"sku":"cd-1"}`))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&orderv1.RemoveLine{Sku: "cd-1"}, body, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		if errs := codec.ValidateCommand(body); errs != nil {
			t.Errorf("errors %v", errs)
		}
		if errs := codec.ValidateCommand(&orderv1.RemoveLine{}); len(errs) != 1 || errs[0].Field != "sku" {
			t.Errorf("errors %v, want one of sku", errs)
		}
		if errs := codec.ValidateCommand("no message"); len(errs) != 1 {
			t.Errorf("errors %v, want one", errs)
		}
		if _, err := codec.DecodeCommand("order.v1.OrderPlaced", "", nil); !errors.Is(err, event.ErrUnknownType) {
			t.Errorf("an event as a command: error %v", err)
		}
		if _, err := codec.DecodeCommand("order.v1.RemoveLine", "", []byte(`{"skew":1}`)); !errors.Is(err, event.ErrMalformed) {
			t.Errorf("a bad command: error %v", err)
		}
	})
	t.Run("event", func(t *testing.T) {
		want := &orderv1.OrderShipped{ShippedAt: minutes(5)}
		typ, content, data, err := codec.EncodeEvent([]byte("before"), want)
		if err != nil {
			t.Fatal(err)
		}
		if typ != "order.v1.OrderShipped" || content != "application/protobuf" || string(data[:6]) != "before" {
			t.Fatalf("%s, %s, %q", typ, content, data)
		}
		got, err := codec.DecodeEvent(&event.Envelope{Type: typ, ContentType: content, Data: data[6:]})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		for _, wrong := range []any{&orderv1.PlaceOrder{}, &orderv1.OrderAnnotated{}} {
			if _, _, _, err := codec.EncodeEvent(nil, wrong); !errors.Is(err, event.ErrUnknownType) {
				t.Errorf("%T as an event: error %v", wrong, err)
			}
		}
	})
	t.Run("an old event is upcast with its envelope's time", func(t *testing.T) {
		got, err := codec.DecodeEvent(&event.Envelope{Type: "order.v1.OrderAnnotated", Time: noon, Data: []byte(`{"text":"a"}`)})
		if err != nil {
			t.Fatal(err)
		}
		want := &orderv2.OrderAnnotated{Note: &orderv2.Note{Text: "a", NotedAt: timestamppb.New(noon)}}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("state", func(t *testing.T) {
		want := &orderv1.OrderState{Status: orderv1.OrderStatus_ORDER_STATUS_PLACED, Customer: "customer-17"}
		data, err := codec.EncodeState([]byte("before"), want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := codec.DecodeState(data[6:])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
		if _, err := codec.DecodeState([]byte{0x0a}); !errors.Is(err, event.ErrUndecodable) {
			t.Errorf("damaged state: error %v", err)
		}
		if text, err := codec.JSON(want); err != nil || string(text) != `{"status":"placed","customer":"customer-17"}` {
			t.Errorf("%s, %v", text, err)
		}
	})
}
