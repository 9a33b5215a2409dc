package gateway_test

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/services/gateway"
)

// A request is one line of the log, whatever is in it, and nothing in it that is secret is there: not the query, not the body, not
// credentials.
func TestLog(t *testing.T) {
	for name, handler := range map[string]func(*logged) slog.Handler{
		"json": func(l *logged) slog.Handler { return slog.NewJSONHandler(l, nil) },
		"text": func(l *logged) slog.Handler { return slog.NewTextHandler(l, nil) },
	} {
		out := &logged{}
		b := newBed(t, func(c *gateway.Config) {
			c.Table = to(remote(t, echo))
			c.Logger = slog.New(handler(out))
		})
		b.ask("POST", "/a%20level=ERROR%20msg=forged?token=s3cret&password=s3cret", `{"password":"s3cret"}`, "Authorization", "Bearer s3cret", "Cookie", "s3cret", "X-Request-Id", "r-1")
		b.ask("GET", "/a%0d%0a%7b%22msg%22:%22forged%22%7d", "")
		b.ask("GET", "/"+strings.Repeat("x", 5000), "")
		out.line(t, "r-1", "/a level=ERROR msg=forged", "200", "127.0.0.1", "POST")
		out.line(t, "400", "malformed_request")
		out.line(t, strings.Repeat("x", 200))
		out.mu.Lock()
		text := out.text.String()
		out.mu.Unlock()
		if strings.Contains(text, "s3cret") {
			t.Errorf("%s: a secret was logged:\n%s", name, text)
		}
		if n := strings.Count(text, "\n"); n != 3 {
			t.Errorf("%s: three requests are %d lines:\n%s", name, n, text)
		}
		if len(text) > 3000 {
			t.Errorf("%s: a path makes a line of any length", name)
		}
	}
}

// What is refused is in the audit log, with who, from where and what for, and so is everything of routes that want it.
func TestAudit(t *testing.T) {
	audit := &logged{}
	var answered []gateway.Answered
	b := newBed(t, func(c *gateway.Config) {
		c.Audit = slog.New(slog.NewJSONHandler(audit, nil))
		c.OnAnswer = func(a gateway.Answered) { answered = append(answered, a) }
		c.Authenticator = byToken{"ada": {Subject: "ada", Session: "s-1", Factors: []string{"pwd", "otp"}}, "root": {Subject: "root", Roles: []string{"admin"}}}
		c.Backends = []gateway.Backend{{Name: "one", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})}}
		c.Table.Routes = []gateway.Route{{Methods: []string{"POST"}, Path: "/users/{id}/lock", Backend: "one", Roles: []string{"admin"}, Audit: true},
			{Methods: []string{"GET"}, Path: "/orders", Backend: "one"}}
	})
	b.ask("POST", "/users/u-1/lock", "", "Authorization", "Bearer ada")
	audit.line(t, `"level":"WARN"`, `"msg":"audit"`, `"status":403`, `"principal":"user:ada"`, `"session":"s-1"`, `"factors":"pwd otp"`, `"route":"/users/{id}/lock"`, `"path":"/users/u-1/lock"`, `"address":"127.0.0.1"`, `"code":"permission_denied"`)
	b.ask("POST", "/users/u-1/lock", "", "Authorization", "Bearer nobody")
	audit.line(t, `"level":"WARN"`, `"status":401`, `"principal":"anonymous"`, `"code":"unauthenticated"`)
	b.ask("POST", "/users/u-2/lock", "", "Authorization", "Bearer root")
	audit.line(t, `"level":"INFO"`, `"status":200`, `"principal":"user:root"`, `"path":"/users/u-2/lock"`)
	b.ask("GET", "/orders", "", "Authorization", "Bearer ada")
	b.log.line(t, `"msg":"request"`, `"path":"/orders"`, `"status":200`)
	audit.mu.Lock()
	defer audit.mu.Unlock()
	if n := strings.Count(audit.text.String(), "\n"); n != 3 {
		t.Errorf("the audit log has %d lines:\n%s", n, audit.text.String())
	}
	if len(answered) < 3 || answered[0].Route != "/users/{id}/lock" || answered[0].Status != 403 || answered[0].Method != "POST" || answered[0].Took > time.Minute {
		t.Errorf("the metrics were told %+v", answered)
	}
}
