package event

import "strings"

// Assignment says which variant of which experiment something belongs to. Its text form, "checkout=v2", is the header
// cqrs-variant of commands, events and outcomes.
type Assignment struct {
	Experiment string
	Variant    string
}

// String returns the text form.
func (a Assignment) String() string { return a.Experiment + "=" + a.Variant }

// ParseAssignment reads the text form; ok is false where it is none.
func ParseAssignment(s string) (a Assignment, ok bool) {
	a.Experiment, a.Variant, ok = strings.Cut(s, "=")
	return a, ok && a.Experiment != "" && a.Variant != ""
}
