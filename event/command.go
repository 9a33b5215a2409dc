package event

import "time"

// MaxCommandID is the longest command ID in characters.
const MaxCommandID = 64

// Command is what is known of a command besides its body: an intent that may be rejected. The same
// struct travels through HTTP, the publisher and the processor, and reaches Decide as data.
type Command struct {
	// ID is the idempotency key: 1 to 64 printable ASCII characters. A repeat with the same stream,
	// principal and ID is answered as the first one was.
	ID string
	// Type is the wire name of the body, such as "order.v1.PlaceOrder".
	Type   string
	Stream StreamID
	// Time is when it happened. Zero in a published command means "when it is decided"; in Decide it is set.
	Time time.Time
	// RecordedTime is when it is decided; it never goes back within a stream. Zero before that.
	RecordedTime time.Time
	// ExpectedVersion is the version that the stream must have; AnyVersion expects nothing.
	ExpectedVersion Version
	// CausationID is the ID of what caused it, CorrelationID of the whole conversation. Both optional.
	CausationID   string
	CorrelationID string
	// TraceParent is the W3C trace context. Optional.
	TraceParent string
	// Principal is who asks; empty for nobody in particular. The processor takes it from Auth.
	Principal string
	// Auth proves who asks: the header cqrs-auth, as package principal signs it; empty for an unsigned command, and in Decide.
	Auth string
	// Variant is the variant of an experiment that was assigned to the command, as Assignment writes it; empty for none.
	// Until its signature was checked it is no more than a claim.
	Variant string
	// ReturnState asks for the aggregate's state in the outcome.
	ReturnState bool
	// Version is the stream's version before this command; set when it is decided.
	Version Version
}

// CheckCommandID reports why id is no command ID; nil where it is one.
func CheckCommandID(id string) error {
	if len(id) == 0 || len(id) > MaxCommandID {
		return wrapf(ErrInvalid, "the command ID has %d characters; it needs 1 to %d", len(id), MaxCommandID)
	}
	for i := 0; i < len(id); i++ {
		if id[i] < 0x20 || id[i] > 0x7e {
			return wrapf(ErrInvalid, "the command ID has a character at byte %d that is not printable ASCII", i)
		}
	}
	return nil
}
