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

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
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
	if d := s.Command(&Request{Principal: identity, Command: "user.v1.CheckUser", Stream: event.StreamID("u-1"), Attributes: map[string]any{}}); !d.Allowed || d.Policy != "identity-users" {
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
