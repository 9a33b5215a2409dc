package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/services/apidoc"
	"github.com/cqrsflow/cqrsflow/services/identity"
)

// TestOpenAPI holds what a reader of the document relies on: references that resolve, path variables
// that are declared, IDs that are unique, and an operation for every route.
func TestOpenAPI(t *testing.T) {
	f := documented(t)
	r := f.do(http.MethodGet, "/openapi.json", "").want(200)
	if r.header.Get("Content-Type") != "application/json" || r.header.Get("ETag") == "" {
		t.Errorf("headers are %v", r.header)
	}
	if path := os.Getenv("CQRSFLOW_WRITE_OPENAPI"); path != "" { // for validators that are not written in Go
		if err := os.WriteFile(path, []byte(r.body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	doc := r.json()
	if doc["openapi"] != "3.1.0" {
		t.Errorf("the version is %v", doc["openapi"])
	}
	schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
	for _, ref := range refs(doc) {
		name, ok := strings.CutPrefix(ref, schemaPrefix)
		if !ok || schemas[name] == nil {
			t.Errorf("the reference %s leads nowhere", ref)
		}
	}
	ids := map[string]bool{}
	paths := doc["paths"].(map[string]any)
	for path, item := range paths {
		for method, v := range item.(map[string]any) {
			op := v.(map[string]any)
			id := op["operationId"].(string)
			if ids[id] || op["summary"] == "" || len(op["responses"].(map[string]any)) < 3 {
				t.Errorf("%s %s: the ID %s is taken, or something is missing", method, path, id)
			}
			ids[id] = true
			checkParameters(t, path, op)
			if body, ok := op["requestBody"].(map[string]any); ok {
				for media, m := range body["content"].(map[string]any) {
					if m.(map[string]any)["example"] == nil {
						t.Errorf("%s %s: what is sent as %s has no example", method, path, media)
					}
				}
			}
		}
	}
	for _, want := range []string{"/v1/orders/{id}/place", "/v1/orders/{id}/add-line", "/v1/accounts/{id}/deposit", "/v1/commands", "/v1/orders", "/v1/orders/{id}", "/v1/orders/search",
		"/v1/customers", "/v1/customers/{id}", "/v1/sales/daily", "/v1/accounts/{id}/events", "/v1/orders/{id}/state", "/v1/orders/{id}/commands/{commandId}"} {
		if paths[want] == nil {
			t.Errorf("%s is missing", want)
		}
	}
	if paths["/v1/customers/{id}/record-purchase"] != nil {
		t.Error("a command that is not public has a path")
	}
}

// What others serve is in the document and on the page, with what they answer.
func TestOthersAreDescribed(t *testing.T) {
	f := newFixture(t)
	f.api.cfg.Described, f.api.cfg.Problems = identity.Operations(), identity.Problems()
	if err := f.api.document(); err != nil {
		t.Fatal(err)
	}
	doc := f.do(http.MethodGet, "/openapi.json", "").want(200).json()
	components := doc["components"].(map[string]any)
	for _, ref := range refs(doc) {
		if name, ok := strings.CutPrefix(ref, schemaPrefix); !ok || components["schemas"].(map[string]any)[name] == nil {
			t.Errorf("the reference %s leads nowhere", ref)
		}
	}
	if components["securitySchemes"].(map[string]any)[bearer] == nil {
		t.Error("nothing says what an access token is")
	}
	page := f.do(http.MethodGet, "/docs", "").want(200).body
	ops, paths := identity.Operations(), doc["paths"].(map[string]any)
	for _, o := range ops {
		item, _ := paths[o.Path].(map[string]any)
		op, ok := item[strings.ToLower(o.Method)].(map[string]any)
		if !ok {
			t.Errorf("%s %s is missing", o.Method, o.Path)
			continue
		}
		checkParameters(t, o.Path, op)
		security, _ := op["security"].([]any)
		if len(security) > 0 != o.Private || op["responses"].(map[string]any)[strconv.Itoa(o.Status)] == nil {
			t.Errorf("%s: %v", o.Path, op)
		}
		if body, ok := op["requestBody"].(map[string]any); ok != (o.Body != nil) || ok && body["content"].(map[string]any)["application/json"].(map[string]any)["example"] == nil {
			t.Errorf("%s has no example", o.Path)
		}
		if !strings.Contains(page, `id="`+o.ID+`"`) {
			t.Errorf("%s is not on the page", o.ID)
		}
	}
	for path, item := range paths { // and nothing under identity's paths that it does not serve
		for method := range item.(map[string]any) {
			ours := strings.HasPrefix(path, "/v1/auth/") || strings.HasPrefix(path, "/v1/users") || path == "/v1/me" || strings.HasPrefix(path, "/.well-known/")
			if ours && !slices.ContainsFunc(ops, func(o apidoc.Operation) bool { return o.Path == path && strings.EqualFold(o.Method, method) }) {
				t.Errorf("%s %s is served by nobody", method, path)
			}
		}
	}
	for _, k := range identity.Problems() {
		if !strings.Contains(page, `id="problem-`+k.Code+`"`) {
			t.Errorf("the problem %s is not described", k.Code)
		}
	}
	f.api.cfg.Problems = nil
	if err := f.api.document(); !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), "which nothing describes") {
		t.Errorf("a problem that nobody describes: %v", err)
	}
}

var variable = regexp.MustCompile(`\{(\w+)\}`)

func checkParameters(t *testing.T, path string, op map[string]any) {
	t.Helper()
	var declared []string
	seen := map[string]bool{}
	params, _ := op["parameters"].([]any)
	for _, v := range params {
		p := v.(map[string]any)
		key := p["in"].(string) + " " + p["name"].(string)
		if seen[key] || p["schema"] == nil || p["description"] == nil {
			t.Errorf("%s: the parameter %s is there twice, or has no schema or description", path, key)
		}
		seen[key] = true
		if p["in"] == "path" {
			declared = append(declared, p["name"].(string))
		}
	}
	var used []string
	for _, m := range variable.FindAllStringSubmatch(path, -1) {
		used = append(used, m[1])
	}
	slices.Sort(declared)
	slices.Sort(used)
	if !slices.Equal(declared, used) {
		t.Errorf("%s declares %v", path, declared)
	}
}

func refs(v any) (out []string) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if s, ok := e.(string); ok && k == "$ref" {
				out = append(out, s)
			}
			out = append(out, refs(e)...)
		}
	case []any:
		for _, e := range v {
			out = append(out, refs(e)...)
		}
	}
	return out
}

