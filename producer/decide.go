package producer

import (
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.opentelemetry.io/otel/attribute"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/schemas/record"
	"github.com/cqrsflow/cqrsflow/topology"
)

// The codes of outcomes that the processor itself gives; the domain has its own.
const (
	CodeInvalid           = "invalid_command"
	CodeMalformed         = "malformed_command"
	CodeUnknownCommand    = "unknown_command"
	CodeWrongPartition    = "wrong_partition"
	CodeCommandIDReused   = "command_id_reused"
	CodeVersionConflict   = "version_conflict"
	CodeEventTooLarge     = "event_too_large"
	CodeInternal          = "internal"
	CodeStreamUndecodable = "stream_undecodable"
	CodePermissionDenied  = "permission_denied"
	CodePrincipalInvalid  = "principal_invalid"
	// The session or the user was revoked since it was signed; or nobody can say whether.
	CodePrincipalRevoked   = "principal_revoked"
	CodePrincipalUnchecked = "principal_unchecked"
)

// step decides commands one after the other; what it needs besides the partition lives as long as the worker.
type step struct {
	enc   *encoder
	names record.Names
	emit  emit
	// panicked is told of a decider that panicked.
	panicked func(p *partition, c *event.Command, reason any, stack []byte)
	// who says who asks, and what they may do.
	who gate
	// signed reports whether somebody vouches for the command's variant; nil: nobody does.
	signed func(c *event.Command) bool
	// assigned is told of every command that names a variant, what became of that: see variant.
	assigned func(p *partition, result string)
	scratch  scratch
	traces   traces
}

// scratch is what deciding one command needs, used again for the next.
type scratch struct {
	command event.Command
	outcome event.Outcome
	digest  digest
	events  []event.Envelope
	refs    []event.Ref
	// denial is why the command was denied, where it was.
	denial Denial
	// single has the list of event types of commands that append one event.
	single map[string][]string
}

// types lists the events' types. The list is shared: it must not be changed.
func (s *scratch) types(events []event.Envelope) []string {
	if len(events) == 1 {
		t := events[0].Type
		if s.single == nil {
			s.single = map[string][]string{}
		}
		if _, ok := s.single[t]; !ok {
			s.single[t] = []string{t}
		}
		return s.single[t]
	}
	var out []string
	for i := range events {
		out = append(out, events[i].Type)
	}
	return out
}

// command decides one record of the partition's commands topic: its events and its outcome are handed
// to emit and put into the overlay. What the outcome refers to is only valid until the next command. An
// error is the store's fault, never the command's.
func (s *step) command(p *partition, r *kgo.Record, now time.Time) (event.Outcome, error) {
	c, o := &s.scratch.command, &s.scratch.outcome
	var content string
	var perr error
	*c, content, perr = record.ParseCommand(r, &s.names)
	span := s.traces.begin(c, p, r)
	*o = event.Outcome{Aggregate: p.typ.Name, Stream: c.Stream, CommandID: c.ID, Partition: r.Partition, CommandOffset: r.Offset,
		CorrelationID: c.CorrelationID, TraceParent: c.TraceParent, RecordedTime: recorded(now, time.Time{})}
	if err := s.decide(p, r, c, content, perr, now, o); err != nil {
		return *o, err
	}
	if p.over.lastAppend >= 0 {
		o.Position = event.Position{Aggregate: p.typ.Name, Partition: p.number, Offset: p.over.lastAppend}
	}
	if len(o.State) > p.limits.eventBytes {
		o.State = nil
	}
	o.Message = clipped(o.Message)
	for i := range o.Fields {
		o.Fields[i].Field, o.Fields[i].Message = clipped(o.Fields[i].Field), clipped(o.Fields[i].Message)
	}
	if s.traces.tracer != nil {
		span.Set(attribute.String("cqrsflow.outcome", string(o.Kind)), attribute.String("cqrsflow.code", o.Code))
	}
	rec := s.enc.Outcome(o, p.topics.Outcomes)
	s.emit(rec)
	p.over.outcome = rec
	if p.over.firstOutcome == nil {
		p.over.firstOutcome = rec
	}
	p.over.nextCommand = r.Offset + 1
	return *o, nil
}

