package record

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cqrsflow/cqrsflow/event"
)

// Outcome makes the record of an outcome for the given topic.
func (e *Encoder) Outcome(o *event.Outcome, topic string) *kgo.Record {
	e.reserve(12, 4*maxNumber+maxTime)
	from := len(e.headers.cur)
	e.add(hSpecVersion, specVersion)
	e.add(hSource, e.sourceOf("/outcomes", o.Aggregate))
	at := len(e.bytes.cur)
	e.bytes.cur = strconv.AppendInt(e.bytes.cur, int64(o.Partition), 10)
	e.bytes.cur = append(e.bytes.cur, '-')
	e.bytes.cur = strconv.AppendInt(e.bytes.cur, o.CommandOffset, 10)
	e.made(hID, at)
	e.add(hType, outcomeType)
	e.add(hContentType, protobuf)
	e.time(hRecordedTime, o.RecordedTime)
	e.number(hStreamVersion, int64(o.Version))
	e.number(hCommandOffset, o.CommandOffset)
	e.text(hCausationID, o.CommandID)
	e.text(hCorrelationID, o.CorrelationID)
	e.text(hTraceParent, o.TraceParent)
	e.text(hAuth, o.Principal)
	e.text(hVariant, o.Variant)
	size := 64 + len(o.Code) + len(o.Message) + len(o.State) + len(o.Digest)
	for _, f := range o.Fields {
		size += len(f.Field) + len(f.Message) + 12
	}
	for _, ref := range o.Events {
		size += len(ref.Type) + 16
	}
	value, _ := e.Body(size, func(b []byte) ([]byte, error) { return appendOutcome(b, o), nil })
	return e.record(topic, o.Partition, o.Stream, value, from)
}

// appendOutcome appends the protobuf encoding of cqrsflow.v1.Outcome. There is one for every command, so
// it is written by hand; a test holds it against the generated code.
func appendOutcome(b []byte, o *event.Outcome) []byte {
	str := func(b []byte, field protowire.Number, s string) []byte {
		if s == "" {
			return b
		}
		return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), strings.ToValidUTF8(s, "\uFFFD"))
	}
	num := func(b []byte, field protowire.Number, n int64) []byte {
		if n == 0 {
			return b
		}
		return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(n))
	}
	raw := func(b []byte, field protowire.Number, v []byte) []byte {
		if len(v) == 0 {
			return b
		}
		return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
	}
	b = num(b, 1, int64(o.Kind))
	b = str(b, 2, o.Code)
	b = str(b, 3, o.Message)
	var part [64]byte
	for _, f := range o.Fields {
		b = raw(b, 4, str(str(part[:0], 1, f.Field), 2, f.Message))
	}
	b = num(b, 5, int64(o.Version))
	for _, ref := range o.Events {
		b = raw(b, 6, num(str(part[:0], 1, ref.Type), 2, int64(ref.Version)))
	}
	b = raw(b, 7, o.Position.Append(part[:0]))
	if o.Replayed {
		b = num(b, 8, 1)
	}
	b = raw(b, 9, o.State)
	return raw(b, 10, o.Digest)
}

// ParseOutcome reads a record from an outcomes topic. A record that the processor did not write is
// event.ErrForeign; one whose body cannot be read is event.ErrUndecodable.
func ParseOutcome(r *kgo.Record, aggregate string, names *Names) (event.Outcome, error) {
	o := event.Outcome{Aggregate: aggregate, Stream: streamOf(r.Key), Partition: r.Partition, CommandOffset: -1, Offset: r.Offset}
	foreign := func(why string) (event.Outcome, error) {
		return o, fmt.Errorf("%w: %s/%d@%d: %s", event.ErrForeign, r.Topic, r.Partition, r.Offset, why)
	}
	if !r.Attrs.IsTransactional() {
		return foreign("it is not transactional")
	}
	ours := false
	for i := range r.Headers {
		h := &r.Headers[i]
		ok := true
		switch h.Key {
		case hType:
			ours = view(h.Value) == OutcomeType
		case hRecordedTime:
			o.RecordedTime, ok = names.time(h.Value)
		case hCommandOffset:
			o.CommandOffset, ok = isDigits(h.Value)
		case hCausationID:
			o.CommandID = string(h.Value)
		case hCorrelationID:
			o.CorrelationID = string(h.Value)
		case hTraceParent:
			o.TraceParent = string(h.Value)
		case hAuth:
			o.Principal = string(h.Value)
		case hVariant:
			o.Variant = string(h.Value) // it names a unit: it hardly repeats
		}
		if !ok {
			return foreign(fmt.Sprintf("header %s is %q", h.Key, clip(h.Value)))
		}
	}
	if !ours || o.CommandOffset < 0 || o.CommandID == "" {
		return foreign("a header is missing")
	}
	if err := parseOutcome(r.Value, names, &o); err != nil {
		return o, fmt.Errorf("%w: outcome %s/%d@%d: %w", event.ErrUndecodable, r.Topic, r.Partition, r.Offset, err)
	}
	return o, nil
}

// parseOutcome is appendOutcome's other half; a test holds it against the generated code, too.
func parseOutcome(b []byte, names *Names, o *event.Outcome) error {
	return fields(b, func(field protowire.Number, n uint64, v []byte) (err error) {
		switch field {
		case 1:
			o.Kind = event.Kind(n)
		case 2:
			o.Code = string(v)
		case 3:
			o.Message = string(v)
		case 4:
			var f event.FieldError
			err = fields(v, func(field protowire.Number, _ uint64, v []byte) error {
				switch field {
				case 1:
					f.Field = string(v)
				case 2:
					f.Message = string(v)
				}
				return nil
			})
			o.Fields = append(o.Fields, f)
		case 5:
			o.Version = event.Version(n)
		case 6:
			var ref event.Ref
			err = fields(v, func(field protowire.Number, n uint64, v []byte) error {
				switch field {
				case 1:
					ref.Type = names.intern(v)
				case 2:
					ref.Version = event.Version(n)
				}
				return nil
			})
			o.Events = append(o.Events, ref)
		case 7:
			o.Position, err = event.ParsePosition(string(v))
		case 8:
			o.Replayed = n != 0
		case 9:
			o.State = append([]byte(nil), v...)
		case 10:
			o.Digest = append([]byte(nil), v...)
		}
		return err
	})
}

// fields calls f with each field of a protobuf message: n for numbers, v for bytes.
func fields(b []byte, f func(field protowire.Number, n uint64, v []byte) error) error {
	for len(b) > 0 {
		field, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		var n uint64
		var v []byte
		switch typ {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			v, size = protowire.ConsumeBytes(b)
		default: // of a later version
			if size = protowire.ConsumeFieldValue(field, typ, b); size >= 0 {
				field = 0
			}
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := f(field, n, v); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}
