package producer

import (
	"bytes"
	"context"
	"errors"
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

// Revocations knows what has become of principals since they signed. It is called from the workers, concurrently.
type Revocations interface {
	// Settle waits until all is known that anybody can have heard of by now. It is called before a batch in which a user asks is
	// decided, so that whoever was revoked before a command was published is denied. It must come back within seconds, whatever
	// the brokers do.
	Settle(ctx context.Context)
	// Now returns the principal as it is now: without the roles that it has lost. at is when the command was taken. Its error is
	// principal.ErrRevoked, or another where nobody can say: then everybody is denied. It does not wait.
	Now(p principal.Principal, at time.Time) (principal.Principal, error)
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
	// Code is CodePermissionDenied, CodePrincipalInvalid, CodePrincipalRevoked or CodePrincipalUnchecked.
	Code string
	// Policy decided; empty for the other codes, whose Reason says what is wrong with who asks.
	Policy, Reason string
	// Partition and Offset are where the command stands.
	Partition int32
	Offset    int64
}

// message is what the caller may know.
func (d *Denial) message() string {
	switch d.Code {
	case CodePrincipalInvalid, CodePrincipalRevoked:
		return d.Reason
	case CodePrincipalUnchecked:
		return "whether who asks still may cannot be found out at present; nothing was done"
	}
	return fmt.Sprintf("%s may not do %s on %s/%s", d.Principal, d.Command, d.Aggregate, d.Stream)
}

// gate is what is between a command and its decision. The zero value lets everything through, as nobody's.
type gate struct {
	keys      *principal.Keyring
	lenient   bool
	authorize Authorizer
	revoked   Revocations
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
	if s.who.revoked != nil {
		still, err := s.who.revoked.Now(who, taken(r, now))
		switch {
		case errors.Is(err, principal.ErrRevoked):
			return denied(CodePrincipalRevoked, "", err.Error())
		case err != nil:
			return denied(CodePrincipalUnchecked, "", err.Error())
		}
		who = still
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

// settle waits until what became of the users who ask in a batch is known. Services are nobody's sessions.
func (g *gate) settle(ctx context.Context, fetches kgo.Fetches) {
	if g.revoked == nil || g.keys == nil {
		return
	}
	for it := fetches.RecordIter(); !it.Done(); {
		for _, h := range it.Next().Headers {
			if h.Key == "cqrs-auth" && bytes.Contains(h.Value, []byte(";"+principal.User+"=")) {
				g.revoked.Settle(ctx)
				return
			}
		}
	}
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
