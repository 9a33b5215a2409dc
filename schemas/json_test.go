package schemas_test

import (
	"encoding/json"
	"errors"
	"math"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas"
	cqrsflowv1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/v1"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func TestJSON(t *testing.T) {
	tests := []struct {
		name    string
		message proto.Message
		want    string
	}{
		{"nothing set", &orderv1.OrderState{}, `{}`},
		{"64-bit integers are numbers", &cqrsflowv1.Outcome{Version: math.MinInt64}, `{"version":-9223372036854775808}`},
		{"enums are words", &orderv1.OrderState{Status: orderv1.OrderStatus_ORDER_STATUS_SHIPPED}, `{"status":"shipped"}`},
		{"an unknown value is a number", &orderv1.OrderState{Status: 99}, `{"status":99}`},
		{"only what text must escape is", &orderv1.AnnotateOrder{Text: "a\"\\\n\r\t\x01\u2028<&>ü"}, `{"text":"a\"\\\n\r\t\u0001` + "\u2028" + `<&>ü"}`},
		{"whole seconds", &orderv1.OrderShipped{ShippedAt: timestamppb.New(noon)}, `{"shippedAt":"1997-03-14T12:00:00Z"}`},
		{"an empty message that is set", &orderv1.OrderShipped{ShippedAt: &timestamppb.Timestamp{}}, `{"shippedAt":"1970-01-01T00:00:00Z"}`},
		{"every kind of field", kinds(t, `
			yes: true u32: 4294967295 u64: 18446744073709551615 f: 1.5 d: 1e100
			data: "\xff\x00" far: -5
			few: 1.25 few: nan few: inf few: -inf
			counts { key: "b" value: 2 } counts { key: "a" value: 1 }
			kept { key: 7 value { yes: true } }`),
			`{"yes":true,"u32":4294967295,"u64":18446744073709551615,"f":1.5,"d":1e+100,"data":"/wA=","far":-5,` +
				`"few":[1.25,"NaN","Infinity","-Infinity"],"counts":{"a":1,"b":2},"kept":{"7":{"yes":true}}}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for range 3 { // the library's own output varies
				got, err := schemas.JSON(tt.message)
				if err != nil {
					t.Fatal(err)
				}
				if string(got) != tt.want {
					t.Fatalf("%s, want %s", got, tt.want)
				}
				if !json.Valid(got) {
					t.Fatalf("%s is no JSON", got)
				}
			}
		})
	}
}

func TestAppendJSON(t *testing.T) {
	got, err := schemas.AppendJSON([]byte("before"), &orderv1.RemoveLine{Sku: "cd-1"})
	if err != nil || string(got) != `before{"sku":"cd-1"}` {
		t.Errorf("%s, %v", got, err)
	}
}

func TestJSONRefusesTimesThatAreNone(t *testing.T) {
	_, err := schemas.JSON(&orderv1.OrderShipped{ShippedAt: &timestamppb.Timestamp{Seconds: math.MaxInt64}})
	if !errors.Is(err, event.ErrInvalid) {
		t.Fatalf("error %v, want event.ErrInvalid", err)
	}
	checkWording(t, err)
}

// kinds is a message with the kinds of fields that no schema has yet.
func kinds(t *testing.T, text string) proto.Message {
	t.Helper()
	file := &descriptorpb.FileDescriptorProto{}
	if err := prototext.Unmarshal([]byte(`
		name: "kinds.proto" package: "kinds" syntax: "proto3"
		message_type {
			name: "Kinds"
			field { name: "yes" number: 1 type: TYPE_BOOL label: LABEL_OPTIONAL }
			field { name: "u32" number: 2 type: TYPE_UINT32 label: LABEL_OPTIONAL }
			field { name: "u64" number: 3 type: TYPE_FIXED64 label: LABEL_OPTIONAL }
			field { name: "f" number: 4 type: TYPE_FLOAT label: LABEL_OPTIONAL }
			field { name: "d" number: 5 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
			field { name: "data" number: 6 type: TYPE_BYTES label: LABEL_OPTIONAL }
			field { name: "far" number: 7 type: TYPE_SINT64 label: LABEL_OPTIONAL }
			field { name: "few" number: 8 type: TYPE_DOUBLE label: LABEL_REPEATED }
			field { name: "counts" number: 9 type: TYPE_MESSAGE type_name: ".kinds.Kinds.CountsEntry" label: LABEL_REPEATED }
			field { name: "kept" number: 10 type: TYPE_MESSAGE type_name: ".kinds.Kinds.KeptEntry" label: LABEL_REPEATED }
			nested_type {
				name: "CountsEntry" options { map_entry: true }
				field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
				field { name: "value" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
			}
			nested_type {
				name: "KeptEntry" options { map_entry: true }
				field { name: "key" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
				field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".kinds.Kinds" label: LABEL_OPTIONAL }
			}
		}`), file); err != nil {
		t.Fatal(err)
	}
	descriptor, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	m := dynamicpb.NewMessage(descriptor.Messages().ByName("Kinds"))
	if err := prototext.Unmarshal([]byte(text), m); err != nil {
		t.Fatal(err)
	}
	return m
}
