package decider

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// Codec turns an aggregate's commands, events and states into bytes and back. It is safe for
// concurrent use. Bodies are what the aggregate's own functions take.
type Codec interface {
	// Version changes whenever the bytes of a state change their meaning; snapshots of another one are discarded.
	Version() uint32
	// DecodeCommand fails with event.ErrUnknownType or event.ErrMalformed.
	DecodeCommand(typ, contentType string, data []byte) (any, error)
	// ValidateCommand applies the schema's rules; none broken is nil.
	ValidateCommand(body any) []event.FieldError
	// EncodeEvent appends the body's bytes to buf and names its type and content type.
	EncodeEvent(buf []byte, body any) (typ, contentType string, data []byte, err error)
	// DecodeEvent returns the body in its current type: old ones are upcast. It fails with
	// event.ErrUnknownType or event.ErrUndecodable.
	DecodeEvent(e *event.Envelope) (any, error)
	// EncodeState appends the state's bytes to buf.
	EncodeState(buf []byte, state any) ([]byte, error)
	// DecodeState fails with event.ErrUndecodable.
	DecodeState(data []byte) (any, error)
	// JSON renders a body or a state for people and callers.
	JSON(body any) ([]byte, error)
}

// CommandType is a command that an aggregate takes.
type CommandType struct {
	// Type is the wire name, such as "order.v1.PlaceOrder".
	Type string
	// Name is the last part of the HTTP path and the CLI's word for it, such as "place" or "add-line".
	Name string
	// Public commands have an HTTP endpoint; the others come from reactors and services only.
	Public bool
	// Summary is one sentence for the API's documentation.
	Summary string
	// Example is a body in JSON, for the API's documentation; where it is empty, one is made of the schema.
	Example string
}

// Spec registers an aggregate: everything that the engines need to know of it.
//
// NewType checks that variants have names of their own and a Decide. That they share Initial, Evolve, codec and event
// types needs no check: a variant has nothing but its Decide, and the codec encodes no event that is not registered.
type Spec[D, E, S any] struct {
	// Name is the aggregate type, in the singular, such as "order": it names topics. Plural names HTTP paths.
	Name   string
	Plural string
	// Fingerprint numbers the meaning of Evolve. Raise it when Evolve changes, and snapshots made
	// before are discarded. A test with golden folds fails when it was forgotten.
	Fingerprint uint32
	Decider     Decider[Command[D], E, S]
	// Variant names Decider's own Decide; "v1". It decides every command that names no other one.
	Variant string
	// Variants are other versions of Decide, to be compared with it; none.
	Variants []Variant[D, E, S]
	Codec    Codec
	Commands []CommandType
	// Events are the wire names of all events that may stand in a stream, old versions included.
	Events []string
	// Attributes are what permission checks may know of a state, besides whether it exists; none. It is pure. Values are
	// strings, booleans and int64; names, and the type of each, are the same for every state, the initial one included.
	// The attribute "owner" is the ID of the user that the stream belongs to; empty for nobody's.
	Attributes func(S) map[string]any
	// Owner is the ID of the user that a command makes the owner, empty where it makes nobody that; nil where none does.
	// So a stream that does not exist yet can be checked. It is pure.
	Owner func(D) string
}

// Type is a registered aggregate with its Go types erased, as the engines use it. Make it with
// NewType. It is immutable and safe for concurrent use.
type Type struct {
	Name        string
	Plural      string
	Fingerprint uint32
	Codec       Codec
	Commands    []CommandType
	Events      []string

	initial  func() any
	evolve   func(any, any) any
	variants []Deciding // the default first
	// attributes and owner are nil where the Spec has none.
	attributes func(any) map[string]any
	owner      func(any) string
}

var name = regexp.MustCompile(`^[a-z][a-z0-9-]{0,40}$`)

