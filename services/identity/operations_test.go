package identity_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/services/identity"
)

// Every route is described, and everything that is described is a route: with an example of what it takes and of what it answers.
func TestOperationsAreTheRoutes(t *testing.T) {
	routes := identity.Routes()
	var described []string
	ids := map[string]bool{}
	for _, o := range identity.Operations() {
		described = append(described, o.Method+" "+o.Path)
		if ids[o.ID] || o.Summary == "" || o.Tag == "" || o.Status == 0 || (o.Answer == nil) != (o.Status == http.StatusNoContent) {
			t.Errorf("%+v: its ID is there twice, or something is missing", o)
		}
		ids[o.ID] = true
	}
	slices.Sort(routes)
	slices.Sort(described)
	if !slices.Equal(routes, described) {
		t.Errorf("the routes are\n%s\nand described are\n%s", strings.Join(routes, "\n"), strings.Join(described, "\n"))
	}
}

// What is described as a body is one that the handlers read, and no operation that takes one is described without.
func TestExamplesCanBeSent(t *testing.T) {
	b, c, _ := joined(t, options{})
	for _, o := range identity.Operations() {
		if o.Method != http.MethodPost || o.Role != "" {
			continue
		}
		path := strings.ReplaceAll(o.Path, "{id}", "s-1")
		var body any
		if o.Body != nil {
			body = o.Body
		}
		if a := c.send(o.Method, path, body); a.status == 400 || a.status == 415 || a.status >= 500 {
			t.Errorf("%s with its example: %d %s", path, a.status, a.text)
		}
		if o.Path == "/v1/auth/logout" {
			c.login(ada, good).is(200, "")
		}
	}
	admin := b.administrator()
	for _, o := range identity.Operations() {
		if o.Method == http.MethodPost && o.Role != "" {
			if a := admin.send(o.Method, strings.ReplaceAll(o.Path, "{id}", "u-1"), o.Body); a.status != 404 {
				t.Errorf("%s with its example, about nobody: %d %s", o.Path, a.status, a.text)
			}
		}
	}
}

// Answers have the fields that are described, and no others.
func TestAnswersAreAsDescribed(t *testing.T) {
	_, c, _ := joined(t, options{})
	for _, o := range identity.Operations() {
		if o.Method != http.MethodGet || o.Role != "" {
			continue
		}
		want, err := json.Marshal(o.Answer)
		must(t, err)
		var fields map[string]any
		must(t, json.Unmarshal(want, &fields))
		a := c.get(o.Path).is(200, "")
		for name := range a.body {
			if _, ok := fields[name]; !ok {
				t.Errorf("%s: %s is not described", o.Path, name)
			}
		}
	}
}

// Every code of a problem is described.
func TestProblemsAreDescribed(t *testing.T) {
	known := map[string]bool{}
	for _, p := range identity.Problems() {
		if known[p.Code] || p.Title == "" || p.Text == "" || p.Status < 400 {
			t.Errorf("%+v", p)
		}
		known[p.Code] = true
	}
	// Those that the API describes itself.
	for _, code := range []string{"malformed_request", "permission_denied", "not_found", "unavailable", "internal", "unsupported_media_type", "request_too_large",
		"method_not_allowed", "unknown_aggregate"} {
		known[code] = true
	}
	files, err := filepath.Glob("*.go")
	must(t, err)
	more, err := filepath.Glob("password/*.go")
	must(t, err)
	made := regexp.MustCompile(`(?:newProblem\(http\.Status\w+, |&Refused\{)"([a-z_]+)"`)
	found := 0
	for _, file := range append(files, more...) {
		source, err := os.ReadFile(file)
		must(t, err)
		for _, m := range made.FindAllStringSubmatch(string(source), -1) {
			if found++; !known[m[1]] {
				t.Errorf("%s answers with %s, which is not described", file, m[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("%d codes were found: the test looks at the wrong thing", found)
	}
}
