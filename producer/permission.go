package producer

import (
	"fmt"
	"runtime/debug"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
)

// Authorizer says who may do what. It is called from the workers, concurrently, for every command: it must not wait for
// anything. What it is asked is valid during the call. One that panics has denied.
type Authorizer interface {
	Authorize(*Asked) Answer
}

// Asked is what an Authorizer is asked.
type Asked struct {
	// Principal is who asks, verified; the zero value where nobody signed.
	Principal principal.Principal
	// Command is its type, such as "order.v1.PayOrder".
	Command   string
	Aggregate string
	Stream    event.StreamID
	// Exists says that the stream has events. Attributes are those of its state (decider.Spec): the very one that is decided on.
	Exists     bool
	Attributes map[string]any
	// Owner is the user that the command makes the owner; empty for none.
	Owner string
	// Backdated says that the command names its own time.
	Backdated bool
}

// Answer is what an Authorizer answers. The zero value denies.
type Answer struct {
	Allowed bool
	// Policy is the ID of the policy that decided, for the audit; nobody who is denied gets to see it.
	Policy string
}

// Denial is a command that was denied: what an audit wants to know, and nothing of its body.
type Denial struct {
	// Principal is "anonymous" where nobody signed, or where what was signed proves nothing.
	Principal string
	Aggregate string
	Stream    event.StreamID
	Command   string
	CommandID string
	// Code is CodePermissionDenied or CodePrincipalInvalid.
	Code string
	// Policy decided; empty for CodePrincipalInvalid, whose Reason says what is wrong with the signature.
	Policy, Reason string
	// Partition and Offset are where the command stands.
	Partition int32
	Offset    int64
}

// message is what the caller may know.
func (d *Denial) message() string {
	if d.Code == CodePrincipalInvalid {
		return d.Reason
	}
	return fmt.Sprintf("%s may not do %s on %s/%s", d.Principal, d.Command, d.Aggregate, d.Stream)
}

// gate is what is between a command and its decision. The zero value lets everything through, as nobody's.
type gate struct {
	keys      *principal.Keyring
	lenient   bool
	authorize Authorizer
}

// permitted finds out who asks, which it puts into the command, and whether they may. Where not, scratch has the denial.
func (s *step) permitted(p *partition, r *kgo.Record, c *event.Command, content string, body any, l *loaded, now time.Time) bool {
	var who principal.Principal
	var unproven error
	if s.who.keys != nil {
		m := principal.MessageOf(c, content, r.Value)
		who, unproven = s.who.keys.Verify([]byte(c.Auth), &m, taken(r, now))
	}
	c.Auth, c.Principal = "", ""
	if who.Kind != principal.Anonymous {
		c.Principal = who.String()
	}
	denied := func(code, policy, reason string) bool {
		s.scratch.denial = Denial{Principal: who.String(), Aggregate: p.typ.Name, Stream: c.Stream, Command: c.Type, CommandID: c.ID,
			Code: code, Policy: policy, Reason: reason, Partition: r.Partition, Offset: r.Offset}
		return false
	}
	if unproven != nil && !s.who.lenient {
		return denied(CodePrincipalInvalid, "", unproven.Error())
	}
	if s.who.authorize == nil {
		return true
	}
	if a := s.ask(p, c, who, body, l); !a.Allowed {
		return denied(CodePermissionDenied, a.Policy, "")
	}
	return true
}

// ask asks the Authorizer. If it panics, or the aggregate does, the answer is no.
func (s *step) ask(p *partition, c *event.Command, who principal.Principal, body any, l *loaded) (a Answer) {
	defer func() {
		if reason := recover(); reason != nil {
			if s.panicked != nil {
				s.panicked(p, c, reason, debug.Stack())
			}
			a = Answer{}
		}
	}()
	return s.who.authorize.Authorize(&Asked{Principal: who, Command: c.Type, Aggregate: p.typ.Name, Stream: c.Stream, Exists: l.Version > 0,
		Attributes: p.typ.Attributes(l.State), Owner: p.typ.Owner(body), Backdated: !c.Time.IsZero()})
}

// taken is when the broker took a record. What a producer says about that proves nothing: where the topic has its time
// from there, it is now.
func taken(r *kgo.Record, now time.Time) time.Time {
	const logAppendTime = 1
	if r.Attrs.TimestampType() == logAppendTime {
		return r.Timestamp
	}
	return now
}

// audit tells of denials that are committed.
func (w *worker) audit(denials []Denial) {
	for i := range denials {
		d := &denials[i]
		attrs := []any{"principal", d.Principal, "command", d.Command, "aggregate", d.Aggregate, "stream", string(d.Stream), "commandId", d.CommandID,
			"code", d.Code, "policy", d.Policy, "partition", d.Partition, "offset", d.Offset}
		if d.Reason != "" {
			attrs = append(attrs, "reason", d.Reason)
		}
		w.log.Info("denied", attrs...)
		if h := w.p.cfg.Hooks.Denied; h != nil {
			h(*d)
		}
	}
}
