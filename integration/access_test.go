package integration_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/integration/harness"
)

// Every operation works for whom the policies permit it, and for nobody else: through the gateway, on dev, and on real servers in
// one process with all roles. And who has been revoked is stopped at the very next request.
func TestAccess(t *testing.T) {
	t.Run("dev", func(t *testing.T) {
		d := harness.NewDev(t)
		access(t, d.Start(t))
		d.Stop(t)
	})
	t.Run("servers", func(t *testing.T) {
		s := harness.OnContainers(t)
		keys := filepath.Join(t.TempDir(), "keys")
		s.Must(t, "keys", keys)
		r := s.Serve(t, strings.Join(harness.AllRoles, ",")+",identity,gateway", "--policy-mode", "enforce", "--gateway-limits", "shared",
			"--principal-keys-file", filepath.Join(keys, "principal-keys"), "--identity-token-keys", filepath.Join(keys, "token-keys"),
			"--identity-keks-file", filepath.Join(keys, "keks"), "--identity-index-key-file", filepath.Join(keys, "index-key"),
			"--identity-issuer", "https://shop.example", "--identity-public-url", "https://shop.example", "--identity-second-factor=false",
			"--identity-mail-from", "shop@example.com", "--identity-outbox", filepath.Join(t.TempDir(), "outbox"))
		r.AwaitReady(t)
		access(t, s.Target)
		r.Stop(t)
	})
}

// person is a user who has logged in.
type person struct{ id, token, password string }

type accessible struct {
	harness.Target
	t                                                    *testing.T
	customer, other, clerk, auditor, admin, nobody, gone person
}

func access(t *testing.T, g harness.Target) {
	a := &accessible{Target: g, t: t}
	for role, p := range map[string]*person{"customer": &a.customer, "customer ": &a.other, "clerk": &a.clerk, "auditor": &a.auditor, "admin": &a.admin, "": &a.nobody, " ": &a.gone} {
		*p = a.person(fmt.Sprintf("%q", role), strings.TrimSpace(role))
	}
	a.open()
	a.operations()
	a.revoked()
}

// person makes a user with a role, who logs in.
func (a *accessible) person(name, role string) person {
	a.t.Helper()
	address := fmt.Sprintf("u%x@access.example", name)
	args := []string{"user", "create", address, "--name", "Somebody", "--json"}
	if role != "" {
		args = append(args, "--roles", role)
	}
	var made struct{ ID, Password string }
	harness.Answer{Body: []byte(a.Must(a.t, args...).Stdout)}.Into(a.t, &made)
	return person{made.ID, a.login(address, made.Password), made.Password}
}

func (a *accessible) login(address, password string) string {
	a.t.Helper()
	var tokens struct{ AccessToken string }
	// Who logs in is found by a read model, which may be a moment behind.
	harness.Eventually(a.t, harness.Patience, address+" logs in", func() error {
		got := a.as(person{}, http.MethodPost, "/v1/auth/login", fmt.Sprintf(`{"email":%q,"password":%q}`, address, password))
		if got.Status != http.StatusOK {
			return fmt.Errorf("%s", got)
		}
		got.Into(a.t, &tokens)
		return nil
	})
	return tokens.AccessToken
}

// as sends a request with somebody's token; nobody in particular has none.
func (a *accessible) as(p person, method, path, body string, headers ...string) harness.Answer {
	a.t.Helper()
	authorization := "Authorization: "
	if p.token != "" {
		authorization += "Bearer " + p.token
	}
	return a.Do(a.t, method, path, body, append([]string{authorization}, headers...)...)
}

// open are the operations that need no token; what they want instead, they say themselves.
func (a *accessible) open() {
	for _, op := range [][2]string{{"GET", "/openapi.json"}, {"GET", "/docs"}, {"GET", "/.well-known/jwks.json"}, {"POST", "/v1/auth/register"}, {"POST", "/v1/auth/confirm"},
		{"POST", "/v1/auth/login"}, {"POST", "/v1/auth/mfa"}, {"POST", "/v1/auth/refresh"}, {"POST", "/v1/auth/password/reset"}, {"POST", "/v1/auth/password/reset/confirm"}} {
		if got := a.as(person{}, op[0], op[1], ""); got.Code() == "unauthenticated" || got.Status >= 500 || op[0] == http.MethodGet && got.Status != 200 {
			a.t.Errorf("%s %s without a token: %s", op[0], op[1], got)
		}
	}
}

