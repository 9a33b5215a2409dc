package policy

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	sessionv1 "github.com/cqrsflow/cqrsflow/schemas/session/v1"
	userv1 "github.com/cqrsflow/cqrsflow/schemas/user/v1"
)

// The built-in policies permit identity the commands that its code makes, and no others, on whatever state; and these to nobody
// else but admin and the command line.
func TestIdentityMayDoWhatItDoes(t *testing.T) {
	s, v := builtIn(t), vocabulary(t)
	makes := commandsMade(t, "../identity", v)
	for _, name := range []string{"user.v1.BeginAttempt", "session.v1.StartSession", "emailclaim.v1.ClaimEmail", "source.v1.CompleteAttempt"} {
		if !makes[name] {
			t.Fatalf("%s is not among the commands that identity makes: %v", name, slices.Sorted(maps.Keys(makes)))
		}
	}
	identity := principal.Principal{Kind: principal.Service, ID: "identity"}
	for _, name := range v.Commands() {
		for _, exists := range []bool{false, true} {
			ask := func(p principal.Principal) bool {
				r := &Request{Principal: p, Command: name, Stream: "s-1", Exists: exists, Attributes: map[string]any{}}
				for attribute, typ := range v.resources[v.commands[name]].attributes {
					r.Attributes[attribute] = map[string]any{"String": "", "Bool": false, "Long": int64(0)}[typ]
				}
				d := s.Command(r)
				if d.Err != nil {
					t.Fatalf("%s: %v", name, d.Err)
				}
				return d.Allowed
			}
			if got := ask(identity); got != makes[name] {
				t.Errorf("%s: identity may: %v; its code makes it: %v", name, got, makes[name])
			}
			for _, p := range []principal.Principal{customer, clerk, auditor, nobody, react, stranger, anonymous} {
				if makes[name] && ask(p) {
					t.Errorf("%s: %s may", name, p)
				}
			}
		}
	}
	if d := s.Command(&Request{Principal: identity, Command: "user.v1.CheckUser", Stream: event.StreamID("u-1"), Attributes: map[string]any{"status": ""}}); !d.Allowed || d.Policy != "identity-users" {
		t.Errorf("%+v", d)
	}
}

// commandsMade are the command types of which the code of a package makes messages, outside of its tests.
func commandsMade(t *testing.T, dir string, v *Vocabulary) map[string]bool {
	t.Helper()
	found := map[string]bool{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(source, func(n ast.Node) bool {
			made, ok := n.(*ast.CompositeLit)
			if !ok {
				return true
			}
			// userv1.CheckUser{} makes a user.v1.CheckUser.
			if name, ok := made.Type.(*ast.SelectorExpr); ok {
				if x, ok := name.X.(*ast.Ident); ok && strings.HasSuffix(x.Name, "v1") {
					typ := strings.TrimSuffix(x.Name, "v1") + ".v1." + name.Sel.Name
					if _, ok := v.commands[typ]; ok {
						found[typ] = true
					}
				}
			}
			return true
		})
	}
	return found
}

// Policies can look at whose a session is, and at the status of users and sessions.
func TestSessionsHaveOwners(t *testing.T) {
	s := parse(t, `@id("own-sessions") permit (principal, action == Action::"session.v1.RevokeSession", resource)
		when { resource has owner && resource.owner == principal && resource.status == "active" };
		@id("start") permit (principal, action == Action::"session.v1.StartSession", resource) when { context has owner && context.owner == principal };
		@id("unlock") permit (principal, action == Action::"user.v1.UnlockUser", resource) when { resource.status == "locked" };`)
	states := map[string]proto.Message{"session": &sessionv1.SessionState{User: "ada", Status: sessionv1.SessionStatus_SESSION_STATUS_ACTIVE},
		"user": &userv1.UserState{Status: userv1.UserStatus_USER_STATUS_LOCKED}}
	ask := func(p principal.Principal, aggregate, command string, state any, body proto.Message) bool {
		t.Helper()
		typ, ok := aggregates.Lookup(aggregate)
		if !ok {
			t.Fatal(aggregate)
		}
		d := s.Command(&Request{Principal: p, Command: command, Stream: "s-1", Attributes: typ.Attributes(state), Owner: typ.Owner(body)})
		if d.Err != nil {
			t.Fatal(d.Err)
		}
		return d.Allowed
	}
	start := &sessionv1.StartSession{User: "ada"}
	for name, c := range map[string]struct{ got, want bool }{
		"one's own":          {ask(customer, "session", "session.v1.RevokeSession", states["session"], &sessionv1.RevokeSession{}), true},
		"another's":          {ask(nobody, "session", "session.v1.RevokeSession", states["session"], &sessionv1.RevokeSession{}), false},
		"none yet":           {ask(customer, "session", "session.v1.RevokeSession", &sessionv1.SessionState{}, &sessionv1.RevokeSession{}), false},
		"for oneself":        {ask(customer, "session", "session.v1.StartSession", &sessionv1.SessionState{}, start), true},
		"for another":        {ask(nobody, "session", "session.v1.StartSession", &sessionv1.SessionState{}, start), false},
		"who is locked":      {ask(nobody, "user", "user.v1.UnlockUser", states["user"], &userv1.UnlockUser{}), true},
		"who does not exist": {ask(nobody, "user", "user.v1.UnlockUser", &userv1.UserState{}, &userv1.UnlockUser{}), false},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v", name, c.got)
		}
	}
}
