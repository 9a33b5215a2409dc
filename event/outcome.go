package event

import "time"

// Kind says what became of a command.
type Kind uint8

// The kinds of outcomes. The zero Kind is none of them.
const (
	Accepted Kind = 1 + iota
	Rejected
	Conflict
	Denied
	Invalid
)

var kinds = [...]string{"unknown", "accepted", "rejected", "conflict", "denied", "invalid"}

// String returns the lower-case name that HTTP answers and metrics use.
func (k Kind) String() string {
	if int(k) >= len(kinds) {
		k = 0
	}
	return kinds[k]
}

// Ref names an event of a stream by type and version.
type Ref struct {
	Type    string
	Version Version
}

// Outcome is what became of a command.
type Outcome struct {
	Aggregate string
	Stream    StreamID
	CommandID string
	Kind      Kind
	// Code is stable and machine-readable, Message is for people; both are empty where accepted.
	Code    string
	Message string
	Fields  []FieldError
	// Version is the stream's version after the command.
	Version Version
	// Events are those that the command appended; empty for "nothing to do".
	Events []Ref
	// Position is the partition's last command, up to this one, that appended events: what a query has to wait for.
	Position Position
	// Replayed marks a repeat of a command that had been accepted before.
	Replayed bool
	// State is the aggregate's encoded state after the command, only where the command asked for it.
	State []byte
	// Digest identifies the command's type and body, to tell a repeat from another use of the same ID.
	Digest []byte

	CorrelationID string
	TraceParent   string
	Principal     string
	RecordedTime  time.Time
	// Variant is the variant of an experiment that decided, as Assignment writes it; empty for none: the default.
	Variant string
	// CommandOffset is the command's offset in partition Partition of the commands topic.
	Partition     int32
	CommandOffset int64
	// Offset is the outcome's own offset in its topic.
	Offset int64
}