func (s *step) decide(p *partition, r *kgo.Record, c *event.Command, content string, perr error, now time.Time, o *event.Outcome) error {
	invalid := func(code, message string, fields []event.FieldError) error {
		o.Kind, o.Code, o.Message, o.Fields = event.Invalid, code, strings.ToValidUTF8(message, "\uFFFD"), fields
		return nil
	}
	// 1. Decode and validate.
	if perr != nil {
		return invalid(CodeMalformed, perr.Error(), nil)
	}
	if want := topology.PartitionOfStream(c.Stream, p.count); want != p.number {
		return invalid(CodeWrongPartition, fmt.Sprintf("the key %s belongs on partition %d of %d (murmur2), not on %d", c.Stream, want, p.count, p.number), nil)
	}
	body, fields, err := s.read(p, c, content, r.Value)
	switch {
	case errors.Is(err, event.ErrUnknownType):
		return invalid(CodeUnknownCommand, fmt.Sprintf("%s takes no command %q", p.typ.Name, c.Type), nil)
	case err != nil:
		return invalid(CodeMalformed, err.Error(), nil)
	case len(fields) > 0:
		return invalid(CodeInvalid, "the command breaks the rules of its schema", fields)
	}

	// 2. Load and replay.
	l, err := p.load(c.Stream)
	if err != nil && unreadable(err) {
		o.Kind, o.Code, o.Message = event.Rejected, CodeStreamUndecodable, "the stream holds an event that cannot be read"
		return nil
	}
	if err != nil {
		return err
	}
	o.Version = l.Version
	o.RecordedTime = recorded(now, l.RecordedTime)
	s.scratch.digest = digestOf(c.Type, r.Value)
	o.Digest = s.scratch.digest[:]

	// 3. May they? A repeat is not answered to who may not ask any more.
	if !s.permitted(p, r, c, content, body, l, now) {
		d := &s.scratch.denial
		o.Principal, o.Kind, o.Code, o.Message = c.Principal, event.Denied, d.Code, d.message()
		return nil
	}
	o.Principal = c.Principal

	// 4. Known?
	key := knownKeyOf(c.Stream, c.Principal, c.ID)
	k, err := p.lookup(key)
	if err != nil {
		return err
	}
	if k != nil {
		if k.Digested && k.Digest != s.scratch.digest {
			return invalid(CodeCommandIDReused, fmt.Sprintf("the command ID %s was used for another command of %s", c.ID, c.Stream), nil)
		}
		o.Kind, o.Replayed, o.Events = event.Accepted, k.Offset != r.Offset, k.refs()
		return s.withState(p, c, l, o)
	}
	// 5. Expected version.
	if c.ExpectedVersion != event.AnyVersion && c.ExpectedVersion != l.Version {
		o.Kind, o.Code = event.Conflict, CodeVersionConflict
		o.Message = fmt.Sprintf("expected version %d of %s, it is %d", c.ExpectedVersion, c.Stream, l.Version)
		return s.withState(p, c, l, o)
	}
	// 6. Decide.
	c.RecordedTime, c.Version = o.RecordedTime, l.Version
	if c.Time.IsZero() {
		c.Time = o.RecordedTime
	}
	c.Time = c.Time.Truncate(time.Microsecond)
	v, used := s.variant(p, c)
	o.Variant = used
	next, events, err := s.run(p, c, v, used, body, l)
	if r, ok := errors.AsType[*event.Rejection](err); ok {
		o.Kind, o.Code, o.Message = event.Rejected, r.Code, strings.ToValidUTF8(r.Message, "\uFFFD")
		return s.withState(p, c, l, o)
	}
	if err != nil {
		return err
	}
	// 7. Append.
	o.Kind, o.Events = event.Accepted, s.scratch.refs[:0]
	for i := range events {
		env := &events[i]
		env.CommandOffset, env.Partition, env.LastOfCommand = r.Offset, p.number, i == len(events)-1
		rec := s.enc.Event(env, p.topics.Events)
		s.emit(rec)
		p.over.events = append(p.over.events, appended{env: *env, record: rec})
		o.Events = append(o.Events, event.Ref{Type: env.Type, Version: env.Version})
	}
	s.scratch.refs = o.Events
	if len(events) > 0 {
		p.over.streams[c.Stream] = next
		p.over.lastAppend = r.Offset
	}
	p.remember(key, known{Offset: r.Offset, Recorded: o.RecordedTime.UnixNano(), Version: next.Version,
		Digest: s.scratch.digest, Digested: true, Types: s.scratch.types(events)})
	return s.withState(p, c, next, o)
}

