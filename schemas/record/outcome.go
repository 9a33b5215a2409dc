package record

import (
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	cqrsflowv1 "github.com/cqrsflow/cqrsflow/schemas/cqrsflow/v1"
)

// Outcome makes the record of an outcome for the given topic.
func (e *Encoder) Outcome(o *event.Outcome, topic string) (*kgo.Record, error) {
	e.reserve(10, 4*maxNumber+maxTime)
	from := len(e.headers)
	e.add(hSpecVersion, specVersion)
	e.add(hSource, e.sourceOf("/outcomes", o.Aggregate))
	at := len(e.bytes)
	e.bytes = strconv.AppendInt(e.bytes, int64(o.Partition), 10)
	e.bytes = append(e.bytes, '-')
	e.bytes = strconv.AppendInt(e.bytes, o.CommandOffset, 10)
	e.made(hID, at)
	e.add(hType, outcomeType)
	e.add(hContentType, protobuf)
	e.time(hRecordedTime, o.RecordedTime)
	e.number(hStreamVersion, int64(o.Version))
	e.number(hCommandOffset, o.CommandOffset)
	e.text(hCausationID, o.CommandID)
	e.text(hCorrelationID, o.CorrelationID)
	e.text(hTraceParent, o.TraceParent)
	headers := e.headers[from:len(e.headers):len(e.headers)]

	m := cqrsflowv1.Outcome{Kind: cqrsflowv1.Outcome_Kind(o.Kind), Code: o.Code, Message: o.Message, Version: int64(o.Version),
		Position: o.Position.String(), Replayed: o.Replayed, State: o.State, Digest: o.Digest}
	for _, f := range o.Fields {
		m.Errors = append(m.Errors, &cqrsflowv1.FieldError{Field: f.Field, Message: f.Message})
	}
	for _, r := range o.Events {
		m.Events = append(m.Events, &cqrsflowv1.EventRef{Type: r.Type, Sequence: int64(r.Version)})
	}
	value, err := proto.MarshalOptions{}.MarshalAppend(make([]byte, 0, 96+len(o.State)), &m)
	if err != nil {
		return nil, fmt.Errorf("encode the outcome of command %s: %w", o.CommandID, err)
	}
	return &kgo.Record{Topic: topic, Partition: o.Partition, Key: streamKey(o.Stream), Value: value, Headers: headers}, nil
}

// ParseOutcome reads a record from an outcomes topic. A record that the processor did not write is
// event.ErrForeign; one whose body cannot be read is event.ErrUndecodable.
func ParseOutcome(r *kgo.Record, aggregate string, names *Names) (event.Outcome, error) {
	o := event.Outcome{Aggregate: aggregate, Stream: event.StreamID(r.Key), Partition: r.Partition, CommandOffset: -1, Offset: r.Offset}
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
			o.RecordedTime, ok = parseTime(h.Value)
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
		}
		if !ok {
			return foreign(fmt.Sprintf("header %s is %q", h.Key, clip(h.Value)))
		}
	}
	if !ours || o.CommandOffset < 0 || o.CommandID == "" {
		return foreign("a header is missing")
	}
	var m cqrsflowv1.Outcome
	if err := proto.Unmarshal(r.Value, &m); err != nil {
		return o, fmt.Errorf("%w: outcome %s/%d@%d: %w", event.ErrUndecodable, r.Topic, r.Partition, r.Offset, err)
	}
	o.Kind, o.Code, o.Message = event.Kind(m.Kind), m.Code, m.Message
	o.Version, o.Replayed, o.State, o.Digest = event.Version(m.Version), m.Replayed, m.State, m.Digest
	for _, f := range m.Errors {
		o.Fields = append(o.Fields, event.FieldError{Field: f.Field, Message: f.Message})
	}
	for _, ref := range m.Events {
		o.Events = append(o.Events, event.Ref{Type: names.intern([]byte(ref.Type)), Version: event.Version(ref.Sequence)})
	}
	if m.Position != "" {
		p, err := event.ParsePosition(m.Position)
		if err != nil {
			return o, fmt.Errorf("%w: outcome %s/%d@%d: %w", event.ErrUndecodable, r.Topic, r.Partition, r.Offset, err)
		}
		o.Position = p
	}
	return o, nil
}
