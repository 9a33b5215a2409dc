package schemas

import (
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/cqrsflow/cqrsflow/event"
)

// Upcaster turns a message of an old type into the next one. It gets the time at which the event happened, zero where
// that is not known, and may change m. It must be pure: the same event is upcast on every read. An error makes the
// event undecodable.
type Upcaster func(m proto.Message, at time.Time) (proto.Message, error)

// Entry is one message type of a Registry. Make it with Current or Old.
type Entry struct {
	message protoreflect.MessageType
	upcast  Upcaster
}

// Current registers the type of m as it is.
func Current(m proto.Message) Entry {
	return Entry{message: m.ProtoReflect().Type()}
}

// Old registers the type of m as superseded: what is decoded goes through upcast. Its result may be of an old type
// of the same registry again, and is upcast in turn.
func Old(m proto.Message, upcast Upcaster) Entry {
	return Entry{message: m.ProtoReflect().Type(), upcast: upcast}
}

// Registry maps wire type names, the full names of protobuf messages such as "order.v1.OrderPlaced", to messages.
// It is immutable.
type Registry struct {
	entries map[string]Entry
}

// NewRegistry makes a registry. A type that is registered twice is a mistake in the program: it panics.
func NewRegistry(entries ...Entry) *Registry {
	r := &Registry{entries: make(map[string]Entry, len(entries))}
	for _, e := range entries {
		name := string(e.message.Descriptor().FullName())
		if _, ok := r.entries[name]; ok {
			panic("schemas: " + name + " is registered twice")
		}
		r.entries[name] = e
	}
	return r
}

// Types returns the wire names of all types, old ones included, sorted.
func (r *Registry) Types() []string {
	names := make([]string, 0, len(r.entries))
	for name := range r.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// New returns an empty message of that type, not upcast. Its error wraps event.ErrUnknownType.
func (r *Registry) New(typ string) (proto.Message, error) {
	e, ok := r.entries[typ]
	if !ok {
		return nil, fmt.Errorf("%w: %.200q", event.ErrUnknownType, typ)
	}
	return e.message.New().Interface(), nil
}

// Decode is DecodeAt where the time is not known.
func (r *Registry) Decode(typ, contentType string, data []byte) (proto.Message, error) {
	return r.DecodeAt(typ, contentType, data, time.Time{})
}

// DecodeAt reads a message that happened at that time, as Unmarshal does, and upcasts it to its current type. A type
// that is not registered is event.ErrUnknownType; anything else is event.ErrUndecodable.
func (r *Registry) DecodeAt(typ, contentType string, data []byte, at time.Time) (proto.Message, error) {
	m, err := r.New(typ)
	if err != nil {
		return nil, err
	}
	if err := unmarshal(contentType, data, m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", event.ErrUndecodable, typ, err)
	}
	// Each step leaves a type behind, so more steps than types are a circle.
	for range len(r.entries) {
		e := r.entries[string(m.ProtoReflect().Descriptor().FullName())]
		if e.upcast == nil {
			return m, nil
		}
		if m, err = e.upcast(m, at); err != nil {
			return nil, fmt.Errorf("%w: upcast %s: %w", event.ErrUndecodable, typ, err)
		}
	}
	return nil, fmt.Errorf("%w: upcast %s: the upcasters go in a circle", event.ErrUndecodable, typ)
}
