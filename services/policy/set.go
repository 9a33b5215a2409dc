package policy

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go"
	publicast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
)

// DefaultDeny is the policy that a denial names where no policy permits: Cedar's own rule.
const DefaultDeny = "default-deny"

// Set is the policies at one time, checked. It is immutable and safe for concurrent use.
type Set struct {
	vocabulary *Vocabulary
	policies   []named
	// possible are the permits, without their conditions and whatever they are about.
	possible []named
	// anonymous are the roles of who has not signed.
	anonymous []string
}

type named struct {
	id     cedar.PolicyID
	policy *cedar.Policy
}

// Possible says whether p may do a command at all, in some state, of some stream. That is cheap to ask before anything is
// published; that it is allowed does not mean that Command allows it.
func (s *Set) Possible(p principal.Principal, command string) Decision {
	aggregate, ok := s.vocabulary.commands[command]
	if !ok {
		return Decision{Policy: DefaultDeny, Err: fmt.Errorf("%w: there is no command %q", event.ErrUnknownType, command)}
	}
	w := s.vocabulary.world(p, s.anonymous, command, cedar.Entity{UID: uid(s.vocabulary.resources[aggregate].typ, "")}, nil)
	return (&Set{policies: s.possible}).decide(w)
}

// permits makes the policy of Possible of one; nil of one that forbids.
func permits(p *cedar.Policy) *cedar.Policy {
	of := (*ast.Policy)(p.AST())
	if of.Effect != ast.EffectPermit {
		return nil
	}
	return cedar.NewPolicyFromAST((*publicast.Policy)(&ast.Policy{Effect: of.Effect, Principal: of.Principal, Action: of.Action, Resource: ast.ScopeTypeAll{}}))
}

// All lists the policies in the order of their files, for Cedar: so decisions name the same one every time.
func (s *Set) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for _, n := range s.policies {
			if !yield(n.id, n.policy) {
				return
			}
		}
	}
}

// Len is the number of policies.
func (s *Set) Len() int { return len(s.policies) }

// Decision is whether something is permitted, and why. The zero value denies.
type Decision struct {
	Allowed bool
	// Policy is the first policy that permits or forbids it; DefaultDeny where none permits.
	Policy string
	// Err is what kept a policy, or all, from being evaluated: then the answer is no. It wraps a category of event.
	Err error
}

// Command decides about a command.
func (s *Set) Command(r *Request) Decision {
	w, err := s.vocabulary.commandWorld(r, s.anonymous)
	if err != nil {
		return Decision{Policy: DefaultDeny, Err: err}
	}
	return s.decide(w)
}

func (s *Set) decide(w *world) Decision {
	decision, why := cedar.Authorize(s, w, w.request)
	switch {
	case len(why.Errors) > 0:
		// Cedar leaves such a policy out. One that forbids would then permit.
		e := why.Errors[0]
		return Decision{Policy: string(e.PolicyID), Err: fmt.Errorf("%w: policy %s: %s", event.ErrInvalid, e.PolicyID, e.Message)}
	case len(why.Reasons) == 0:
		return Decision{Policy: DefaultDeny}
	}
	return Decision{Allowed: decision == cedar.Allow, Policy: string(why.Reasons[0].PolicyID)}
}

// Scope says which rows of a read model somebody may see.
type Scope string

// The scopes. The zero value is none.
const (
	None Scope = ""
	// Own are the rows whose owner is the user.
	Own Scope = "own"
	All Scope = "all"
)

// Scope says which rows of a query's read model p may see; the query is "<read model>.read" or ".history". Own rows are those
// of the user p.ID; nobody but users has any. A query that the vocabulary lacks is None.
func (s *Set) Scope(p principal.Principal, query string) Scope {
	may := func(own bool) bool {
		w, err := s.vocabulary.queryWorld(p, s.anonymous, query, own)
		return err == nil && s.decide(w).Allowed
	}
	switch {
	case p.Kind != principal.User:
		if may(false) {
			return All
		}
	case may(true):
		if may(false) {
			return All
		}
		return Own
	}
	return None
}

// CheckRoles reports a text that is no role. Its error wraps event.ErrConfig.
func CheckRoles(roles []string) error {
	for _, r := range roles {
		if r == "" || len(r) > principal.MaxRole || strings.Trim(r, "abcdefghijklmnopqrstuvwxyz0123456789_-") != "" {
			return fmt.Errorf("%w: the role %q needs 1 to %d characters of a-z 0-9 _ -", event.ErrConfig, r, principal.MaxRole)
		}
	}
	return nil
}

// WithAnonymous returns the set with these roles for who has not signed. Its error wraps event.ErrConfig.
func (s *Set) WithAnonymous(roles []string) (*Set, error) {
	if err := CheckRoles(roles); err != nil {
		return nil, fmt.Errorf("policies: of who has not signed: %w", err)
	}
	c := *s
	c.anonymous = slices.Clone(roles)
	return &c, nil
}
