package policy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
)

func vocabulary(t testing.TB) *Vocabulary {
	t.Helper()
	v, err := NewVocabulary(aggregates.All(), "daily_sales")
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func parse(t testing.TB, text string) *Set {
	t.Helper()
	s, err := Parse(vocabulary(t), []Source{{Name: "test.cedar", Text: []byte(text)}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func builtIn(t testing.TB) *Set {
	t.Helper()
	s, err := Parse(vocabulary(t), Defaults())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func user(id string, roles ...string) principal.Principal {
	return principal.Principal{Kind: principal.User, ID: id, Roles: roles}
}

var (
	customer  = user("ada", "customer")
	clerk     = user("bob", "clerk")
	auditor   = user("cy", "auditor")
	admin     = user("dan", "admin")
	nobody    = user("eve")
	react     = principal.Principal{Kind: principal.Service, ID: "react"}
	cli       = principal.Principal{Kind: principal.Service, ID: "cli"}
	stranger  = principal.Principal{Kind: principal.Service, ID: "stranger"}
	anonymous principal.Principal
)

// about is a command on an order of that owner; empty for one that does not exist.
func about(p principal.Principal, command, owner string, change ...func(*Request)) *Request {
	r := &Request{Principal: p, Command: "order.v1." + command, Stream: "o-1", Attributes: map[string]any{"owner": owner, "status": ""}}
	if owner != "" {
		r.Exists, r.Attributes["status"] = true, "placed"
	}
	for _, f := range change {
		f(r)
	}
	return r
}

func makes(owner string) func(*Request) { return func(r *Request) { r.Owner = owner } }
func backdated(r *Request)              { r.Backdated = true }

// Who may do what with the built-in policies, and which of them says so.
func TestWhoMayDoWhat(t *testing.T) {
	s := builtIn(t)
	purchase := func(p principal.Principal) *Request {
		return &Request{Principal: p, Command: "customer.v1.RecordPurchase", Stream: "ada"}
	}
	for name, c := range map[string]struct {
		r       *Request
		allowed bool
		policy  string
	}{
		"customer pays own order":                  {about(customer, "PayOrder", "ada"), true, "customer-own-orders"},
		"customer pays another's order":            {about(customer, "PayOrder", "bea"), false, DefaultDeny},
		"customer pays no order":                   {about(customer, "PayOrder", ""), false, DefaultDeny},
		"customer places for themselves":           {about(customer, "PlaceOrder", "", makes("ada")), true, "customer-places-order"},
		"customer places for another":              {about(customer, "PlaceOrder", "", makes("bea")), false, DefaultDeny},
		"customer places over another's order":     {about(customer, "PlaceOrder", "bea", makes("ada")), false, DefaultDeny},
		"customer places own order again":          {about(customer, "PlaceOrder", "ada", makes("ada")), true, "customer-places-order"},
		"customer gives own order to another":      {about(customer, "PlaceOrder", "ada", makes("bea")), false, DefaultDeny},
		"customer backdates":                       {about(customer, "PayOrder", "ada", backdated), false, "backdating"},
		"customer records a purchase":              {purchase(customer), false, DefaultDeny},
		"a customer by role only: a service":       {about(principal.Principal{Kind: principal.Service, ID: "ada", Roles: []string{"customer"}}, "PayOrder", "ada"), false, DefaultDeny},
		"clerk ships any order":                    {about(clerk, "ShipOrder", "ada"), true, "clerk-orders"},
		"clerk ships an order that does not exist": {about(clerk, "ShipOrder", ""), true, "clerk-orders"},
		"clerk backdates":                          {about(clerk, "ShipOrder", "ada", backdated), false, "backdating"},
		"clerk records a purchase":                 {purchase(clerk), false, DefaultDeny},
		"auditor changes nothing":                  {about(auditor, "AnnotateOrder", "cy"), false, DefaultDeny},
		"admin ships any order":                    {about(admin, "ShipOrder", "ada"), true, "admin"},
		"admin backdates":                          {about(admin, "ShipOrder", "ada", backdated), true, "admin"},
		"admin records a purchase":                 {purchase(admin), true, "admin"},
		"a user without roles":                     {about(nobody, "PayOrder", "eve"), false, DefaultDeny},
		"the reactor records a purchase":           {purchase(react), true, "reactor-records-purchases"},
		"the reactor ships":                        {about(react, "ShipOrder", "ada"), false, DefaultDeny},
		"the command line backdates":               {about(cli, "PlaceOrder", "", makes("ada"), backdated), true, "command-line"},
		"another service":                          {purchase(stranger), false, DefaultDeny},
		"anonymous":                                {about(anonymous, "PayOrder", "ada"), false, DefaultDeny},
	} {
		if d := s.Command(c.r); d.Allowed != c.allowed || d.Policy != c.policy || d.Err != nil {
			t.Errorf("%s: %+v; want %v by %s", name, d, c.allowed, c.policy)
		}
	}
	// Every command of every aggregate: an admin may, the anonymous may not.
	for _, typ := range aggregates.All() {
		for _, c := range typ.Commands {
			r := &Request{Command: c.Type, Stream: "x", Attributes: typ.Attributes(typ.Initial()), Principal: admin}
			if d := s.Command(r); !d.Allowed || d.Err != nil {
				t.Errorf("admin, %s: %+v", c.Type, d)
			}
			r.Principal = anonymous
			if d := s.Command(r); d.Allowed || d.Err != nil {
				t.Errorf("anonymous, %s: %+v", c.Type, d)
			}
			as, err := s.WithAnonymous([]string{"admin"})
			if err != nil {
				t.Fatal(err)
			}
			if d := as.Command(r); !d.Allowed {
				t.Errorf("anonymous as admin, %s: %+v", c.Type, d)
			}
		}
	}
}

func TestScopesOfQueries(t *testing.T) {
	s := builtIn(t)
	for _, c := range []struct {
		p principal.Principal
		// The scopes of orders.read, orders.history, customers.read, customers.history, daily_sales.read.
		want string
	}{
		{customer, "own none own none none"},
		{clerk, "all none none none none"},
		{auditor, "all all all all all"},
		{admin, "all all all all all"},
		{user("ada", "customer", "clerk"), "all none own none none"},
		{nobody, "none none none none none"},
		{cli, "all all all all all"},
		{react, "none none none none none"},
		{principal.Principal{Kind: principal.Service, ID: "ada", Roles: []string{"customer"}}, "none none none none none"},
		{anonymous, "none none none none none"},
	} {
		var got []string
		for _, q := range []string{"orders.read", "orders.history", "customers.read", "customers.history", "daily_sales.read"} {
			scope := s.Scope(c.p, q)
			if scope == None {
				scope = "none"
			}
			got = append(got, string(scope))
		}
		if g := strings.Join(got, " "); g != c.want {
			t.Errorf("%s %v: %s, want %s", c.p, c.p.Roles, g, c.want)
		}
	}
	if got := s.Scope(admin, "houses.read"); got != None {
		t.Errorf("a query that is none: %s", got)
	}
	// Who may see others' rows, but not their own, sees nothing rather than all.
	odd := parse(t, `@id("a") permit (principal, action, resource); @id("b") forbid (principal, action == Action::"orders.read", resource) when { context.own };`)
	if got := odd.Scope(customer, "orders.read"); got != None {
		t.Errorf("all but their own: %s", got)
	}
}

func TestWrongPoliciesSayWhereAndWhy(t *testing.T) {
	const ok = "@id(\"ok\")\npermit (principal, action, resource);\n"
	for name, c := range map[string]struct{ text, want string }{
		"no Cedar":          {ok + "permit everything;", "test.cedar:3: it cannot be read: "},
		"an open comment":   {"@id(\"a\")\npermit (principal, action, resource) when { \"", "test.cedar:2: "},
		"no ID":             {ok + "permit (principal, action, resource);", `test.cedar:3: it has no ID: write @id("a-name")`},
		"a bad ID":          {`@id("A b") permit (principal, action, resource);`, "test.cedar:1: policy A b: the ID must be"},
		"a reserved ID":     {`@id("default-deny") permit (principal, action, resource);`, "not default-deny"},
		"an ID twice":       {ok + "\n" + ok, "test.cedar:4: policy ok: the ID is there twice: test.cedar:1 has it"},
		"an unknown action": {ok + "@id(\"x\")\npermit (principal, action == Action::\"order.v1.BurnOrder\", resource);", "test.cedar:3: policy x: "},
		"an unknown type":   {`@id("x") permit (principal is Robot, action, resource);`, "Robot"},
		"an unknown attribute": {`@id("x") permit (principal, action == Action::"order.v1.PayOrder", resource) when { resource.colour == "red" };`,
			"colour"},
		"another's attribute": {`@id("x") permit (principal, action in Action::"commands", resource) when { resource.status == "placed" };`, "status"},
		"a wrong type":        {`@id("x") permit (principal, action == Action::"order.v1.PayOrder", resource) when { resource.status > 3 };`, "Long"},
		"an optional attribute that was not looked for": {`@id("x") permit (principal, action == Action::"order.v1.PayOrder", resource) when { resource.owner == principal };`,
			"owner"},
		"no such pair of action and resource": {`@id("x") permit (principal, action == Action::"order.v1.PayOrder", resource is customer);`, "policy x: "},
	} {
		_, err := Parse(vocabulary(t), []Source{{Name: "test.cedar", Text: []byte(c.text)}})
		if !errors.Is(err, event.ErrConfig) || !strings.Contains(fmt.Sprint(err), c.want) || len(Problems(err)) == 0 {
			t.Errorf("%s: %v; want %s", name, err, c.want)
		}
	}
	// All problems are told, in the order of files and lines.
	_, err := Parse(vocabulary(t), []Source{{Name: "b.cedar", Text: []byte("permit")}, {Name: "a.cedar", Text: []byte("permit (principal, action, resource);\npermit (principal, action, resource);")}})
	var at []string
	for _, p := range Problems(err) {
		at = append(at, fmt.Sprintf("%s:%d", p.File, p.Line))
	}
	if got := strings.Join(at, " "); got != "a.cedar:1 a.cedar:2 b.cedar:1" {
		t.Error(got)
	}
}

// What a policy was checked with is what it gets: else it denies, the permitting and the forbidding alike.
func TestWhatIsNotAsDeclaredIsDenied(t *testing.T) {
	s := builtIn(t)
	for name, r := range map[string]*Request{
		"an unknown command":   {Principal: admin, Command: "house.v1.Burn", Stream: "h-1"},
		"a missing attribute":  {Principal: admin, Command: "order.v1.PayOrder", Stream: "o-1", Attributes: map[string]any{"owner": "ada"}},
		"another type":         {Principal: admin, Command: "order.v1.PayOrder", Stream: "o-1", Attributes: map[string]any{"owner": "ada", "status": int64(1)}},
		"a type that is none":  {Principal: admin, Command: "order.v1.PayOrder", Stream: "o-1", Attributes: map[string]any{"owner": "ada", "status": 1}},
		"no attributes at all": {Principal: admin, Command: "order.v1.PayOrder", Stream: "o-1"},
	} {
		if d := s.Command(r); d.Allowed || d.Err == nil {
			t.Errorf("%s: %+v", name, d)
		}
	}
	// An error that no schema excludes: Cedar would leave the policy that forbids out, and permit.
	overflow := parse(t, `@id("a") permit (principal, action, resource);
		@id("b") forbid (principal, action == Action::"order.v1.PayOrder", resource) when { 9223372036854775807 + 1 > 0 };`)
	if d := overflow.Command(about(admin, "PayOrder", "ada")); d.Allowed || d.Policy != "b" || d.Err == nil {
		t.Errorf("%+v", d)
	}
}

func TestExplanation(t *testing.T) {
	s := builtIn(t)
	x, err := s.ExplainCommand(about(customer, "ShipOrder", "bea"))
	if err != nil || x.Allowed || x.Policy != DefaultDeny {
		t.Fatalf("%+v, %v", x, err)
	}
	why := map[string]string{}
	for _, c := range x.Policies {
		if c.Applies || c.Line == 0 || c.File != "defaults/shop.cedar" {
			t.Errorf("%+v", c)
		}
		why[c.ID] = c.Why
	}
	for id, want := range map[string]string{"clerk-orders": `the principal is not in Role::"clerk"`, "customer-own-orders": "its conditions do not hold",
		"command-line": `the principal is not Service::"cli"`, "backdating": "its conditions do not hold"} {
		if why[id] != want {
			t.Errorf("%s: %q, want %q", id, why[id], want)
		}
	}
	if _, ok := why["auditor"]; ok {
		t.Error("a policy about queries is named for a command")
	}
	if x, err := s.ExplainQuery(customer, "orders.read", true); err != nil || !x.Allowed || x.Policy != "customer-reads-own" {
		t.Errorf("%+v, %v", x, err)
	}
	if _, err := s.ExplainQuery(customer, "houses.read", true); !errors.Is(err, event.ErrUnknownType) {
		t.Error(err)
	}
}

// What is possible leaves out nothing that some state would permit, and whoever no policy is about can do nothing.
func TestWhatIsPossible(t *testing.T) {
	s := builtIn(t)
	all := []principal.Principal{customer, clerk, auditor, admin, nobody, react, cli, stranger, anonymous}
	for _, p := range all {
		for _, command := range vocabulary(t).Commands() {
			may := s.Possible(p, command)
			if may.Err != nil || may.Policy == "" {
				t.Fatalf("%s %s: %+v", p, command, may)
			}
			name, ok := strings.CutPrefix(command, "order.v1.")
			if !ok {
				continue
			}
			for _, owner := range []string{"", "ada", "eve"} {
				for _, change := range []func(*Request){func(*Request) {}, makes("ada"), makes("eve"), backdated} {
					if d := s.Command(about(p, name, owner, change)); d.Allowed && !may.Allowed {
						t.Errorf("%s may do %s on an order of %q, which is said to be impossible", p, command, owner)
					}
				}
			}
		}
	}
	for _, p := range []principal.Principal{auditor, nobody, stranger, anonymous} {
		if d := s.Possible(p, "order.v1.PayOrder"); d.Allowed || d.Policy != DefaultDeny {
			t.Errorf("%s: %+v", p, d)
		}
	}
	if d := s.Possible(customer, "order.v1.PayOrder"); !d.Allowed || d.Policy != "customer-own-orders" {
		t.Errorf("%+v", d)
	}
	forbids := parse(t, `@id("reads") permit (principal, action, resource); @id("not-eve") forbid (principal == User::"eve", action in Action::"queries", resource);`)
	if got := forbids.Refusal(nobody, "orders.read", true); got != "not-eve" {
		t.Errorf("refused by %s", got)
	}
	if got := s.Refusal(clerk, "orders.history", false); got != DefaultDeny {
		t.Errorf("refused by %s", got)
	}
	if d := s.Possible(admin, "order.v1.Burn"); d.Allowed || !errors.Is(d.Err, event.ErrUnknownType) {
		t.Errorf("%+v", d)
	}
}
