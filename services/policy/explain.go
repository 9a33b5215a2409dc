package policy

import (
	"fmt"

	"github.com/cedar-policy/cedar-go"
	publicast "github.com/cedar-policy/cedar-go/ast"
	"github.com/cedar-policy/cedar-go/x/exp/ast"

	"github.com/cqrsflow/cqrsflow/event/principal"
)

// Explanation is a decision with what every policy about that action had to say.
type Explanation struct {
	Decision
	Policies []Considered
}

// Considered is a policy that is about the action.
type Considered struct {
	ID   string `json:"policy"`
	File string `json:"file"`
	Line int    `json:"line"`
	// Effect is "permit" or "forbid".
	Effect string `json:"effect"`
	// Applies says that it had its effect; Why says why not.
	Applies bool   `json:"applies"`
	Why     string `json:"why,omitempty"`
}

// ExplainCommand decides about a command, and says why.
func (s *Set) ExplainCommand(r *Request) (Explanation, error) {
	w, err := s.vocabulary.commandWorld(r, s.anonymous)
	if err != nil {
		return Explanation{}, err
	}
	return s.explain(w), nil
}

// ExplainQuery decides whether p may see rows that are, or are not, their own, and says why.
func (s *Set) ExplainQuery(p principal.Principal, query string, own bool) (Explanation, error) {
	w, err := s.vocabulary.queryWorld(p, s.anonymous, query, own)
	if err != nil {
		return Explanation{}, err
	}
	return s.explain(w), nil
}

func (s *Set) explain(w *world) Explanation {
	x := Explanation{Decision: s.decide(w)}
	for _, n := range s.policies {
		p := *(*ast.Policy)(n.policy.AST())
		if !holds(w, ast.Policy{Principal: ast.ScopeTypeAll{}, Action: p.Action, Resource: ast.ScopeTypeAll{}}) {
			continue
		}
		c := Considered{ID: string(n.id), File: n.policy.Position().Filename, Line: n.policy.Position().Line, Effect: "permit"}
		if p.Effect == ast.EffectForbid {
			c.Effect = "forbid"
		}
		switch {
		case !holds(w, ast.Policy{Principal: p.Principal, Action: ast.ScopeTypeAll{}, Resource: ast.ScopeTypeAll{}}):
			c.Why = "the principal is not " + scope(p.Principal)
		case !holds(w, ast.Policy{Principal: ast.ScopeTypeAll{}, Action: ast.ScopeTypeAll{}, Resource: p.Resource}):
			c.Why = "the resource is not " + scope(p.Resource)
		case !holds(w, p):
			c.Why = "its conditions do not hold"
		default:
			c.Applies = true
		}
		x.Policies = append(x.Policies, c)
	}
	return x
}

// holds reports whether a part of a policy matches.
func holds(w *world, part ast.Policy) bool {
	part.Effect = ast.EffectPermit
	p := cedar.NewPolicyFromAST((*publicast.Policy)(&part))
	d, _ := cedar.Authorize(cedar.PolicyMap{"part": p}, w, w.request)
	return d == cedar.Allow
}

// scope reads as what comes after "is".
func scope(s ast.IsScopeNode) string {
	switch x := s.(type) {
	case ast.ScopeTypeEq:
		return x.Entity.String()
	case ast.ScopeTypeIn:
		return "in " + x.Entity.String()
	case ast.ScopeTypeIs:
		return "a " + string(x.Type)
	case ast.ScopeTypeIsIn:
		return fmt.Sprintf("a %s in %s", x.Type, x.Entity)
	}
	return "anything"
}