// NewType checks a Spec and erases its types. Errors wrap event.ErrConfig.
func NewType[D, E, S any](s Spec[D, E, S]) (*Type, error) {
	bad := func(format string, args ...any) (*Type, error) {
		return nil, fmt.Errorf("%w: aggregate %q: "+format, append([]any{event.ErrConfig, s.Name}, args...)...)
	}
	switch {
	case !name.MatchString(s.Name):
		return bad("the name must be lower case letters, digits and dashes")
	case !name.MatchString(s.Plural):
		return bad("the plural %q must be lower case letters, digits and dashes", s.Plural)
	case s.Decider.Initial == nil || s.Decider.Decide == nil || s.Decider.Evolve == nil:
		return bad("the decider needs Initial, Decide and Evolve")
	case s.Codec == nil:
		return bad("it needs a codec")
	case len(s.Commands) == 0:
		return bad("it takes no command")
	}
	seen := map[string]bool{}
	for _, c := range s.Commands {
		if c.Type == "" || !name.MatchString(c.Name) || seen[c.Type] || seen["/"+c.Name] {
			return bad("command %q (%q) is unnamed or registered twice", c.Type, c.Name)
		}
		seen[c.Type], seen["/"+c.Name] = true, true
	}
	variants, err := erased(s)
	if err != nil {
		return bad("%w", err)
	}
	d := s.Decider
	t := &Type{
		Name: s.Name, Plural: s.Plural, Fingerprint: s.Fingerprint, Codec: s.Codec, Commands: s.Commands, Events: s.Events,
		initial:  func() any { return d.Initial() },
		evolve:   func(state, e any) any { return d.Evolve(state.(S), e.(E)) },
		variants: variants,
	}
	if s.Attributes != nil {
		t.attributes = func(state any) map[string]any { return s.Attributes(state.(S)) }
	}
	if s.Owner != nil {
		t.owner = func(body any) string { return s.Owner(body.(D)) }
	}
	return t, nil
}

// Initial returns the state before any event.
func (t *Type) Initial() any { return t.initial() }

// Evolve returns the state after an event. Both must be of this aggregate; anything else panics.
func (t *Type) Evolve(state, e any) any { return t.evolve(state, e) }

// Decide returns the events that the command causes, as the default variant decides. A rejection is an
// *event.Rejection; any other error, and a panic, is the aggregate's fault.
func (t *Type) Decide(c event.Command, body, state any) ([]any, error) {
	return t.variants[0].decide(c, body, state)
}

// Attributes are what permission checks may know of a state; nil for none.
func (t *Type) Attributes(state any) map[string]any {
	if t.attributes == nil {
		return nil
	}
	return t.attributes(state)
}

// Owner is the ID of the user that a command's body makes the owner; empty for nobody.
func (t *Type) Owner(body any) string {
	if t.owner == nil {
		return ""
	}
	return t.owner(body)
}

// Command returns the registered command with that HTTP name.
func (t *Type) Command(name string) (CommandType, bool) {
	for _, c := range t.Commands {
		if c.Name == name {
			return c, true
		}
	}
	return CommandType{}, false
}

// Apply decodes an envelope and returns the state after it. Version contiguity is the caller's to check.
func (t *Type) Apply(state any, e *event.Envelope) (any, error) {
	body, err := t.Codec.DecodeEvent(e)
	if err != nil {
		return nil, fmt.Errorf("event %s of %s: %w", e.ID(), t.Name, err)
	}
	return t.evolve(state, body), nil
}

// Snapshot is a state of a stream at a version.
type Snapshot struct {
	State        any
	Version      event.Version
	RecordedTime time.Time
}

// Extend applies the next event of a stream, checking that it is the next.
func (t *Type) Extend(s Snapshot, e *event.Envelope) (Snapshot, error) {
	if e.Version != s.Version+1 {
		return s, fmt.Errorf("%w: stream %s/%s has version %d after %d", event.ErrCorrupt, t.Name, e.Stream, e.Version, s.Version)
	}
	state, err := t.Apply(s.State, e)
	if err != nil {
		return s, err
	}
	return Snapshot{State: state, Version: e.Version, RecordedTime: e.RecordedTime}, nil
}

// Begin is the snapshot of a stream without events.
func (t *Type) Begin() Snapshot { return Snapshot{State: t.initial()} }

// AsRejection returns err as a rejection, if it is one.
func AsRejection(err error) (*event.Rejection, bool) {
	var r *event.Rejection
	ok := errors.As(err, &r)
	return r, ok
}
