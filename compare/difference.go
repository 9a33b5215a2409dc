package compare

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// The kinds of differences.
const (
	// KindRejects: the control accepted, the candidate rejects; KindAccepts the other way round.
	KindRejects = "accepted_rejected"
	KindAccepts = "rejected_accepted"
	// KindEvents: both accept, with other events. KindCode: both reject, with other codes.
	KindEvents = "events"
	KindCode   = "code"
	// KindPanic: a version panicked. KindStuck: a version did not come to an end within the budget.
	KindPanic = "panic"
	KindStuck = "stuck"
)

// Difference is what differs alike: by kind, type of command, and what each version says.
type Difference struct {
	Kind    string `json:"kind"`
	Command string `json:"command"`
	// Control and Candidate are event types, joined by " + ", "nothing" for none, or a rejection's code.
	Control   string `json:"control"`
	Candidate string `json:"candidate"`
	// Count of commands, and their share of all that were compared.
	Count int64   `json:"count"`
	Share float64 `json:"share"`
	// Examples are the first ones.
	Examples []Example `json:"examples"`
}

// Example is one command that is decided differently.
type Example struct {
	Stream    event.StreamID `json:"stream"`
	Version   event.Version  `json:"version"` // before the command
	CommandID string         `json:"commandId"`
	Partition int32          `json:"partition"`
	Offset    int64          `json:"offset"`
	Time      string         `json:"time"` // when it was decided
	// Command is its body.
	Command   json.RawMessage `json:"command,omitempty"`
	Control   Said            `json:"control"`
	Candidate Said            `json:"candidate"`
}

// Said is a decision, for people.
type Said struct {
	// Outcome is "accepted", "rejected", "panicked" or "stuck".
	Outcome string `json:"outcome"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message,omitempty"`
	Events  []Told `json:"events,omitempty"`
}

// Told is an event of a decision.
type Told struct {
	Type string          `json:"type"`
	Data json.RawMessage `json:"data,omitempty"`
}

// stuck stands for the verdict that never came.
var stuck = verdict{rejected: true, code: KindStuck}

// kindOf says how two verdicts that are not the same differ.
func kindOf(a, b *verdict) string {
	switch {
	case a == &stuck || b == &stuck:
		return KindStuck
	case a.panicked != "" || b.panicked != "":
		return KindPanic
	case a.rejected && b.rejected:
		return KindCode
	case a.rejected:
		return KindAccepts
	case b.rejected:
		return KindRejects
	}
	return KindEvents
}

// inShort is a verdict as its difference's group has it.
func inShort(v *verdict) string {
	switch {
	case v == &stuck:
		return "stuck"
	case v.panicked != "":
		return "panic"
	case v.rejected:
		return v.code
	case len(v.events) == 0:
		return "nothing"
	}
	types := make([]string, len(v.events))
	for i := range v.events {
		types[i] = v.events[i].typ
	}
	return strings.Join(types, " + ")
}

func said(codec decider.Codec, v *verdict) Said {
	out := Said{Outcome: "rejected", Code: v.code, Message: v.message}
	switch {
	case v == &stuck:
		return Said{Outcome: "stuck"}
	case v.panicked != "":
		out.Outcome, out.Message = "panicked", v.panicked
	case !v.rejected:
		out.Outcome = "accepted"
	}
	for i := range v.events {
		told := Told{Type: v.events[i].typ}
		if i < len(v.bodies) {
			told.Data = asJSON(codec, v.bodies[i])
		}
		out.Events = append(out.Events, told)
	}
	return out
}

// asJSON is a body for people; nothing where it cannot be shown.
func asJSON(codec decider.Codec, body any) (data json.RawMessage) {
	defer func() {
		if recover() != nil {
			data = nil
		}
	}()
	b, err := codec.JSON(body)
	if err != nil || !json.Valid(b) {
		return nil
	}
	return b
}

// group is what differences are counted by.
type group struct{ kind, command, control, candidate string }

// maxGroups bounds them: a version may reject with codes that it makes up. The rest is counted under "others".
const maxGroups = 200

// differences counts and remembers examples.
type differences map[group]*Difference

func (d differences) add(g group, examples int, example func() Example) {
	known, ok := d[g]
	if !ok {
		if len(d) >= maxGroups {
			g = group{g.kind, "others", "others", "others"}
		}
		if known, ok = d[g]; !ok {
			known = &Difference{Kind: g.kind, Command: g.command, Control: g.control, Candidate: g.candidate}
			d[g] = known
		}
	}
	known.Count++
	if len(known.Examples) < examples {
		known.Examples = append(known.Examples, example())
	}
}

func (d differences) merge(other differences, examples int) {
	for g, o := range other {
		known, ok := d[g]
		if !ok {
			d[g] = o
			continue
		}
		known.Count += o.Count
		known.Examples = append(known.Examples, o.Examples...)
		known.Examples = known.Examples[:min(len(known.Examples), examples)]
	}
}

// sorted lists them, the most frequent first.
func (d differences) sorted(commands int64) []Difference {
	out := []Difference{}
	for g := range maps.Keys(d) {
		known := *d[g]
		known.Share = share(known.Count, commands)
		out = append(out, known)
	}
	slices.SortFunc(out, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Command, b.Command),
			cmp.Compare(a.Control, b.Control), cmp.Compare(a.Candidate, b.Candidate))
	})
	return out
}

func share(n, of int64) float64 {
	if of == 0 {
		return 0
	}
	return float64(n) / float64(of)
}