// operation is one of api.md: who may do it, with what answer, and who may not.
type operation struct {
	method, path, body string
	right              person
	want               int
	wrong              person
	refused            int
}

func (a *accessible) operations() {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	order := fmt.Sprintf(`{"customer":%q,"lines":[{"sku":"cd","name":"A disc","quantity":1,"total":{"amount":"11.77","currency":"USD"}}]}`, a.customer.id)
	one, two := "/v1/orders/"+a.customer.id+"-1", "/v1/orders/"+a.customer.id+"-2"
	trial := "/v1/experiments/e-" + a.customer.id
	plan := `{"plan":{"unit":"customer","units":400,"aggregate":"order","variants":[{"name":"v1","weight":5000},{"name":"v2","weight":5000}],` +
		`"primary":{"name":"rating","kind":"mean"}}}`
	for _, op := range []operation{
		{post, one + "/place", order, a.customer, 200, a.other, 403},
		{post, two + "/place", order, a.clerk, 200, a.auditor, 403},
		{post, one + "/add-line", `{"sku":"lp","name":"A record","quantity":1,"total":{"amount":"20.00","currency":"USD"}}`, a.customer, 200, a.other, 403},
		{post, one + "/remove-line", `{"sku":"lp"}`, a.customer, 200, a.other, 403},
		{post, one + "/annotate", `{"text":"a gift"}`, a.customer, 200, a.nobody, 403},
		{post, one + "/pay", "{}", a.customer, 200, a.other, 403},
		{post, one + "/ship", "{}", a.clerk, 200, a.auditor, 403},
		{post, one + "/deliver", "{}", a.admin, 200, a.auditor, 403},
		{post, two + "/cancel", "{}", a.customer, 200, a.other, 403},
		{get, one, "", a.customer, 200, a.other, 404},
		{get, "/v1/orders", "", a.customer, 200, a.nobody, 403},
		{get, "/v1/orders/search", "", a.clerk, 200, a.nobody, 403},
		{get, "/v1/customers/" + a.customer.id, "", a.customer, 200, a.other, 404},
		{get, "/v1/customers", "", a.auditor, 200, a.clerk, 403},
		{get, "/v1/sales/daily", "", a.auditor, 200, a.customer, 403},
		{get, one + "/events", "", a.auditor, 200, a.clerk, 403},
		{get, one + "/state", "", a.auditor, 200, a.customer, 403},
		{get, one + "/commands/pay", "", a.customer, 200, a.other, 404},
		{get, one + "/overview", "", a.auditor, 200, a.nobody, 403},
		{get, "/asyncapi.json", "", a.nobody, 200, person{}, 401},
		{get, "/v1/me", "", a.nobody, 200, person{}, 401},
		{get, "/v1/auth/sessions", "", a.nobody, 200, person{}, 401},
		{del, "/v1/auth/sessions/none", "", a.nobody, 404, person{}, 401},
		{post, "/v1/auth/mfa/totp", "{}", a.nobody, 200, person{}, 401},
		{post, "/v1/auth/mfa/totp/activate", `{"code":"000000"}`, a.nobody, 422, person{}, 401},
		{del, "/v1/auth/mfa/totp", "", a.nobody, 409, person{}, 401},
		{post, "/v1/auth/mfa/recovery-codes", "{}", a.nobody, 409, person{}, 401},
		{post, "/v1/auth/password", fmt.Sprintf(`{"current":%q,"new":"eight grey geese in a row"}`, a.nobody.password), a.nobody, 204, person{}, 401},
		{get, "/v1/users", "", a.admin, 200, a.auditor, 403},
		{get, "/v1/users/" + a.gone.id, "", a.admin, 200, a.clerk, 403},
		{post, "/v1/users/" + a.gone.id + "/roles", `{"roles":["clerk"]}`, a.admin, 204, a.clerk, 403},
		{post, "/v1/users/" + a.gone.id + "/lock", `{"reason":"reported_stolen"}`, a.admin, 204, a.clerk, 403},
		{post, "/v1/users/" + a.gone.id + "/unlock", "{}", a.admin, 204, a.clerk, 403},
		{post, "/v1/users/" + a.gone.id + "/forget", "{}", a.admin, 200, a.clerk, 403},
		{post, trial + "/define", plan, a.admin, 200, a.clerk, 403},
		{post, trial + "/start", "{}", a.admin, 200, a.auditor, 403},
		{post, trial + "/outcomes", `{"unit":"ada","metric":"rating","value":4}`, a.admin, 200, a.customer, 403},
		{get, trial + "/assignment?unit=" + a.customer.id, "", a.customer, 200, a.other, 403},
		{post, trial + "/stop", "{}", a.admin, 200, a.clerk, 403},
		{get, "/v1/experiments", "", a.auditor, 200, a.customer, 403},
		{get, trial, "", a.auditor, 200, a.customer, 403},
		{get, trial + "/results", "", a.auditor, 200, a.customer, 403},
		{post, trial + "/decide", `{"variant":"v1","reason":"it is simpler"}`, a.admin, 200, a.clerk, 403},
	} {
		a.operation(op)
	}
	// A batch is answered line by line.
	line := fmt.Sprintf(`{"aggregate":"order","id":"%s-1","command":"annotate","data":{"text":"again"}}`, a.customer.id)
	for p, want := range map[person]string{a.customer: `"status":200`, a.other: `"status":403`, a.auditor: `"status":403`} {
		if got := a.as(p, post, "/v1/commands", line, "Content-Type: application/x-ndjson"); !strings.Contains(string(got.Body), want) {
			a.t.Errorf("a batch lacks %s: %s", want, got)
		}
	}
	if got := a.as(person{}, post, "/v1/commands", line, "Content-Type: application/x-ndjson"); got.Status != 401 {
		a.t.Errorf("a batch without a token: %s", got)
	}
	// Logging out ends the session of the token, at once.
	a.operation(operation{post, "/v1/auth/logout", "", a.nobody, 204, person{}, 401})
	if got := a.as(a.nobody, get, "/v1/me", ""); got.Status != 401 {
		a.t.Errorf("after logging out: %s", got)
	}
}

