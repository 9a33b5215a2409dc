package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/app"
	"github.com/cqrsflow/cqrsflow/services/policy"
)

type policyCmd struct {
	Check   policyCheckCmd   `cmd:"" help:"Check policies: what is wrong with them, and where."`
	Explain policyExplainCmd `cmd:"" help:"Say whether somebody may do something, by which policy, and why not."`
	Schema  policySchemaCmd  `cmd:"" help:"Print what policies can speak of, as a Cedar schema."`
}

func newPolicyCmd() policyCmd {
	return policyCmd{Check: policyCheckCmd{Settings: newSettings("Policies")}, Explain: policyExplainCmd{Settings: newSettings("Policies")}}
}

// policySources are the files that are named, else those of the settings' folder, else those that are built in.
func policySources(e *environment, s *settings, files []string) (sources []policy.Source, anonymous []string, err error) {
	c, err := s.load(e, false)
	switch {
	case err != nil:
		return nil, nil, err
	case len(files) > 0:
		sources, err = policy.ReadFiles(files...)
	case c.Policies.Dir != "":
		sources, err = policy.ReadDir(c.Policies.Dir)
	default:
		sources = policy.Defaults()
	}
	return sources, c.Policies.AnonymousRoles, err
}

type policyCheckCmd struct {
	outputFlags
	Files    []string `arg:"" optional:"" type:"path" help:"Files of Cedar policies, all of one set; without any, those of policy.dir."`
	Settings settings `embed:""`
}

// checked is what is printed; problems is never null.
type checked struct {
	Policies int               `json:"policies"`
	Problems []*policy.Problem `json:"problems"`
}

func (c *policyCheckCmd) Run(e *environment) error {
	words, err := app.Vocabulary(aggregates.All())
	if err != nil {
		return err
	}
	sources, _, err := policySources(e, &c.Settings, c.Files)
	if err != nil {
		return err
	}
	out := checked{Problems: []*policy.Problem{}}
	set, err := policy.Parse(words, sources)
	if err == nil {
		out.Policies = set.Len()
	} else if out.Problems = policy.Problems(err); len(out.Problems) == 0 {
		return err
	}
	perr := c.print(e, out, func(w io.Writer) {
		for _, p := range out.Problems {
			fmt.Fprintln(w, p)
		}
		if len(out.Problems) == 0 {
			fmt.Fprintf(w, "all is well: %d policies\n", out.Policies)
		}
	})
	if perr == nil && err != nil {
		return failed{}
	}
	return perr
}

type policyExplainCmd struct {
	outputFlags
	Principal string            `default:"anonymous" help:"Who asks: user:ID, service:NAME or anonymous."`
	Roles     []string          `help:"Their roles."`
	Action    string            `arg:"" help:"What they ask for: a command, such as pay or order.v1.PayOrder, or a query, such as orders.read."`
	Resource  string            `arg:"" optional:"" help:"For a command: AGGREGATE/ID, such as order/o-1."`
	Attr      map[string]string `help:"Attributes of its state, such as owner=u-1 or status=paid; those not named are as before anything happened."`
	New       bool              `help:"The stream does not exist yet."`
	Owner     string            `help:"The user that the command makes the owner."`
	Backdated bool              `help:"The command says when it happened."`
	Settings  settings          `embed:""`
}

// explained is what is printed.
type explained struct {
	Principal string   `json:"principal"`
	Roles     []string `json:"roles"`
	Action    string   `json:"action"`
	Resource  string   `json:"resource"`
	// Decision is "allow" or "deny"; of a query it is about any row at all, and Scope says which ones.
	Decision string              `json:"decision"`
	Scope    string              `json:"scope,omitempty"`
	Policy   string              `json:"policy"`
	Error    string              `json:"error,omitempty"`
	Policies []policy.Considered `json:"policies"`
}

func (c *policyExplainCmd) Run(e *environment) error {
	who, err := principalOf(c.Principal, c.Roles)
	if err != nil {
		return usageError{err}
	}
	words, err := app.Vocabulary(aggregates.All())
	if err != nil {
		return err
	}
	sources, anonymous, err := policySources(e, &c.Settings, nil)
	if err != nil {
		return err
	}
	set, err := policy.Parse(words, sources)
	if err != nil {
		return err
	}
	if set, err = set.WithAnonymous(anonymous); err != nil {
		return usageError{err}
	}
	out := explained{Principal: who.String(), Roles: who.Roles, Action: c.Action, Resource: c.Resource, Decision: "deny"}
	if who.Kind == principal.Anonymous {
		out.Roles = anonymous
	}
	if out.Roles == nil {
		out.Roles = []string{}
	}
	var x policy.Explanation
	if slices.Contains(words.Queries(), c.Action) {
		x, err = c.query(set, who, &out)
	} else {
		x, err = c.command(set, who, &out)
	}
	if err != nil {
		return err
	}
	if x.Allowed {
		out.Decision = "allow"
	}
	out.Policy, out.Policies = x.Policy, x.Policies
	if out.Policies == nil {
		out.Policies = []policy.Considered{}
	}
	if x.Err != nil {
		out.Error = x.Err.Error()
	}
	return c.print(e, out, out.write)
}

