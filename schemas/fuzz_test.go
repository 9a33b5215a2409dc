package schemas_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas"
	"github.com/cqrsflow/cqrsflow/schemas/order"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// FuzzUnmarshal: whatever a caller sends is read as a message that survives both encodings, or is malformed; and
// validating it gives an answer.
func FuzzUnmarshal(f *testing.F) {
	for _, contentType := range []string{"", schemas.ContentTypeJSON, schemas.ContentTypeProtobuf, "application/json; charset=utf-8", "text/plain"} {
		f.Add(contentType, []byte(`{"customer":"c","lines":[{"sku":"a","quantity":1,"price":{"amount":"1.50","currency":"USD"}}]}`))
		f.Add(contentType, []byte("\x0a\x01c\x12\x12\x0a\x01a\x18\x01\x22\x0b\x0a\x041.50\x12\x03USD"))
		f.Add(contentType, []byte(nil))
	}
	f.Fuzz(func(t *testing.T, contentType string, data []byte) {
		m := &orderv1.PlaceOrder{Customer: "from before"}
		if err := schemas.Unmarshal(contentType, data, m); err != nil {
			if !errors.Is(err, event.ErrMalformed) {
				t.Fatalf("error %v", err)
			}
			return
		}
		if len(data) == 0 && !proto.Equal(m, &orderv1.PlaceOrder{}) {
			t.Fatalf("zero bytes are %v", m)
		}
		for _, fieldError := range schemas.Validate(m) {
			if fieldError.Message == "" {
				t.Errorf("an error of %q says nothing", fieldError.Field)
			}
		}
		survives(t, m)
	})
}

// FuzzDecode: whatever stands in the log is read as a current event that survives both encodings, or is refused with
// one of the two categories.
func FuzzDecode(f *testing.F) {
	for _, m := range samples() {
		name := string(m.ProtoReflect().Descriptor().FullName())
		data, err := schemas.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(name, schemas.ContentTypeProtobuf, data, int64(0))
		if data, err = schemas.JSON(m); err != nil {
			f.Fatal(err)
		}
		f.Add(name, schemas.ContentTypeJSON, data, noon.UnixNano())
	}
	f.Fuzz(func(t *testing.T, typ, contentType string, data []byte, nanos int64) {
		m, err := order.Events.DecodeAt(typ, contentType, data, time.Unix(0, nanos))
		if err != nil {
			if errors.Is(err, event.ErrUnknownType) == errors.Is(err, event.ErrUndecodable) {
				t.Fatalf("error %v", err)
			}
			return
		}
		survives(t, m)
	})
}

func survives(t *testing.T, m proto.Message) {
	t.Helper()
	data, err := schemas.Marshal(m)
	if err != nil {
		t.Fatalf("what was read cannot be written: %v", err)
	}
	again := m.ProtoReflect().New().Interface()
	if err := schemas.Unmarshal(schemas.ContentTypeProtobuf, data, again); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(m, again) {
		t.Fatalf("%v was written as %v", m, again)
	}
	text, err := schemas.JSON(m)
	if err != nil {
		return // a time that is none
	}
	if !json.Valid(text) {
		t.Fatalf("%q is no JSON", text)
	}
	if err := schemas.Unmarshal(schemas.ContentTypeJSON, text, again); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
}
