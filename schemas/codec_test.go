package schemas_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

func TestUnmarshal(t *testing.T) {
	bin, err := schemas.Marshal(&orderv1.RemoveLine{Sku: "cd-1"})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, contentType, data string
		sku                     string
	}{
		{"protobuf", "application/protobuf", string(bin), "cd-1"},
		{"JSON", "application/json", `{"sku":"cd-1"}`, "cd-1"},
		{"JSON is the default", "", `{"sku":"cd-1"}`, "cd-1"},
		{"JSON with a parameter", "application/json; charset=utf-8", `{"sku":"cd-1"}`, "cd-1"},
		{"JSON in capitals", "Application/JSON", `{"sku":"cd-1"}`, "cd-1"},
		{"protobuf with a parameter", "application/protobuf; version=1", string(bin), "cd-1"},
		{"JSON with spaces", "", " {\n\t\"sku\" : \"cd-1\" }\n", "cd-1"},
		{"no bytes of protobuf", "application/protobuf", "", ""},
		{"no bytes of JSON", "application/json", "", ""},
		{"an unknown field of protobuf", "application/protobuf", string(bin) + "\x92\x3e\x01x", "cd-1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := &orderv1.RemoveLine{Sku: "from before"}
			if err := schemas.Unmarshal(tt.contentType, []byte(tt.data), got); err != nil {
				t.Fatal(err)
			}
			if got.GetSku() != tt.sku {
				t.Errorf("sku %q, want %q", got.GetSku(), tt.sku)
			}
		})
	}
}

func TestUnmarshalAcceptsIntegersAsText(t *testing.T) {
	got := &orderv1.Line{}
	if err := schemas.Unmarshal("", []byte(`{"quantity":"3"}`), got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(&orderv1.Line{Quantity: 3}, got, protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
}

func TestUnmarshalMalformed(t *testing.T) {
	tests := []struct {
		name, contentType, data string
		want                    string // of the message
	}{
		{"unknown field", "", `{"customer":"a","price":1}`, `unknown field "price"`},
		{"unknown field below", "", `{"lines":[{"skew":"a"}]}`, `unknown field "skew"`},
		{"field twice", "", `{"customer":"a","customer":"b"}`, `duplicate field "customer"`},
		{"text for a number", "", `{"lines":[{"quantity":"many"}]}`, `invalid value for int32`},
		{"number too large", "", `{"lines":[{"quantity":3000000000}]}`, `invalid value for int32`},
		{"number for text", "", `{"customer":17}`, `invalid value for string`},
		{"no JSON", "", `customer=17`, `syntax error`},
		{"only a space", "", ` `, `syntax error`},
		{"a list", "", `[]`, `unexpected token [`},
		{"null", "", `null`, `unexpected token null`},
		{"two values", "", `{}{}`, `unexpected token {`},
		{"cut off", "", `{"customer":"a`, `unexpected EOF`},
		{"JSON that is not UTF-8", "", "{\"customer\":\"\xff\"}", `invalid UTF-8`},
		{"protobuf that is not UTF-8", "application/protobuf", "\x0a\x01\xff", `invalid UTF-8`},
		{"protobuf cut off", "application/protobuf", "\x0a\x05a", `cannot parse`},
		{"JSON as protobuf", "application/protobuf", `{}`, `cannot parse`},
		{"other content type", "text/plain", `{}`, `the content type "text/plain" is neither application/json nor application/protobuf`},
		{"no content type", ";;", `{}`, `the content type ";;" is neither`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := schemas.Unmarshal(tt.contentType, []byte(tt.data), &orderv1.PlaceOrder{})
			if !errors.Is(err, event.ErrMalformed) {
				t.Fatalf("error %v, want event.ErrMalformed", err)
			}
			checkWording(t, err)
			if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %q, want %q in it", err, tt.want)
			}
		})
	}
}

// checkWording holds that an error names things as a caller knows them.
func checkWording(t *testing.T, err error) {
	t.Helper()
	for _, leak := range []string{"orderv1", "orderv2", "customerv1", "benchv1", "protoimpl", "*", "proto:", "\u00a0", "github.com"} {
		if strings.Contains(err.Error(), leak) {
			t.Errorf("error %q has %q in it", err, leak)
		}
	}
}

func TestMarshalOfNothingIsNotNil(t *testing.T) {
	for name, marshal := range map[string]func() ([]byte, error){
		"Marshal":       func() ([]byte, error) { return schemas.Marshal(&orderv1.PayOrder{}) },
		"AppendMarshal": func() ([]byte, error) { return schemas.AppendMarshal(nil, &orderv1.PayOrder{}) },
	} {
		data, err := marshal()
		if err != nil || data == nil || len(data) != 0 {
			t.Errorf("%s gives %#v, %v; want zero bytes that are not nil", name, data, err)
		}
	}
}

func TestAppendMarshal(t *testing.T) {
	m := &orderv1.RemoveLine{Sku: "cd-1"}
	alone, err := schemas.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	appended, err := schemas.AppendMarshal([]byte("before"), m)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(appended), "before"+string(alone); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestMarshalRefusesTextThatIsNotUTF8(t *testing.T) {
	m := &orderv1.RemoveLine{Sku: "\xff"}
	if _, err := schemas.Marshal(m); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("Marshal: error %v, want event.ErrInvalid", err)
	} else {
		checkWording(t, err)
	}
	if _, err := schemas.JSON(m); !errors.Is(err, event.ErrInvalid) {
		t.Errorf("JSON: error %v, want event.ErrInvalid", err)
	} else {
		checkWording(t, err)
	}
}
