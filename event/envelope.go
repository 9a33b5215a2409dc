package event

import (
	"strconv"
	"time"
)

// Envelope is an event as it stands in the log: a fact, never changed, with everything that is known
// about it and its body still encoded.
type Envelope struct {
	// Aggregate is the aggregate type, such as "order".
	Aggregate string
	Stream    StreamID
	// Version is the event's version in the stream, from 1, without gaps.
	Version Version
	// Type is the wire name of the body, such as "order.v1.OrderPlaced".
	Type string
	// Time is when it happened, RecordedTime when it was appended.
	Time         time.Time
	RecordedTime time.Time
	// CausationID is the ID of the command that caused it.
	CausationID   string
	CorrelationID string
	TraceParent   string
	Principal     string
	// Variant is the variant of an experiment that decided, as Assignment writes it; empty for none: the default.
	Variant string
	// CommandOffset is the offset of its command, in the same partition number of the commands topic.
	CommandOffset int64
	// LastOfCommand marks the last event of its command.
	LastOfCommand bool
	// Partition and Offset say where in the events topic it stands.
	Partition int32
	Offset    int64
	// ContentType is how Data is encoded: application/protobuf or application/json.
	ContentType string
	// Data is the encoded body. It may alias a fetch buffer: copy it to keep it.
	Data []byte
}

// ID is the event's identity, "<stream>/<version>".
func (e *Envelope) ID() string { return EventID(e.Stream, e.Version) }

// Position is the consistency token of the command that appended the event.
func (e *Envelope) Position() Position {
	return Position{Aggregate: e.Aggregate, Partition: e.Partition, Offset: e.CommandOffset}
}

// EventID is the identity of the event at version v of stream s.
func EventID(s StreamID, v Version) string {
	return string(AppendEventID(make([]byte, 0, len(s)+8), s, v))
}

// AppendEventID appends what EventID returns.
func AppendEventID(b []byte, s StreamID, v Version) []byte {
	b = append(b, s...)
	b = append(b, '/')
	return strconv.AppendInt(b, int64(v), 10)
}

// Recorded is an event from the log with its body decoded and upcast to its current type.
type Recorded struct {
	Envelope
	Body any
}
