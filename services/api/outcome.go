package api

import (
	"fmt"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/producer"
)

// answer is what became of a command, as it is shown: exactly one field is set.
type answer struct {
	accepted *Accepted
	problem  *Problem
}

// answerOf turns an outcome into the answer to its command. state is JSON or null.
func answerOf(o event.Outcome, state []byte) answer {
	if o.Kind == event.Accepted {
		a := &Accepted{CommandID: o.CommandID, Outcome: o.Kind.String(), Version: int64(o.Version), Position: o.Position.String(),
			Events: make([]EventRef, 0, len(o.Events)), State: state}
		for _, e := range o.Events {
			a.Events = append(a.Events, EventRef{Type: e.Type, Sequence: int64(e.Version)})
			if o.Replayed { // the answer is the first one's, but the outcome's version, like its state, is today's
				a.Version = int64(e.Version)
			}
		}
		return answer{accepted: a}
	}
	p := problemOfOutcome(o)
	p.CommandID, p.Outcome, p.Errors = o.CommandID, o.Kind.String(), o.Fields
	if o.Kind == event.Rejected || o.Kind == event.Conflict {
		v := int64(o.Version)
		p.Version, p.State = &v, state
	}
	return answer{problem: p}
}

func problemOfOutcome(o event.Outcome) *Problem {
	code := map[event.Kind]string{event.Rejected: codeRejected, event.Conflict: codeConflict, event.Denied: codeDenied, event.Invalid: codeInvalid}[o.Kind]
	if code == "" {
		return problem(codeInternal, "The outcome is of a kind that this version of the server does not know.")
	}
	if o.Kind == event.Invalid {
		switch o.Code {
		case codeReused, codeUnknownCommand, codeMalformedCommand, codeWrongPartition, codeEventTooLarge:
			code = o.Code
		}
	}
	if o.Kind == event.Denied && o.Code == producer.CodePrincipalUnchecked { // nothing was found out, and nothing done
		return problem(codeUnavailable, o.Message).with("Retry-After", "1")
	}
	p := problem(code, o.Message)
	if o.Code != "" {
		p.Code = o.Code
	}
	return p
}

// stateOf renders the state that came with an outcome.
func stateOf(t *decider.Type, o event.Outcome) ([]byte, error) {
	if o.Version == 0 || o.State == nil {
		return null, nil
	}
	state, err := t.Codec.DecodeState(o.State)
	if err != nil {
		return nil, fmt.Errorf("state in the outcome of %s/%s: %w", t.Name, o.Stream, err)
	}
	return stateJSON(t, o.Stream, o.Version, state)
}
