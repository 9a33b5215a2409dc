package producer

import (
	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
)

// What became of the variant that a command names.
const (
	variantUsed     = "used"
	variantUnsigned = "unsigned" // nobody vouches for it
	variantUnknown  = "unknown"  // it is no assignment, or its variant is not registered
)

// variant is the version of Decide for a command: the one that its header names where the command is signed, or nothing is because
// there are no keys; else the default. used is the assignment to carry on to events and outcome; empty for the default. A
// command never fails because of an experiment.
func (s *step) variant(p *partition, c *event.Command) (v decider.Deciding, used string) {
	def, _ := p.typ.Variant("")
	if c.Variant == "" {
		return def, ""
	}
	v, result := def, variantUnsigned
	if s.signed != nil && s.signed(c) {
		result = variantUnknown
		if a, ok := event.ParseAssignment(c.Variant); ok {
			if named, ok := p.typ.Variant(a.Variant); ok {
				v, used, result = named, c.Variant, variantUsed
			}
		}
	}
	if s.assigned != nil {
		s.assigned(p, result)
	}
	return v, used
}
