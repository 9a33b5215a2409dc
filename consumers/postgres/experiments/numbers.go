package experiments

import (
	"math"
	"regexp"
	"strconv"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// numbers calls f with every number in a message, by its path in JSON ("total.amount"), as a decimal. Lists, maps and what is
// no number are left out. A decimal in a text counts in a field that is called amount: that is how money is written.
func numbers(m protoreflect.Message, path string, f func(field, number string)) {
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		name := path + d.JSONName()
		switch {
		case d.IsList() || d.IsMap():
		case d.Message() != nil:
			if d.Message().ParentFile().Package() != "google.protobuf" {
				numbers(v.Message(), name+".", f)
			}
		default:
			if n := number(d, v); n != "" {
				f(name, n)
			}
		}
		return true
	})
}

// number is a field as a decimal; empty where it is none.
func number(d protoreflect.FieldDescriptor, v protoreflect.Value) string {
	switch d.Kind() {
	case protoreflect.BoolKind:
		if v.Bool() {
			return "1"
		}
		return "0"
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind, protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return strconv.FormatInt(v.Int(), 10)
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind, protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return strconv.FormatUint(v.Uint(), 10)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		return decimal(v.Float())
	case protoreflect.StringKind:
		if s := v.String(); d.Name() == "amount" && amount.MatchString(s) {
			return s
		}
	}
	return ""
}

var amount = regexp.MustCompile(`^-?[0-9]{1,18}(\.[0-9]{1,9})?$`)

// decimal is a number as PostgreSQL's numeric holds it; what is none counts as zero, rather than make every sum one that is none.
func decimal(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0"
	}
	return strconv.FormatFloat(v, 'g', -1, 64)
}