func (a *accessible) operation(op operation) {
	a.t.Helper()
	var headers []string
	if strings.HasSuffix(op.path, "/pay") {
		headers = []string{"Idempotency-Key: pay", "Cqrs-Wait-For: sql, search, history"}
	}
	if got := a.as(person{}, op.method, op.path, op.body, headers...); got.Status != 401 || got.Code() != "unauthenticated" {
		a.t.Errorf("%s %s without a token: %s", op.method, op.path, got)
	}
	if got := a.as(op.wrong, op.method, op.path, op.body, headers...); got.Status != op.refused || strings.Contains(string(got.Body), "default-deny") {
		a.t.Errorf("%s %s with the wrong role, want %d: %s", op.method, op.path, op.refused, got)
	}
	// Read models follow.
	err := harness.Until(30*time.Second, func() error {
		if got := a.as(op.right, op.method, op.path, op.body, headers...); got.Status != op.want {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
	if err != nil {
		a.t.Errorf("%s %s with the right role, want %d: %v", op.method, op.path, op.want, err)
	}
}

// revoked: a session that has ended and a role that was taken away are refused, however long the token would last.
func (a *accessible) revoked() {
	path := "/v1/orders/" + a.customer.id + "-1/annotate"
	a.Must(a.t, "user", "roles", a.clerk.id, "customer")
	if got := a.as(a.clerk, http.MethodPost, path, `{"text":"still here"}`); got.Status != 401 && got.Status != 403 {
		a.t.Errorf("a clerk that is none any more: %s", got)
	}
	a.Must(a.t, "user", "lock", a.admin.id, "--reason", "reported_stolen")
	if got := a.as(a.admin, http.MethodPost, path, `{"text":"still here"}`); got.Status != 401 && got.Status != 403 {
		a.t.Errorf("an administrator who is locked: %s", got)
	}
	harness.Eventually(a.t, harness.Patience, "queries are refused, too", func() error {
		if got := a.as(a.admin, http.MethodGet, "/v1/orders", ""); got.Status != 401 {
			return fmt.Errorf("%s", got)
		}
		return nil
	})
}
