package schemas

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/cqrsflow/cqrsflow/event"
)

// JSON renders m for readers: protobuf JSON without spaces, the fields in the order of the schema, unset fields left
// out. It differs from protobuf JSON in two ways, because callers are no protobuf programs: 64-bit integers are
// numbers, and enum values are words ("placed" for ORDER_STATUS_PLACED). The same message always gives the same bytes.
// It fails, with event.ErrInvalid, on text that is not UTF-8 and on times outside of the years 1 to 9999.
func JSON(m proto.Message) ([]byte, error) {
	return AppendJSON(nil, m)
}

// AppendJSON appends what JSON returns to buf.
func AppendJSON(buf []byte, m proto.Message) ([]byte, error) {
	out, err := appendMessage(buf, m.ProtoReflect())
	if err != nil {
		return buf, fmt.Errorf("%w: render %s: %w", event.ErrInvalid, m.ProtoReflect().Descriptor().FullName(), err)
	}
	return out, nil
}

func appendMessage(buf []byte, m protoreflect.Message) ([]byte, error) {
	if m.Descriptor().ParentFile().Package() == "google.protobuf" {
		return appendWellKnown(buf, m)
	}
	buf = append(buf, '{')
	fields := m.Descriptor().Fields()
	for i, first := 0, true; i < fields.Len(); i++ {
		field := fields.Get(i)
		if !m.Has(field) {
			continue
		}
		if !first {
			buf = append(buf, ',')
		}
		first = false
		buf = append(buf, '"')
		buf = append(buf, field.JSONName()...)
		buf = append(buf, '"', ':')
		var err error
		switch value := m.Get(field); {
		case field.IsMap():
			buf, err = appendMap(buf, field, value.Map())
		case field.IsList():
			buf, err = appendList(buf, field, value.List())
		default:
			buf, err = appendValue(buf, field, value)
		}
		if err != nil {
			return buf, fmt.Errorf("%s: %w", field.JSONName(), err)
		}
	}
	return append(buf, '}'), nil
}

// appendWellKnown leaves times, durations and the like to the library, whose spaces are not stable.
func appendWellKnown(buf []byte, m protoreflect.Message) ([]byte, error) {
	text, err := protojson.Marshal(m.Interface())
	if err != nil {
		return buf, reason(err)
	}
	out := bytes.NewBuffer(buf)
	err = json.Compact(out, text)
	return out.Bytes(), err
}

func appendList(buf []byte, field protoreflect.FieldDescriptor, list protoreflect.List) ([]byte, error) {
	buf = append(buf, '[')
	for i := range list.Len() {
		if i > 0 {
			buf = append(buf, ',')
		}
		var err error
		if buf, err = appendValue(buf, field, list.Get(i)); err != nil {
			return buf, err
		}
	}
	return append(buf, ']'), nil
}

func appendMap(buf []byte, field protoreflect.FieldDescriptor, entries protoreflect.Map) ([]byte, error) {
	keys := make([]protoreflect.MapKey, 0, entries.Len())
	entries.Range(func(key protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, key)
		return true
	})
	slices.SortFunc(keys, func(a, b protoreflect.MapKey) int { return strings.Compare(a.String(), b.String()) })
	buf = append(buf, '{')
	for i, key := range keys {
		if i > 0 {
			buf = append(buf, ',')
		}
		var err error
		if buf, err = appendString(buf, key.String()); err != nil {
			return buf, err
		}
		buf = append(buf, ':')
		if buf, err = appendValue(buf, field.MapValue(), entries.Get(key)); err != nil {
			return buf, err
		}
	}
	return append(buf, '}'), nil
}

func appendValue(buf []byte, field protoreflect.FieldDescriptor, value protoreflect.Value) ([]byte, error) {
	switch v := value.Interface().(type) {
	case bool:
		return strconv.AppendBool(buf, v), nil
	case int32:
		return strconv.AppendInt(buf, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(buf, v, 10), nil
	case uint32:
		return strconv.AppendUint(buf, uint64(v), 10), nil
	case uint64:
		return strconv.AppendUint(buf, v, 10), nil
	case float32:
		return appendFloat(buf, float64(v), 32), nil
	case float64:
		return appendFloat(buf, v, 64), nil
	case string:
		return appendString(buf, v)
	case []byte:
		buf = append(buf, '"')
		buf = base64.StdEncoding.AppendEncode(buf, v)
		return append(buf, '"'), nil
	case protoreflect.EnumNumber:
		return appendEnum(buf, field.Enum(), v)
	case protoreflect.Message:
		return appendMessage(buf, v)
	}
	return buf, fmt.Errorf("a field of kind %s cannot be rendered", field.Kind())
}

// appendEnum writes the value's name in lower case, without the prefix that all values of the enum share by the
// schemas' lint rules. A value that the schema does not know is its number.
func appendEnum(buf []byte, enum protoreflect.EnumDescriptor, number protoreflect.EnumNumber) ([]byte, error) {
	value := enum.Values().ByNumber(number)
	if value == nil {
		return strconv.AppendInt(buf, int64(number), 10), nil
	}
	name := string(value.Name())
	if zero := enum.Values().ByNumber(0); zero != nil {
		prefix := strings.TrimSuffix(string(zero.Name()), "UNSPECIFIED")
		name = strings.TrimPrefix(name, prefix)
	}
	return appendString(buf, strings.ToLower(name))
}

func appendFloat(buf []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(buf, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(buf, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(buf, `"-Infinity"`...)
	}
	return strconv.AppendFloat(buf, v, 'g', -1, bits)
}

func appendString(buf []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return buf, fmt.Errorf("the text %.40q is not valid UTF-8", s)
	}
	const hex = "0123456789abcdef"
	buf = append(buf, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		buf = append(buf, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			buf = append(buf, '\\', c)
		case '\n':
			buf = append(buf, '\\', 'n')
		case '\r':
			buf = append(buf, '\\', 'r')
		case '\t':
			buf = append(buf, '\\', 't')
		default:
			buf = append(buf, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
	}
	buf = append(buf, s[start:]...)
	return append(buf, '"'), nil
}
