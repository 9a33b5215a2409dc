package event

import "strings"

// MaxAssignment is the longest text form of an Assignment, in bytes.
const MaxAssignment = 320

// Assignment says which variant of which experiment something belongs to, and for whom. Its text form,
// "checkout/1=v2@ada", is the header cqrs-variant of commands, events and outcomes.
type Assignment struct {
	// Experiment is the experiment's ID with the number of its plan, such as "checkout/1".
	Experiment string
	Variant    string
	// Unit is who, or what, was assigned; empty where that is not said.
	Unit string
}

// String returns the text form.
func (a Assignment) String() string {
	s := a.Experiment + "=" + a.Variant
	if a.Unit != "" {
		s += "@" + a.Unit
	}
	return s
}

// ParseAssignment reads the text form; ok is false where it is none.
func ParseAssignment(s string) (a Assignment, ok bool) {
	if len(s) > MaxAssignment {
		return Assignment{}, false
	}
	a.Experiment, a.Variant, ok = strings.Cut(s, "=")
	a.Variant, a.Unit, _ = strings.Cut(a.Variant, "@")
	return a, ok && a.Experiment != "" && a.Variant != ""
}
