package api

import (
	"encoding/json"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
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
