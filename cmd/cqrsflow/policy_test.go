package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPolicyCheck(t *testing.T) {
	if code, out, _ := cqrsflow(t, "", nil, "policy", "check"); code != 0 || !strings.HasPrefix(out, "all is well: ") {
		t.Errorf("those built in: %d, %s", code, out)
	}
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.cedar")
	if err := os.WriteFile(bad, []byte("\n@id(\"x\")\npermit (principal, action == Action::\"order.v1.BurnOrder\", resource);\npermit (principal, action, resource);\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, args := range map[string][]string{"a file": {bad}, "a folder": {"--policy-dir", dir}} {
		code, out, errs := cqrsflow(t, "", nil, append([]string{"policy", "check"}, args...)...)
		if code != 1 || !strings.Contains(out, bad+":2: policy x: ") || !strings.Contains(out, bad+":4: it has no ID") || errs != "" {
			t.Errorf("%s: %d\n%s%s", name, code, out, errs)
		}
	}
	code, out, _ := cqrsflow(t, "", nil, "policy", "check", "--json", bad)
	var got checked
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 1 || len(got.Problems) != 2 || got.Problems[0].Line != 2 || got.Problems[0].Policy != "x" {
		t.Errorf("%d, %s, %v", code, out, err)
	}
	if code, _, errs := cqrsflow(t, "", nil, "policy", "check", filepath.Join(dir, "none.cedar")); code != 1 || !strings.Contains(errs, "no such file") {
		t.Errorf("no file: %d, %s", code, errs)
	}
	if code, out, _ := cqrsflow(t, "", nil, "policy", "schema"); code != 0 || !strings.Contains(out, `action "order.v1.PayOrder"`) {
		t.Errorf("schema: %d, %s", code, out)
	}
}

func TestPolicyExplain(t *testing.T) {
	for name, c := range map[string]struct {
		args                    []string
		decision, policy, scope string
	}{
		"clerk":                {[]string{"--principal", "user:bob", "--roles", "clerk", "pay", "order/o-1"}, "allow", "clerk-orders", ""},
		"customer, another's":  {[]string{"--principal", "user:ada", "--roles", "customer", "pay", "order/o-1", "--attr", "owner=bea"}, "deny", "default-deny", ""},
		"customer, own":        {[]string{"--principal", "user:ada", "--roles", "customer", "order.v1.PayOrder", "order/o-1", "--attr", "owner=ada"}, "allow", "customer-own-orders", ""},
		"customer, new":        {[]string{"--principal", "user:ada", "--roles", "customer", "place", "order/o-1", "--new", "--owner", "ada"}, "allow", "customer-places-order", ""},
		"backdated":            {[]string{"--principal", "user:bob", "--roles", "clerk", "pay", "order/o-1", "--backdated"}, "deny", "backdating", ""},
		"anonymous":            {[]string{"pay", "order/o-1"}, "deny", "default-deny", ""},
		"anonymous with roles": {[]string{"pay", "order/o-1", "--policy-anonymous-roles", "clerk"}, "allow", "clerk-orders", ""},
		"query, own":           {[]string{"--principal", "user:ada", "--roles", "customer", "orders.read"}, "allow", "customer-reads-own", "own"},
		"query, all":           {[]string{"--principal", "user:cy", "--roles", "auditor", "orders.history"}, "allow", "auditor", "all"},
		"query, none":          {[]string{"daily_sales.read"}, "deny", "default-deny", "none"},
	} {
		code, out, errs := cqrsflow(t, "", nil, append([]string{"policy", "explain", "--json"}, c.args...)...)
		var got explained
		if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 || got.Decision != c.decision || got.Policy != c.policy || got.Scope != c.scope || len(got.Policies) == 0 {
			t.Errorf("%s: %d, %v\n%s%s", name, code, err, out, errs)
		}
	}
	code, out, _ := cqrsflow(t, "", nil, "policy", "explain", "--principal", "user:ada", "--roles", "customer", "pay", "order/o-1")
	if code != 0 || !strings.HasPrefix(out, "deny    by default-deny\n") || !strings.Contains(out, `the principal is not in Role::"clerk"`) || !strings.Contains(out, "its conditions do not hold") {
		t.Errorf("for people: %d\n%s", code, out)
	}
	for want, args := range map[string][]string{
		"write user:ID, service:NAME or anonymous": {"--principal", "robot:x", "pay", "order/o-1"},
		"--principal: invalid":                     {"--principal", "user:", "pay", "order/o-1"},
		"leave --roles out":                        {"--roles", "clerk", "pay", "order/o-1"},
		`the role "Clerk"`:                         {"--principal", "user:a", "--roles", "Clerk", "pay", "order/o-1"},
		"say on what":                              {"--principal", "user:a", "pay"},
		`order has no attribute "colour"`:          {"--principal", "user:a", "pay", "order/o-1", "--attr", "colour=red"},
		`order has no command "burn"`:              {"--principal", "user:a", "burn", "order/o-1"},
		"it has no resource":                       {"--principal", "user:a", "orders.read", "order/o-1"},
	} {
		if code, _, errs := cqrsflow(t, "", nil, append([]string{"policy", "explain"}, args...)...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%s: %d, %s", want, code, errs)
		}
	}
}

// The whole program with its policies: who has a token, or signs, may what the policies say, who does not may nothing. A revoked
// session, or role, stops the very next command.
func TestDevEnforcesPolicies(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("seven lamps over the quay"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := startDev(t, dir, "--dev-password-file", password, "--log-level", "info", "--import", cdnowFile(t, 2))
	d.await("All read models are complete") // the import was signed; so were the purchases that its orders caused
	var customers struct {
		Items []struct {
			Orders int `json:"orders"`
		} `json:"items"`
	}
	if d.get("/v1/customers", &customers); len(customers.Items) == 0 || customers.Items[0].Orders == 0 {
		t.Errorf("%+v", customers)
	}
	// Users were made, register and log in: what identity asks for, it has signed.
	post := func(path, body, token string, into any) (status int) {
		t.Helper()
		resp := d.send(http.MethodPost, path, body, token)
		defer resp.Body.Close()
		if into != nil {
			if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
				t.Fatalf("%s: %v", path, err)
			}
		}
		return resp.StatusCode
	}
	if status := post("/v1/auth/register", `{"email":"ada@example.org","password":"seven lamps over the quay","name":"Ada"}`, "", nil); status != 202 {
		t.Errorf("register: %d\n%s", status, d.stderr)
	}
	login := func(role string) (token, id string) {
		t.Helper()
		var in struct{ AccessToken, ID string }
		until(t, "the sample "+role+" logs in", func() bool {
			return post("/v1/auth/login", `{"email":"`+role+`@example.com","password":"seven lamps over the quay"}`, "", &in) == 200
		})
		resp := d.send(http.MethodGet, "/v1/me", "", in.AccessToken)
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&in); err != nil || in.ID == "" {
			t.Fatalf("who is the %s: %v", role, err)
		}
		return in.AccessToken, in.ID
	}
	if out := d.client(0, "user", "list"); !strings.Contains(out, "admin@example.com") {
		t.Errorf("user list: %s", out)
	}
	body := func(customer string) string {
		return `{"customer":"` + customer + `","lines":[{"sku":"cd","quantity":1,"total":{"amount":"11.77","currency":"USD"}}]}`
	}
	customer, id := login("customer")
	clerk, clerkID := login("clerk")
	for _, tc := range []struct {
		path, body, token string
		status            int
	}{
		{"/v1/orders/o-1/place", body("ada"), "", 401},
		{"/v1/orders/o-1/place", body("ada"), "no token at all", 401},
		{"/v1/orders/o-1/place", body("ada"), customer, 403},
		{"/v1/orders/o-1/place", body(id), customer, 200},
		{"/v1/orders/o-1/pay", "{}", clerk, 200},
		{"/v1/auth/logout", "", customer, 204},
		{"/v1/orders/o-1/annotate", `{"text":"it is late"}`, customer, 401},
		{"/v1/orders/o-1/annotate", `{"text":"it is late"}`, clerk, 200},
	} {
		if status := post(tc.path, tc.body, tc.token, nil); status != tc.status {
			t.Errorf("%s %s: %d, want %d", tc.path, tc.body, status, tc.status)
		}
	}
	d.client(0, "user", "roles", clerkID, "customer")
	if status := post("/v1/orders/o-1/ship", "{}", clerk, nil); status != 401 && status != 403 {
		t.Errorf("a clerk who is none any more ships: %d", status)
	}
	if code, out, _ := cqrsflow(t, "", nil, "publish", "order/o-2", "place", body("ada"), "--kafka-brokers", d.file().Kafka); code != 1 ||
		!strings.Contains(out, "permission_denied: anonymous may not do order.v1.PlaceOrder") {
		t.Errorf("without a key: %d, %s", code, out)
	}
	d.client(0, "publish", "order/o-2", "place", body("ada"))
	if log := d.stderr.String(); !strings.Contains(log, `"msg":"denied"`) || !strings.Contains(log, `"policy":"default-deny"`) || strings.Contains(log, "11.77") {
		t.Errorf("the audit: %s", log)
	}
	metrics, err := http.Get(d.file().Ops + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer metrics.Body.Close()
	text, err := io.ReadAll(metrics.Body)
	if want := `cqrsflow_command_denials_total{aggregate="order",code="permission_denied"} `; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("the metrics lack %s: %v", want, err)
	}
}

// A mistake in the policies, or in the keys, keeps the program from starting, and says where.
func TestServeRefusesWrongPolicies(t *testing.T) {
	bad := t.TempDir()
	if err := os.WriteFile(filepath.Join(bad, "a.cedar"), []byte("\npermit (principal, action, resource);"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"serve", "--roles", "command", "--ops", "127.0.0.1:0", "--kafka-brokers", "127.0.0.1:1", "--data", t.TempDir()}
	if code, _, errs := cqrsflow(t, "", nil, append(args, "--policy-mode", "enforce", "--policy-dir", bad)...); code != 1 || !strings.Contains(errs, "a.cedar:2: it has no ID") {
		t.Errorf("%d, %s", code, errs)
	}
	code, _, errs := cqrsflow(t, "", []string{"CQRSFLOW_PRINCIPAL_KEYS=a:c2hvcnQ"}, args...)
	if code != 2 || !strings.Contains(errs, "principal.keys") || strings.Contains(errs, "c2hvcnQ") {
		t.Errorf("%d, %s", code, errs)
	}
}
