package principal

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// Message is what a decision depends on besides the principal: what the signature binds together. Its fields are those of
// the record as it is published; whoever verifies takes them from the record.
type Message struct {
	CommandID string
	// Type is the wire name of the body, such as "order.v1.PlaceOrder". It names the aggregate type, too.
	Type   string
	Stream event.StreamID
	// ContentType is how the body is to be read.
	ContentType string
	// Time is when it happened, to the nanosecond, in whatever zone; zero where the record does not say.
	Time time.Time
	// ExpectedVersion is event.AnyVersion where none is expected.
	ExpectedVersion event.Version
	// Variant is the variant of an experiment; empty for none.
	Variant string
	// Body is the record's value. Only its SHA-256 is signed.
	Body []byte
}

// MessageOf is what is signed of a command, as it is published or as it was read. Without a content type it is JSON.
func MessageOf(c *event.Command, contentType string, body []byte) Message {
	if contentType == "" {
		contentType = "application/json"
	}
	return Message{CommandID: c.ID, Type: c.Type, Stream: c.Stream, ContentType: contentType, Time: c.Time,
		ExpectedVersion: c.ExpectedVersion, Variant: c.Variant, Body: body}
}

// signedFor begins what is signed, so that no other use of the same key signs the same bytes.
const signedFor = "cqrsflow principal v1\n"

// appendSigned appends what the HMAC is over. Every text is preceded by its length, every number has a fixed width and every
// list its count, so two different sets of values never give the same bytes. docs/format/principal.md has the layout.
func appendSigned(b []byte, m *Message, p *Principal, keyID string, expires int64) []byte {
	body := sha256.Sum256(m.Body)
	b = append(b, signedFor...)
	b = appendText(b, keyID)
	b = binary.BigEndian.AppendUint64(b, uint64(expires))
	b = appendPrincipal(b, p)
	b = appendText(b, m.CommandID)
	b = appendText(b, m.Type)
	b = appendText(b, string(m.Stream))
	b = appendText(b, m.ContentType)
	b = appendTime(b, m.Time)
	b = binary.BigEndian.AppendUint64(b, uint64(m.ExpectedVersion))
	b = appendText(b, m.Variant)
	return append(b, body[:]...)
}

func appendPrincipal(b []byte, p *Principal) []byte {
	b = appendText(b, string(p.Kind))
	b = appendText(b, p.ID)
	b = appendText(b, p.Session)
	b = binary.BigEndian.AppendUint32(b, uint32(len(p.Roles)))
	for _, r := range p.Roles {
		b = appendText(b, r)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// appendTime writes 0, or 1, the seconds since 1970 and the nanoseconds: nanoseconds alone do not reach from year 1 to 9999.
func appendTime(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, 0)
	}
	b = append(b, 1)
	b = binary.BigEndian.AppendUint64(b, uint64(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}
