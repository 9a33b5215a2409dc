package record

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
)

// Event makes the record of an event for the given topic. env.Data must not change afterwards.
func (e *Encoder) Event(env *event.Envelope, topic string) *kgo.Record {
	e.reserve(16, len(env.Stream)+3*maxNumber+2*maxTime)
	from := len(e.headers.cur)
	e.add(hSpecVersion, specVersion)
	e.add(hSource, e.sourceOf("", env.Aggregate))
	at := len(e.bytes.cur)
	e.bytes.cur = event.AppendEventID(e.bytes.cur, env.Stream, env.Version)
	e.made(hID, at)
	e.text(hType, env.Type)
	e.add(hContentType, contentType(env.ContentType))
	e.time(hTime, env.Time)
	e.time(hRecordedTime, env.RecordedTime)
	e.number(hStreamVersion, int64(env.Version))
	e.number(hCommandOffset, env.CommandOffset)
	if env.LastOfCommand {
		e.add(hLastOfCommand, one)
	}
	e.text(hCausationID, env.CausationID)
	e.text(hCorrelationID, env.CorrelationID)
	e.text(hTraceParent, env.TraceParent)
	e.text(hAuth, env.Principal)
	e.text(hVariant, env.Variant)
	data := env.Data
	if data == nil {
		data = []byte{}
	}
	return e.record(topic, env.Partition, env.Stream, data, from)
}

// ParseEvent reads a record from an events topic into env, reusing it; Data aliases the record. A
// record that the processor did not write, because it is not transactional or lacks headers, is
// event.ErrForeign: readers skip and count it. The body is not looked at.
func ParseEvent(r *kgo.Record, aggregate string, names *Names, env *event.Envelope) error {
	foreign := func(why string) error {
		return fmt.Errorf("%w: %s/%d@%d: %s", event.ErrForeign, r.Topic, r.Partition, r.Offset, why)
	}
	if !r.Attrs.IsTransactional() {
		return foreign("it is not transactional")
	}
	*env = event.Envelope{Aggregate: aggregate, Partition: r.Partition, Offset: r.Offset, CommandOffset: -1, Data: r.Value, ContentType: Protobuf}
	var id []byte
	for i := range r.Headers {
		h := &r.Headers[i]
		var ok = true
		switch h.Key {
		case hID:
			id = h.Value
		case hType:
			env.Type = names.intern(h.Value)
		case hContentType:
			env.ContentType = names.intern(h.Value)
		case hTime:
			env.Time, ok = names.time(h.Value)
		case hRecordedTime:
			env.RecordedTime, ok = names.time(h.Value)
		case hStreamVersion:
			var v int64
			v, ok = isDigits(h.Value)
			env.Version = event.Version(v)
		case hCommandOffset:
			env.CommandOffset, ok = isDigits(h.Value)
		case hLastOfCommand:
			env.LastOfCommand = view(h.Value) == "1"
		case hCausationID:
			env.CausationID = string(h.Value)
		case hCorrelationID:
			env.CorrelationID = string(h.Value)
		case hTraceParent:
			env.TraceParent = string(h.Value)
		case hAuth:
			env.Principal = string(h.Value)
		case hVariant:
			env.Variant = string(h.Value) // it names a unit: it hardly repeats
		}
		if !ok {
			return foreign(fmt.Sprintf("header %s is %q", h.Key, clip(h.Value)))
		}
	}
	switch {
	case event.CheckStreamID(r.Key) != nil:
		return foreign("its key is no stream ID")
	case env.Type == "" || env.Version < 1 || env.CommandOffset < 0 || env.RecordedTime.IsZero():
		return foreign("a header is missing")
	case r.Value == nil:
		return foreign("its value is null")
	}
	env.Stream = event.StreamID(r.Key)
	var buf [event.MaxStreamID + maxNumber + 1]byte
	if want := event.AppendEventID(buf[:0], env.Stream, env.Version); string(want) != view(id) {
		return foreign(fmt.Sprintf("header ce_id is %q", clip(id)))
	}
	if env.Time.IsZero() {
		env.Time = env.RecordedTime
	}
	return nil
}
