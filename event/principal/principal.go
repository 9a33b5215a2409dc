package principal

import (
	"fmt"
	"slices"

	"github.com/cqrsflow/cqrsflow/event"
)

// Kind says what a principal is.
type Kind string

// The kinds of principals. The zero value is Anonymous: nobody signed.
const (
	Anonymous Kind = ""
	User      Kind = "user"
	Service   Kind = "service"
)

// Bounds, in bytes and in number, that keep the header below MaxHeader.
const (
	MaxRole  = 32
	MaxRoles = 16
	// MaxHeader is the longest header that Sign makes and Verify looks at, in bytes.
	MaxHeader = 1024
)

// Principal is who asks. The zero value is the anonymous one.
type Principal struct {
	Kind Kind
	// ID is a user's ID or a service's name: 1 to 128 bytes as in a stream ID.
	ID string
	// Roles are sorted, without repeats: at most 16, each 1 to 32 bytes of [a-z0-9_-].
	Roles []string
	// Session is the ID of the user's session, as a stream ID; empty for a service, or a user without one.
	Session string
}

// String is the name for logs and events: "user:u-1", "service:react", or "anonymous".
func (p Principal) String() string {
	if p.Kind == Anonymous {
		return "anonymous"
	}
	return string(p.Kind) + ":" + p.ID
}

// Has reports whether the principal has the role.
func (p Principal) Has(role string) bool { return slices.Contains(p.Roles, role) }

// check reports why p cannot be signed, or was not.
func (p Principal) check() error {
	if p.Kind != User && p.Kind != Service {
		return fmt.Errorf("%w: a principal's kind is %q; it must be user or service", event.ErrInvalid, clip(string(p.Kind)))
	}
	if err := event.CheckStreamID(p.ID); err != nil {
		return fmt.Errorf("the principal's ID: %w", err)
	}
	if p.Session != "" {
		if err := event.CheckStreamID(p.Session); err != nil {
			return fmt.Errorf("the principal's session: %w", err)
		}
	}
	if len(p.Roles) > MaxRoles {
		return fmt.Errorf("%w: the principal %s has %d roles; at most %d are allowed", event.ErrInvalid, p, len(p.Roles), MaxRoles)
	}
	for i, r := range p.Roles {
		if !isRole(r) {
			return fmt.Errorf("%w: the role %q of %s needs 1 to %d characters of a-z 0-9 _ -", event.ErrInvalid, clip(r), p, MaxRole)
		}
		if i > 0 && p.Roles[i-1] >= r {
			return fmt.Errorf("%w: the roles of %s are not sorted, or one is there twice", event.ErrInvalid, p)
		}
	}
	return nil
}

func isRole(r string) bool {
	for i := range len(r) {
		if c := r[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return r != "" && len(r) <= MaxRole
}

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
