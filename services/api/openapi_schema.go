package api

import (
	_ "embed"
	"encoding/json"
	"reflect"
	"strings"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const schemaPrefix = "#/components/schemas/"

//go:embed comments.json
var commentsJSON []byte

// comments are what the .proto files say of messages and fields, by full name. Generated code has them
// in Go's comments only.
func comments() (map[string]string, error) {
	out := map[string]string{}
	return out, json.Unmarshal(commentsJSON, &out)
}

// dto is the schema of a type of dto.go, as a reference.
func (d *document) dto(t reflect.Type) *huma.Schema { return d.registry.Schema(t, true, "") }

func dtoOf[T any](d *document) *huma.Schema { return d.dto(reflect.TypeFor[T]()) }

// wire is how a message looks as JSON: as callers send it, or as they get it (see schemas.JSON).
type wire int

const (
	sent wire = iota
	received
)

// message is the schema of a protobuf message, as a reference.
func (d *document) message(m protoreflect.MessageDescriptor, w wire) *huma.Schema {
	if s := wellKnown(m); s != nil {
		return s
	}
	name := string(m.FullName())
	if w == received {
		name += ".out"
	}
	if _, ok := d.registry.Map()[name]; !ok {
		s := &huma.Schema{Type: huma.TypeObject, Description: d.comments[string(m.FullName())], Properties: map[string]*huma.Schema{}}
		d.registry.Map()[name] = s // before its fields, as messages can contain themselves
		fields := m.Fields()
		for i := range fields.Len() {
			f := fields.Get(i)
			s.Properties[f.JSONName()] = d.field(f, w)
			if w == sent && required(f) {
				s.Required = append(s.Required, f.JSONName())
			}
		}
	}
	return &huma.Schema{Ref: schemaPrefix + name}
}

func wellKnown(m protoreflect.MessageDescriptor) *huma.Schema {
	switch m.FullName() {
	case "google.protobuf.Timestamp":
		return &huma.Schema{Type: huma.TypeString, Format: "date-time"}
	case "google.protobuf.Duration":
		return &huma.Schema{Type: huma.TypeString, Examples: []any{"1.5s"}}
	}
	if m.ParentFile().Package() == "google.protobuf" {
		return &huma.Schema{}
	}
	return nil
}

func (d *document) field(f protoreflect.FieldDescriptor, w wire) *huma.Schema {
	var s *huma.Schema
	switch {
	case f.IsMap():
		s = &huma.Schema{Type: huma.TypeObject, AdditionalProperties: d.single(f.MapValue(), w)}
	case f.IsList():
		s = &huma.Schema{Type: huma.TypeArray, Items: d.single(f, w)}
	default:
		s = d.single(f, w)
	}
	s.Description = d.comments[string(f.FullName())]
	if w == sent {
		constrain(s, rulesOf(f))
	}
	return s
}

func (d *document) single(f protoreflect.FieldDescriptor, w wire) *huma.Schema {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return &huma.Schema{Type: huma.TypeBoolean}
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return &huma.Schema{Type: huma.TypeInteger, Format: "int32"}
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return &huma.Schema{Type: huma.TypeInteger, Format: "int64"}
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return &huma.Schema{Type: huma.TypeNumber}
	case protoreflect.BytesKind:
		return &huma.Schema{Type: huma.TypeString, ContentEncoding: "base64"}
	case protoreflect.EnumKind:
		return enum(f.Enum(), w)
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return d.message(f.Message(), w)
	}
	return &huma.Schema{Type: huma.TypeString}
}

func enum(e protoreflect.EnumDescriptor, w wire) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	prefix := strings.TrimSuffix(string(e.Values().ByNumber(0).Name()), "UNSPECIFIED")
	for i := range e.Values().Len() {
		v := e.Values().Get(i)
		name := string(v.Name())
		if w == received {
			name = strings.ToLower(strings.TrimPrefix(name, prefix))
		}
		if v.Number() != 0 {
			s.Enum = append(s.Enum, name)
		}
	}
	return s
}

func rulesOf(f protoreflect.FieldDescriptor) *validate.FieldRules {
	rules, _ := proto.GetExtension(f.Options(), validate.E_Field).(*validate.FieldRules)
	return rules
}

// required fields are those whose zero value breaks their own rules.
func required(f protoreflect.FieldDescriptor) bool {
	r := rulesOf(f)
	return r.GetRequired() || r.GetString().GetMinLen() > 0 || r.GetRepeated().GetMinItems() > 0 || r.GetInt32().GetGte() > 0 || r.GetInt64().GetGte() > 0
}

// constrain says in JSON Schema what can be said in it of the rules; the comments say the rest.
func constrain(s *huma.Schema, r *validate.FieldRules) {
	if r == nil {
		return
	}
	length := func(to **int, n uint64, has bool) {
		if has {
			v := int(n)
			*to = &v
		}
	}
	if rs := r.GetString(); rs != nil {
		length(&s.MinLength, rs.GetMinLen(), rs.MinLen != nil)
		length(&s.MaxLength, rs.GetMaxLen(), rs.MaxLen != nil)
		s.Pattern = rs.GetPattern()
	}
	if rr := r.GetRepeated(); rr != nil {
		length(&s.MinItems, rr.GetMinItems(), rr.MinItems != nil)
		length(&s.MaxItems, rr.GetMaxItems(), rr.MaxItems != nil)
	}
	bound := func(to **float64, n float64) { *to = &n }
	if ri := r.GetInt32(); ri != nil {
		if g, ok := ri.GetGreaterThan().(*validate.Int32Rules_Gte); ok {
			bound(&s.Minimum, float64(g.Gte))
		}
		if l, ok := ri.GetLessThan().(*validate.Int32Rules_Lte); ok {
			bound(&s.Maximum, float64(l.Lte))
		}
	}
	if ri := r.GetInt64(); ri != nil {
		if g, ok := ri.GetGreaterThan().(*validate.Int64Rules_Gte); ok {
			bound(&s.Minimum, float64(g.Gte))
		}
		if l, ok := ri.GetLessThan().(*validate.Int64Rules_Lte); ok {
			bound(&s.Maximum, float64(l.Lte))
		}
	}
}