// query is about own rows where there are any: whoever sees all sees these.
func (c *policyExplainCmd) query(set *policy.Set, who principal.Principal, out *explained) (policy.Explanation, error) {
	if c.Resource != "" || len(c.Attr) > 0 || c.New || c.Owner != "" || c.Backdated {
		return policy.Explanation{}, usageError{fmt.Errorf("%s is a query: it has no resource, and no attributes", c.Action)}
	}
	scope := set.Scope(who, c.Action)
	out.Resource, _, _ = strings.Cut(c.Action, ".")
	if out.Scope = string(scope); scope == policy.None {
		out.Scope = "none"
	}
	return set.ExplainQuery(who, c.Action, scope != policy.All && who.Kind == principal.User)
}

func (c *policyExplainCmd) command(set *policy.Set, who principal.Principal, out *explained) (policy.Explanation, error) {
	if c.Resource == "" {
		return policy.Explanation{}, usageError{fmt.Errorf("%q is no query; for a command say on what: AGGREGATE/ID, such as order/o-1", c.Action)}
	}
	t, stream, err := target(c.Resource)
	if err != nil {
		return policy.Explanation{}, err
	}
	ct, err := commandType(t, c.Action)
	if err != nil {
		return policy.Explanation{}, err
	}
	attributes, err := attributesOf(t, c.Attr)
	if err != nil {
		return policy.Explanation{}, usageError{err}
	}
	out.Action = ct.Type
	return set.ExplainCommand(&policy.Request{Principal: who, Command: ct.Type, Stream: stream, Exists: !c.New, Attributes: attributes,
		Owner: c.Owner, Backdated: c.Backdated})
}

func (x *explained) write(w io.Writer) {
	fmt.Fprintf(w, "%s\tby %s\n", x.Decision, x.Policy)
	if x.Scope != "" {
		fmt.Fprintf(w, "rows\t%s\n", x.Scope)
	}
	if x.Error != "" {
		fmt.Fprintf(w, "error\t%s\n", x.Error)
	}
	for _, p := range x.Policies {
		why := p.Why
		if p.Applies {
			why = "applies"
		}
		fmt.Fprintf(w, "%s\t%s\t%s:%d\t%s\n", p.Effect, p.ID, p.File, p.Line, why)
	}
}

type policySchemaCmd struct{}

func (c *policySchemaCmd) Run(e *environment) error {
	words, err := app.Vocabulary(aggregates.All())
	if err != nil {
		return err
	}
	_, err = io.WriteString(e.stdout, words.Schema())
	return err
}

// principalOf reads "user:u-1".
func principalOf(s string, roles []string) (principal.Principal, error) {
	kind, id, _ := strings.Cut(s, ":")
	p := principal.Principal{Kind: principal.Kind(kind), ID: id, Roles: roles}
	switch {
	case s == "anonymous" && len(roles) > 0:
		return p, errors.New("who has not signed has the roles of policy.anonymous_roles; leave --roles out")
	case s == "anonymous":
		return principal.Principal{}, nil
	case p.Kind != principal.User && p.Kind != principal.Service:
		return p, fmt.Errorf("--principal is %q; write user:ID, service:NAME or anonymous", s)
	}
	if err := event.CheckStreamID(id); err != nil {
		return p, fmt.Errorf("--principal: %w", err)
	}
	return p, policy.CheckRoles(roles)
}

// attributesOf are those of a state: the initial one's, with what is given.
func attributesOf(t *decider.Type, given map[string]string) (map[string]any, error) {
	out := t.Attributes(t.Initial())
	for name, text := range given {
		was, ok := out[name]
		if !ok {
			return nil, fmt.Errorf("%s has no attribute %q; `cqrsflow policy schema` lists them", t.Name, name)
		}
		value, err := attribute(was, text)
		if err != nil {
			return nil, fmt.Errorf("the attribute %s is %q: it must be %w", name, text, err)
		}
		out[name] = value
	}
	return out, nil
}

// attribute reads a value of the type that it had.
func attribute(was any, text string) (any, error) {
	switch was.(type) {
	case bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return nil, errors.New("true or false")
		}
		return b, nil
	case int64:
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, errors.New("a whole number")
		}
		return n, nil
	}
	return text, nil
}