// read decodes and validates a body. A codec that panics over it has found it malformed.
func (s *step) read(p *partition, c *event.Command, content string, data []byte) (body any, fields []event.FieldError, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			if s.panicked != nil {
				s.panicked(p, c, reason, debug.Stack())
			}
			body, fields, err = nil, nil, fmt.Errorf("%w: the body could not be read", event.ErrMalformed)
		}
	}()
	if body, err = p.typ.Codec.DecodeCommand(c.Type, content, data); err != nil {
		return nil, nil, err
	}
	return body, p.typ.Codec.ValidateCommand(body), nil
}

// run calls the aggregate's own functions: the events with their envelopes, and the state after them.
// An aggregate that panics has rejected the command.
func (s *step) run(p *partition, c *event.Command, v decider.Deciding, used string, body any, l *loaded) (next *loaded, events []event.Envelope, err error) {
	defer func() {
		if reason := recover(); reason != nil {
			if s.panicked != nil {
				s.panicked(p, c, reason, debug.Stack())
			}
			next, events, err = nil, nil, event.Reject(CodeInternal, "the command could not be decided")
		}
	}()
	bodies, err := v.Decide(*c, body, l.State)
	if err != nil {
		if _, ok := errors.AsType[*event.Rejection](err); !ok {
			return nil, nil, event.Reject(CodeInternal, "the command could not be decided")
		}
		return nil, nil, err
	}
	n := *l
	next, events = &n, s.scratch.events[:0]
	for _, b := range bodies {
		env := event.Envelope{Aggregate: p.typ.Name, Stream: c.Stream, Version: next.Version + 1, Time: c.Time, RecordedTime: c.RecordedTime,
			CausationID: c.ID, CorrelationID: c.CorrelationID, TraceParent: c.TraceParent, Principal: c.Principal, Variant: used}
		env.Data, err = s.enc.Body(bodySize, func(buf []byte) (data []byte, err error) {
			env.Type, env.ContentType, data, err = p.typ.Codec.EncodeEvent(buf, b)
			return data, err
		})
		if err != nil {
			return nil, nil, event.Reject(CodeInternal, "an event could not be encoded")
		}
		if len(env.Data) > p.limits.eventBytes {
			return nil, nil, event.Reject(CodeEventTooLarge, "the event %s would have %d bytes; at most %d are allowed", env.Type, len(env.Data), p.limits.eventBytes)
		}
		next.State = p.typ.Evolve(next.State, b)
		next.Version = env.Version
		next.bytes += len(env.Data)
		events = append(events, env)
	}
	s.scratch.events = events
	next.RecordedTime = c.RecordedTime
	next.head.Version = next.Version
	next.head.RecordedTime = c.RecordedTime.UnixNano()
	next.head.EffectiveMax = max(next.head.EffectiveMax, c.Time.UnixNano())
	return next, events, nil
}

// bodySize is what most bodies need at most; a larger one gets memory of its own.
const bodySize = 256

func (s *step) withState(p *partition, c *event.Command, l *loaded, o *event.Outcome) error {
	o.Version = l.Version
	if !c.ReturnState || l.Version == 0 {
		return nil
	}
	if state, err := p.encodeState(l.State); err == nil {
		o.State = state
	}
	return nil
}

// clipped bounds a text of an outcome: one that the broker refuses would be decided for ever.
func clipped(s string) string {
	const limit = 2 << 10
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}

// recorded is the time to record: the clock's, in microseconds, as that is what every store keeps, but
// never before the stream's last.
func recorded(now, last time.Time) time.Time {
	now = now.UTC().Truncate(time.Microsecond)
	if now.Before(last) {
		return last
	}
	return now
}
