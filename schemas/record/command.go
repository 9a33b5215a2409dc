package record

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

// Command makes the record of a command for the given topic and partition. data must not change afterwards.
func (e *Encoder) Command(c *event.Command, topic string, partition int32, content string, data []byte) *kgo.Record {
	e.reserve(14, maxNumber+maxTime)
	from := len(e.headers.cur)
	e.add(hSpecVersion, specVersion)
	e.text(hID, c.ID)
	e.text(hType, c.Type)
	e.add(hSource, e.sourceOf("", "commands"))
	e.add(hContentType, contentType(content))
	if !c.Time.IsZero() {
		e.time(hTime, c.Time)
	}
	if c.ExpectedVersion != event.AnyVersion {
		e.number(hExpectedVersion, int64(c.ExpectedVersion))
	}
	e.text(hCausationID, c.CausationID)
	e.text(hCorrelationID, c.CorrelationID)
	e.text(hTraceParent, c.TraceParent)
	e.text(hAuth, c.Auth)
	e.text(hVariant, c.Variant)
	if c.ReturnState {
		e.add(hReturn, returnState)
	}
	if data == nil {
		data = []byte{} // null is no command: on a compacted topic it would be a deletion
	}
	return e.record(topic, partition, c.Stream, data, from)
}

// ParseCommand reads a record from a commands topic: what is known of it and its content type. Where
// it fails (event.ErrMalformed), the command holds what could be read, its ID at least, so that an
// outcome can be written. Headers that it does not know are left alone: other programs may add theirs.
func ParseCommand(r *kgo.Record, names *Names) (c event.Command, content string, err error) {
	c.ExpectedVersion = event.AnyVersion
	bad := func(header string, v []byte, want string) {
		if err == nil {
			err = fmt.Errorf("%w: header %s is %q; it must be %s", event.ErrMalformed, header, clip(v), want)
		}
	}
	content = JSON
	for i := range r.Headers {
		h := &r.Headers[i]
		switch h.Key {
		case hID:
			if event.CheckCommandID(view(h.Value)) != nil {
				bad(hID, h.Value, "1 to 64 printable ASCII characters")
				continue
			}
			c.ID = string(h.Value)
		case hType:
			if len(h.Value) > maxText {
				bad(hType, h.Value, "a type's name, such as order.v1.PlaceOrder")
				continue
			}
			c.Type = names.intern(h.Value)
		case hContentType:
			if len(h.Value) > maxText {
				bad(hContentType, h.Value, Protobuf+" or "+JSON)
				continue
			}
			content = names.intern(h.Value)
		case hTime:
			t, perr := time.Parse(time.RFC3339Nano, view(h.Value))
			if perr != nil || t.Year() < 1 || t.Year() > 9999 {
				bad(hTime, h.Value, "an RFC 3339 time such as 1997-01-01T00:00:00Z")
				continue
			}
			c.Time = t.UTC()
		case hExpectedVersion:
			v, ok := isDigits(h.Value)
			if !ok {
				bad(hExpectedVersion, h.Value, "a version, 0 or more")
				continue
			}
			c.ExpectedVersion = event.Version(v)
		case hCausationID, hCorrelationID, hTraceParent:
			if len(h.Value) > maxText {
				bad(h.Key, h.Value, "at most 256 bytes")
				continue
			}
			switch h.Key {
			case hCausationID:
				c.CausationID = string(h.Value)
			case hCorrelationID:
				c.CorrelationID = string(h.Value)
			case hTraceParent:
				c.TraceParent = string(h.Value)
			}
		case hAuth:
			c.Auth = string(h.Value) // who verifies it bounds its length, too
		case hVariant:
			// An experiment never makes a command fail: what this is not, is a variant that nobody knows.
			// One that is too long is cut where it still is: what is too long is no assignment.
			c.Variant = string(h.Value[:min(len(h.Value), event.MaxAssignment+1)])
		case hReturn:
			c.ReturnState = view(h.Value) == "state"
		case hSpecVersion:
			if view(h.Value) != "1.0" {
				bad(hSpecVersion, h.Value, "1.0")
			}
		}
	}
	if c.ID == "" {
		c.ID = DefaultCommandID(r.Partition, r.Offset)
	}
	if err == nil {
		switch kerr := event.CheckStreamID(r.Key); {
		case kerr != nil:
			err = kerr
		case c.Type == "":
			err = fmt.Errorf("%w: the header ce_type is missing; it names the command, such as order.v1.PlaceOrder", event.ErrMalformed)
		case r.Value == nil:
			err = fmt.Errorf("%w: the value is null; a command with nothing set has zero bytes", event.ErrMalformed)
		}
	}
	c.Stream = streamOf(r.Key)
	return c, content, err
}

// streamOf is the stream of a key. A key that is none is cut to what a stream ID may have at most, and made
// printable: an outcome must fit into the broker's and the stores' bounds whatever the command's key was.
func streamOf(key []byte) event.StreamID {
	if event.CheckStreamID(key) == nil {
		return event.StreamID(key)
	}
	if len(key) > event.MaxStreamID {
		key = key[:event.MaxStreamID]
	}
	return event.StreamID(strings.ToValidUTF8(strings.ReplaceAll(string(key), "\x00", ""), ""))
}

// DefaultCommandID is the ID of a command that came without one: "<partition>-<offset>".
func DefaultCommandID(partition int32, offset int64) string {
	b := make([]byte, 0, 24)
	b = strconv.AppendInt(b, int64(partition), 10)
	b = append(b, '-')
	return string(strconv.AppendInt(b, offset, 10))
}

// maxText bounds what is carried on from a command to its events and its outcome, in bytes.
const maxText = 256

func clip(b []byte) string {
	if len(b) > 64 {
		return string(b[:64]) + "…"
	}
	return string(b)
}