// TestCommandSchemas compares what is said of a command with its .proto file, rules and comments included.
func TestCommandSchemas(t *testing.T) {
	f := documented(t)
	doc := f.do(http.MethodGet, "/openapi.json", "").json()
	schemas := doc["components"].(map[string]any)["schemas"].(map[string]any)
	text, err := json.MarshalIndent(map[string]any{"order.v1.PlaceOrder": schemas["order.v1.PlaceOrder"], "order.v1.Line": schemas["order.v1.Line"],
		"bench.v1.Deposit": schemas["bench.v1.Deposit"], "account.Accepted": schemas["account.Accepted"], "bench.v1.AccountState.out": schemas["bench.v1.AccountState.out"]}, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "schemas.json", string(text))
}

func TestDocs(t *testing.T) {
	f := documented(t)
	r := f.do(http.MethodGet, "/docs", "").want(200)
	if got := r.header.Get("Content-Type"); got != "text/html; charset=utf-8" {
		t.Errorf("the content type is %q", got)
	}
	for _, m := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(r.body, -1) {
		if m[1] != "/openapi.json" && !strings.HasPrefix(m[1], "#") {
			t.Errorf("the page needs %s", m[1])
		}
		if id, ok := strings.CutPrefix(m[1], "#"); ok && !strings.Contains(r.body, `id="`+id+`"`) {
			t.Errorf("the link #%s leads nowhere", id)
		}
	}
	for _, k := range problemKinds {
		if !strings.Contains(r.body, `id="problem-`+k.Code+`"`) {
			t.Errorf("the problem %s is not described", k.Code)
		}
	}
	if strings.Contains(r.body, "<script") || strings.Contains(r.body, "ZgotmplZ") {
		t.Error("the page has a script, or something that the template refused")
	}
	if f.do(http.MethodGet, "/docs", "", "If-None-Match", r.header.Get("ETag")).want(304); f.do(http.MethodGet, "/openapi.json", "", "If-None-Match", "*").want(304).body != "" {
		t.Error("a 304 has a body")
	}
}
