package schemas

import (
	"fmt"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
)

// Codec is the codec of an aggregate whose commands, events and state are protobuf messages (the engines' interface is
// decider.Codec). Events and states are written as protobuf; both content types are read. It is immutable.
type Codec struct {
	version          uint32
	commands, events *Registry
	state            proto.Message
}

// NewCodec makes a codec. The version is to be raised when the bytes of a state change their meaning, so that
// snapshots made before are discarded. The state is any message of the state's type.
func NewCodec(version uint32, commands, events *Registry, state proto.Message) *Codec {
	return &Codec{version: version, commands: commands, events: events, state: state}
}

// Version is the version of the state's encoding.
func (c *Codec) Version() uint32 { return c.version }

// DecodeCommand returns the proto.Message of a command. Errors wrap event.ErrUnknownType or event.ErrMalformed.
func (c *Codec) DecodeCommand(typ, contentType string, data []byte) (any, error) {
	m, err := c.commands.New(typ)
	if err != nil {
		return nil, err
	}
	if err := Unmarshal(contentType, data, m); err != nil {
		return nil, err
	}
	return m, nil
}

// ValidateCommand is Validate. What is no message breaks a rule as well.
func (c *Codec) ValidateCommand(body any) []event.FieldError {
	m, err := asMessage(body)
	if err != nil {
		return broken(err)
	}
	return Validate(m)
}

// EncodeEvent appends the event's bytes to buf. Events of a type that is not registered, which no reader could decode,
// fail with event.ErrUnknownType.
func (c *Codec) EncodeEvent(buf []byte, body any) (typ, contentType string, data []byte, err error) {
	m, err := asMessage(body)
	if err != nil {
		return "", "", nil, err
	}
	typ = string(m.ProtoReflect().Descriptor().FullName())
	if e, ok := c.events.entries[typ]; !ok || e.upcast != nil {
		return "", "", nil, fmt.Errorf("%w: %s is no current event", event.ErrUnknownType, typ)
	}
	data, err = AppendMarshal(buf, m)
	return typ, ContentTypeProtobuf, data, err
}

// DecodeEvent returns the proto.Message of an event in its current type. Errors wrap event.ErrUnknownType or
// event.ErrUndecodable.
func (c *Codec) DecodeEvent(e *event.Envelope) (any, error) {
	m, err := c.events.DecodeAt(e.Type, e.ContentType, e.Data, e.Time)
	if err != nil {
		return nil, err
	}
	return m, nil
}

// EncodeState appends the state's bytes to buf.
func (c *Codec) EncodeState(buf []byte, state any) ([]byte, error) {
	m, err := asMessage(state)
	if err != nil {
		return buf, err
	}
	return AppendMarshal(buf, m)
}

// DecodeState returns the proto.Message of a state. Errors wrap event.ErrUndecodable.
func (c *Codec) DecodeState(data []byte) (any, error) {
	m := c.state.ProtoReflect().New().Interface()
	if err := unmarshal(ContentTypeProtobuf, data, m); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", event.ErrUndecodable, m.ProtoReflect().Descriptor().FullName(), err)
	}
	return m, nil
}

// JSON renders a command, event or state as the function JSON does.
func (c *Codec) JSON(body any) ([]byte, error) {
	m, err := asMessage(body)
	if err != nil {
		return nil, err
	}
	return JSON(m)
}

func asMessage(body any) (proto.Message, error) {
	m, ok := body.(proto.Message)
	if !ok {
		return nil, fmt.Errorf("%w: the body is no protobuf message but a %T", event.ErrInvalid, body)
	}
	return m, nil
}
