package api

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// A command is signed as who asks for it, as it is published; nobody's is not.
func TestCommandsAreSigned(t *testing.T) {
	keys, err := principal.NewKeyring(secret.Generate("k"))
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, func(c *Config) { c.Principals = keys })
	var signed []string
	f.processor.override = func(c event.Command, _, contentType string, body []byte) (event.Outcome, error) {
		m := principal.MessageOf(&c, contentType, body)
		p, err := keys.Verify([]byte(c.Auth), &m, time.Now())
		if err != nil {
			t.Errorf("%s: %v", c.Type, err)
		}
		signed = append(signed, p.String()+" "+strings.Join(p.Roles, ",")+" "+p.Session)
		return event.Outcome{Kind: event.Rejected, Code: "no", Stream: c.Stream, CommandID: c.ID}, nil
	}
	send := func(as principal.Principal, path, contentType, body string) {
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.Header.Set("If-Match", `"7"`)
		if path == "/v1/commands" {
			r.Header.Del("If-Match")
		}
		f.send(r.WithContext(principal.NewContext(r.Context(), as)))
	}
	ada := principal.Principal{Kind: principal.User, ID: "ada", Session: "s-1", Roles: []string{"clerk", "auditor"}}
	send(ada, "/v1/orders/o1/place", "application/json", placeBody)
	send(ada, "/v1/commands", "application/x-ndjson", `{"aggregate":"order","id":"o1","command":"pay","data":{}}`)
	send(principal.Principal{}, "/v1/orders/o1/place", "application/json", placeBody)
	want := []string{"user:ada auditor,clerk s-1", "user:ada auditor,clerk s-1", "anonymous  "}
	if strings.Join(signed, "|") != strings.Join(want, "|") {
		t.Errorf("signed as %q, want %q", signed, want)
	}
}

// What a gateway before the API answers is documented where there is one: its problems, and what it composes.
func TestGatewayIsDocumented(t *testing.T) {
	for _, there := range []bool{false, true} {
		f := newFixture(t, func(c *Config) { c.Gateway = there })
		if err := f.api.document(); err != nil {
			t.Fatal(err)
		}
		paths := f.do(http.MethodGet, "/openapi.json", "").json()["paths"].(map[string]any)
		if (paths["/v1/orders/{id}/overview"] != nil) != there {
			t.Errorf("gateway %t: the overview is documented: %t", there, !there)
		}
		responses := paths["/v1/orders"].(map[string]any)["get"].(map[string]any)["responses"].(map[string]any)
		for _, status := range []string{"408", "429", "502", "504"} {
			if (responses[status] != nil) != there {
				t.Errorf("gateway %t: %s is documented: %t", there, status, !there)
			}
		}
	}
	for _, code := range gatewayCodes {
		if problem(code, "").Code != code {
			t.Errorf("the problem %s is not described", code)
		}
	}
}
