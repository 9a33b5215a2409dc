package schemas

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate"
	"buf.build/go/protovalidate"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/cqrsflow/cqrsflow/event"
)

const (
	// maxFieldErrors bounds what a command can make of its outcome.
	maxFieldErrors = 100
	// maxChecks bounds the work on a command that is known to be invalid, in fields looked at.
	maxChecks = 10_000
)

// validator is shared: compiled rules are kept in it, for the program's life.
var validator = sync.OnceValues(func() (protovalidate.Validator, error) { return protovalidate.New() })

// Warm compiles the rules of the registries' messages, which otherwise happens when the first one is validated and
// takes milliseconds. Its error wraps event.ErrConfig: a rule cannot be compiled.
func Warm(registries ...*Registry) error {
	v, err := validator()
	if err != nil {
		return fmt.Errorf("%w: prepare the validation of commands: %w", event.ErrConfig, err)
	}
	for _, r := range registries {
		for _, name := range r.Types() {
			var failed *protovalidate.CompilationError
			if errors.As(v.Validate(r.entries[name].message.Zero().Interface()), &failed) {
				return fmt.Errorf("%w: rules of %s: %w", event.ErrConfig, name, failed)
			}
		}
	}
	return nil
}

// Validate applies the rules in the schema of m and returns what is wrong, in the order of the schema, at most 100;
// nil where nothing is. An error's Field is a JSON path such as "lines[0].total.amount"; it is empty where the rule is
// about the message as a whole.
func Validate(m proto.Message) []event.FieldError {
	v, err := validator()
	if err != nil {
		return broken(err)
	}
	// Most commands are valid, and of a hostile one only so much is worth looking at: one quick pass to the first
	// error, and only then another, bounded one that collects them.
	err = v.Validate(m, protovalidate.WithFailFast())
	if err == nil {
		return nil
	}
	checks := 0
	bounded := protovalidate.FilterFunc(func(protoreflect.Message, protoreflect.Descriptor) bool {
		checks++
		return checks <= maxChecks
	})
	if all := v.Validate(m, protovalidate.WithFilter(bounded)); all != nil {
		err = all
	}
	var invalid *protovalidate.ValidationError
	if !errors.As(err, &invalid) {
		return broken(err)
	}
	found := make([]event.FieldError, 0, min(len(invalid.Violations), maxFieldErrors))
	for _, violation := range invalid.Violations {
		if len(found) == maxFieldErrors {
			break
		}
		found = append(found, event.FieldError{
			Field:   path(m.ProtoReflect().Descriptor(), violation.Proto.GetField()),
			Message: message(violation),
		})
	}
	return found
}

// broken refuses a message because its rules could not be applied: letting it pass would be worse.
func broken(err error) []event.FieldError {
	return []event.FieldError{{Message: "the rules cannot be applied: " + err.Error()}}
}

// path renders a field path in the names that JSON has.
func path(d protoreflect.MessageDescriptor, p *validate.FieldPath) string {
	var b strings.Builder
	for i, element := range p.GetElements() {
		if i > 0 {
			b.WriteByte('.')
		}
		name := element.GetFieldName()
		if d != nil {
			field := d.Fields().ByNumber(protoreflect.FieldNumber(element.GetFieldNumber()))
			d = nil
			if field != nil {
				name = field.JSONName()
				if field.IsMap() {
					field = field.MapValue()
				}
				d = field.Message()
			}
		}
		b.WriteString(name)
		switch element.WhichSubscript() {
		case validate.FieldPathElement_Index_case:
			b.WriteString("[" + strconv.FormatUint(element.GetIndex(), 10) + "]")
		case validate.FieldPathElement_StringKey_case:
			b.WriteString("[" + strconv.Quote(element.GetStringKey()) + "]")
		case validate.FieldPathElement_IntKey_case:
			b.WriteString("[" + strconv.FormatInt(element.GetIntKey(), 10) + "]")
		case validate.FieldPathElement_UintKey_case:
			b.WriteString("[" + strconv.FormatUint(element.GetUintKey(), 10) + "]")
		case validate.FieldPathElement_BoolKey_case:
			b.WriteString("[" + strconv.FormatBool(element.GetBoolKey()) + "]")
		}
	}
	return b.String()
}

var plainer = strings.NewReplacer(
	"greater than or equal to", "at least",
	"less than or equal to", "at most",
	"must contain at least", "must have at least",
	"must contain no more than", "must have at most",
	"item(s)", "items",
)

// message is what the rule says, in plainer words for the standard rules.
func message(v *protovalidate.Violation) string {
	switch id := v.Proto.GetRuleId(); {
	case id == "required":
		return "is required"
	case (id == "string.min_len" || id == "repeated.min_items") && v.RuleValue.Uint() == 1:
		return "must not be empty"
	}
	if v.RuleDescriptor == nil {
		return v.Proto.GetMessage()
	}
	return plainer.Replace(v.Proto.GetMessage())
}
