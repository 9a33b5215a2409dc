package assign

import (
	"fmt"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
)

// Parts is what weights and coverage are parts of: 10,000, so one part is 0.01 %.
const Parts = 10_000

// MaxSalt is the longest salt, in bytes.
const MaxSalt = 255

// Variant is a version that units are assigned to.
type Variant struct {
	Name string `json:"name"`
	// Weight is its part of the experiment's units, of 10,000; 0 for a variant that takes no units.
	Weight int `json:"weight"`
}

// Plan says how units are divided. Two plans divide independently of each other if their salts differ; so a plan with
// other weights gets another salt, or some units would change their variant and others not.
type Plan struct {
	// Salt is the experiment's, unique to it and its plan, such as "checkout-2026-11/1": 1 to 255 bytes, none of them zero.
	Salt string `json:"salt"`
	// Coverage is the part of all units that is in the experiment, of 10,000: 10,000 for everyone, 0 for no one. Raising
	// it moves nobody who was in.
	Coverage int `json:"coverage"`
	// Variants have different names, and weights that add up to 10,000. Their order matters.
	Variants []Variant `json:"variants"`
}

// validate reports the first thing that is wrong, wrapping event.ErrInvalid.
func (p Plan) validate() error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: assignment plan %q: %s", event.ErrInvalid, p.Salt, fmt.Sprintf(format, args...))
	}
	switch {
	case p.Salt == "":
		return invalid("salt is empty; give each experiment its own")
	case len(p.Salt) > MaxSalt:
		return invalid("salt has %d bytes; at most %d", len(p.Salt), MaxSalt)
	case strings.ContainsRune(p.Salt, 0):
		return invalid("salt has a zero byte, which ends it in the hash; leave it out")
	case p.Coverage < 0 || p.Coverage > Parts:
		return invalid("coverage is %d; from 0 to %d", p.Coverage, Parts)
	case len(p.Variants) == 0:
		return invalid("no variants; at least one")
	}
	sum, seen := 0, map[string]bool{}
	for i, v := range p.Variants {
		switch {
		case v.Name == "":
			return invalid("variants[%d] has no name", i)
		case seen[v.Name]:
			return invalid("variants[%d]: the name %q is taken", i, v.Name)
		case v.Weight < 0 || v.Weight > Parts:
			return invalid("variants[%d] (%s): weight is %d; from 0 to %d", i, v.Name, v.Weight, Parts)
		}
		seen[v.Name] = true
		sum += v.Weight
	}
	if sum != Parts {
		return invalid("the weights add up to %d; make it %d", sum, Parts)
	}
	return nil
}
