package decider

import (
	"fmt"

	"github.com/cqrsflow/cqrsflow/event"
)

// DefaultVariant is the name of an aggregate's own Decide where its Spec gives none.
const DefaultVariant = "v1"

// Variant is another version of an aggregate's Decide under a name. Whichever variant decides, events are folded by the
// one Evolve onto the one Initial and written by the one codec: what one variant has done, every other understands.
type Variant[D, E, S any] struct {
	// Name is unlike the other variants': a lower case letter, then letters, digits and dashes.
	Name   string
	Decide func(Command[D], S) ([]E, error)
}

// Deciding is a registered variant with its Go types erased. It is immutable and safe for concurrent use.
type Deciding struct {
	Name   string
	decide func(event.Command, any, any) ([]any, error)
}

// Decide is as Type.Decide.
func (d Deciding) Decide(c event.Command, body, state any) ([]any, error) {
	return d.decide(c, body, state)
}

// Variant returns the variant with that name; the empty name is the default's.
func (t *Type) Variant(name string) (Deciding, bool) {
	if name == "" {
		return t.variants[0], true
	}
	for _, v := range t.variants {
		if v.Name == name {
			return v, true
		}
	}
	return Deciding{}, false
}

// Variants are the names of the variants, the default first. The slice is the caller's.
func (t *Type) Variants() []string {
	out := make([]string, len(t.variants))
	for i, v := range t.variants {
		out[i] = v.Name
	}
	return out
}

// erased checks the variants of a Spec and erases their types.
func erased[D, E, S any](s Spec[D, E, S]) ([]Deciding, error) {
	own := Variant[D, E, S]{Name: s.Variant, Decide: s.Decider.Decide}
	if own.Name == "" {
		own.Name = DefaultVariant
	}
	seen := map[string]bool{}
	var out []Deciding
	for _, v := range append([]Variant[D, E, S]{own}, s.Variants...) {
		switch {
		case !name.MatchString(v.Name):
			return nil, fmt.Errorf("the variant %q must have a name of lower case letters, digits and dashes", v.Name)
		case seen[v.Name]:
			return nil, fmt.Errorf("the variant %q is registered twice", v.Name)
		case v.Decide == nil:
			return nil, fmt.Errorf("the variant %q needs Decide", v.Name)
		}
		seen[v.Name] = true
		out = append(out, Deciding{Name: v.Name, decide: func(c event.Command, body, state any) ([]any, error) {
			events, err := v.Decide(Command[D]{Command: c, Body: body.(D)}, state.(S))
			if err != nil {
				return nil, err
			}
			out := make([]any, len(events))
			for i, e := range events {
				out[i] = e
			}
			return out, nil
		}})
	}
	return out, nil
}
