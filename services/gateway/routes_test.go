package gateway_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/services/gateway"
)

func parse(t *testing.T, text string) gateway.Table {
	t.Helper()
	table, err := gateway.ParseTable("routes.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestFile(t *testing.T) {
	table := parse(t, `
limits: {slow: {requests: 3, window: 1m, by: address}}
backends:
  billing:
    addresses: [http://10.0.0.7:8080, "https://billing.example"]
    max_in_flight: 7
    breaker: {failures: 2, rest: 1s}
    health: {port: 9080, path: /livez, every: 1s, timeout: 200ms}
routes:
  - {get: "/v1/invoices/{id}", backend: billing, auth: [clerk, admin], timeout: 3s, waits: true, retries: 2, max_body: 64KiB, limits: [slow], audit: true, command: false, encoded_slash: true}
  - {methods: [PUT, DELETE], path: /x, backend: billing, auth: token}
`)
	rt, b := table.Routes[0], table.Backends[0]
	if !slices.Equal(rt.Methods, []string{"GET"}) || rt.Path != "/v1/invoices/{id}" || rt.Backend != "billing" || rt.Open || !slices.Equal(rt.Roles, []string{"clerk", "admin"}) ||
		rt.Timeout != 3*time.Second || !rt.Waits || rt.Retries != 2 || rt.MaxBody != 64<<10 || !rt.Audit || !rt.EncodedSlash || rt.Command ||
		rt.Limits[0] != (gateway.RouteLimit{Limit: gateway.Limit{Name: "slow", Requests: 3, Window: time.Minute}, By: gateway.ByAddress}) {
		t.Errorf("the route is %+v", rt)
	}
	if b.Name != "billing" || len(b.URLs) != 2 || b.MaxInFlight != 7 || b.Breaker != (gateway.Breaker{Failures: 2, Rest: time.Second}) ||
		b.Health != (gateway.Health{Port: 9080, Path: "/livez", Every: time.Second, Timeout: 200 * time.Millisecond}) {
		t.Errorf("the backend is %+v", b)
	}
	if m := table.Routes[1].Methods; !slices.Equal(m, []string{"PUT", "DELETE"}) {
		t.Errorf("the methods are %v", m)
	}
}

// Everything that is wrong in a file is said, by line.
func TestFileMistakes(t *testing.T) {
	_, err := gateway.ParseTable("routes.yaml", []byte(`limits: {Bad Name: {requests: 0, window: 1m}}
backends:
  a: {addresses: [ftp://x, "http://u:p@x", "http://x/path"], max_in_flight: many}
  b: {}
routes:
  - {get: /a, backend: a, timeout: soon}
  - {get: /b, backend: a, max_body: 3 apples}
  - {get: /c, backend: a, limits: [none]}
  - {get: /d, backend: a, auth: nobody}
  - {get: /e, beckend: a}
  - {post: /f, backend: a, retries: 1}
  - {get: /g}
  - {get: /h, backend: a, parts: {x: {get: /a}}}
  - {methods: [BREW], path: /i, backend: a}
  - {get: /j, backend: a, get: /k}
  - just text
`))
	if !errors.Is(err, event.ErrConfig) {
		t.Fatalf("the error is %v", err)
	}
	for _, want := range []string{
		`routes.yaml:1: requests is "0"; it must be a whole number from 1 to 1000000`, `routes.yaml:1: the limit "Bad Name" needs a name`,
		`routes.yaml:3: an address is "ftp://x"; it must be a base URL`, `routes.yaml:3: max_in_flight is "many"`, `routes.yaml:4: the backend b needs addresses`,
		`routes.yaml:6: timeout is "soon"; it must be a duration`, `routes.yaml:7: max_body is "3 apples"; it must be a size`, `routes.yaml:8: there is no limit "none"`,
		`routes.yaml:9: auth must be open, token, or a list of roles`, `routes.yaml:10: a route has no key "beckend"; there are audit, auth, backend,`,
		`routes.yaml:11: the route /f has retries, but takes no method that is ever sent again`, `routes.yaml:12: the route /g needs a backend, or parts`,
		`routes.yaml:13: the route /h has a backend and parts`, `routes.yaml:14: a method is "BREW"`, `routes.yaml:15: the key "get" is there twice`, `routes.yaml:16: a route must be a map`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("it does not say %s", want)
		}
	}
	if t.Failed() {
		t.Log(err)
	}
	if strings.Contains(err.Error(), "u:p@") {
		t.Errorf("it shows a password: %v", err)
	}
	if _, err := gateway.ParseTable("x.yaml", []byte("routes: [\n")); err == nil || !strings.Contains(err.Error(), "x.yaml: line") {
		t.Errorf("what is no YAML: %v", err)
	}
	if _, err := gateway.ReadTable(filepath.Join(t.TempDir(), "none")); !errors.Is(err, event.ErrConfig) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

// What contradicts itself is found when the gateway is made, and by line, too.
func TestTableMistakes(t *testing.T) {
	const head = "backends: {a: {addresses: [http://127.0.0.1:1]}}\nroutes:\n"
	for text, want := range map[string]string{
		"  - {get: /x, backend: b}":                                        `routes.yaml:3: the route /x has the backend "b", which is nowhere`,
		"  - {get: x, backend: a}":                                         `routes.yaml:3: the path "x" must begin with a slash`,
		"  - {get: /a//b, backend: a}":                                     `routes.yaml:3: the path "/a//b" has an empty segment`,
		"  - {get: /a/../b, backend: a}":                                   `routes.yaml:3: the segment ".." of the path`,
		"  - {get: \"/{a...}/b\", backend: a}":                             `routes.yaml:3: {a...} of the path "/{a...}/b" must be its last segment`,
		"  - {get: \"/{a\", backend: a}":                                   `routes.yaml:3: the segment "{a" of the path`,
		"  - {get: \"/{a}\", backend: a}\n  - {get: \"/{b}\", backend: a}": `routes.yaml:4: GET /{b} takes the same requests as /{a} of routes.yaml:3`,
		"  - {get: /x, parts: {p: {get: /y, required: true}}}":             `routes.yaml:3: the part p of /x: no route with a backend takes GET /y`,
		"  - {get: /y, backend: a}\n  - {get: /x, parts: {p: {get: /y}}}":  `routes.yaml:4: the route /x needs one part that is required`,
		"  - {get: /y, backend: a}\n  - {get: /x, parts: {p: {get: \"/y?a={q.b}\", required: true}, q: {get: \"/y?a={p.b}\"}}}": `routes.yaml:4: the part p of /x is made of itself`,
		"  - {get: /y, backend: a}\n  - {get: /x, parts: {p: {get: \"/y?a={z}\", required: true}}}":                             `routes.yaml:4: the part p of /x: {z} is no variable of the path /x`,
		"  - {get: /y, backend: a}\n  - {get: /x, parts: {p: {get: \"/y?a={r.s}\", required: true}}}":                           `routes.yaml:4: the part p of /x: {r.s}: there is no part r`,
		"  - {get: /y, backend: a}\n  - {get: /x, parts: {p: {get: \"/y?a={p.s}\", required: true}}}":                           `routes.yaml:4: the part p of /x: {p.s} is what the part itself answers`,
		"  - {get: /y, backend: a}\n  - {get: /x, parts: {errors: {get: /y, required: true}}}":                                  `routes.yaml:4: the part errors of /x: a part needs a name`,
	} {
		_, err := gateway.New(gateway.Config{Table: parse(t, head+text), Unguarded: true})
		if !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s\nsays %v\nwant %s", text, err, want)
		}
	}
	for name, c := range map[string]gateway.Config{
		"no authenticator":      {},
		"two ways":              {Unguarded: true, Authenticator: everybody{}},
		"an origin with a path": {Unguarded: true, Origins: []string{"https://shop.example/x"}},
		"a backend of nothing":  {Unguarded: true, Backends: []gateway.Backend{{Name: "a"}}},
	} {
		if _, err := gateway.New(c); !errors.Is(err, event.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// operations are all of the HTTP contract, with the roles that a caller needs: "open", "token" or names.
const operations = `
GET /openapi.json open
GET /asyncapi.json open
GET /docs open
GET /.well-known/jwks.json open
POST /v1/auth/register open
POST /v1/auth/confirm open
POST /v1/auth/login open
POST /v1/auth/mfa open
POST /v1/auth/refresh open
POST /v1/auth/password/reset open
POST /v1/auth/password/reset/confirm open
POST /v1/auth/logout token
GET /v1/auth/sessions token
DELETE /v1/auth/sessions/s-1 token
GET /v1/me token
POST /v1/auth/mfa/totp token
DELETE /v1/auth/mfa/totp token
POST /v1/auth/mfa/totp/activate token
POST /v1/auth/mfa/recovery-codes token
POST /v1/auth/password token
GET /v1/users admin
GET /v1/users/u-1 admin
POST /v1/users/u-1/roles admin
POST /v1/users/u-1/lock admin
POST /v1/users/u-1/unlock admin
POST /v1/users/u-1/forget admin
POST /v1/orders/o-1/place token
POST /v1/orders/o-1/add-line token
POST /v1/commands token
GET /v1/orders token
GET /v1/orders/search token
GET /v1/orders/o-1 token
GET /v1/orders/o-1/events token
GET /v1/orders/o-1/state token
GET /v1/orders/o-1/commands/c%2F1 token
GET /v1/customers token
GET /v1/customers/c-1 token
GET /v1/customers/c-1/events token
GET /v1/sales/daily token
POST /v1/experiments/e-1/define token
POST /v1/experiments/e-1/start token
POST /v1/experiments/e-1/stop token
POST /v1/experiments/e-1/decide token
POST /v1/experiments/e-1/outcomes token
GET /v1/experiments token
GET /v1/experiments/e-1 token
GET /v1/experiments/e-1/results token
GET /v1/experiments/e-1/assignment token`

// The built-in routes cover every operation of the contract, each with its backend and its requirement.
func TestDefaults(t *testing.T) {
	answers := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Via-Backend", name) })
	}
	b := newBed(t, func(c *gateway.Config) {
		c.Table = gateway.Defaults()
		for _, name := range []string{"api", "identity"} {
			c.Backends = append(c.Backends, gateway.Backend{Name: name, Handler: answers(name)})
		}
		c.Authenticator = byToken{"some": {Subject: "u-1", Roles: []string{"customer"}}, "admin": {Subject: "u-2", Roles: []string{"admin"}}}
	})
	for line := range strings.Lines(strings.TrimSpace(operations)) {
		f := strings.Fields(line)
		method, path, needs := f[0], f[1], f[2]
		backend := "api"
		switch {
		case strings.HasPrefix(path, "/v1/auth"), strings.HasPrefix(path, "/v1/users"), path == "/v1/me", strings.HasPrefix(path, "/.well"):
			backend = "identity"
		}
		for token, want := range map[string]int{"": map[bool]int{true: 200, false: 401}[needs == "open"], "some": map[bool]int{true: 403, false: 200}[needs == "admin"], "admin": 200} {
			g := b.ask(method, path, "", "Authorization", "Bearer "+token)
			if g.status != want || want == 200 && g.header.Get("Via-Backend") != backend {
				t.Errorf("%s %s as %q: %s, want %d of %s", method, path, token, g, want, backend)
			}
		}
	}
	if g := b.ask("GET", "/v1/orders/o-1/overview", "", "Authorization", "Bearer some"); g.code() == "not_found" {
		t.Errorf("the overview: %s", g)
	}
}

// Routes of a backend that is not there are not there.
func TestDefaultsOfOtherBackendsAreLeftOut(t *testing.T) {
	g, err := gateway.New(gateway.Config{Table: gateway.Defaults(), Unguarded: true, Backends: []gateway.Backend{{Name: "identity", Handler: http.NotFoundHandler()}}})
	if err != nil {
		t.Fatal(err)
	}
	if all := g.Routes(); slices.Contains(all, "GET /v1/orders") || slices.Contains(all, "GET /v1/orders/{id}/overview") || !slices.Contains(all, "GET /v1/me") {
		t.Errorf("the routes are %v", all)
	}
}

// A file of one's own takes the place of what it names.
func TestOver(t *testing.T) {
	below := parse(t, "backends: {a: {addresses: [http://a]}, b: {addresses: [http://b]}}\nroutes: [{methods: [GET, POST], path: /x, backend: a}, {get: /y, backend: b}]")
	above := parse(t, "backends: {a: {addresses: [http://other]}}\nroutes: [{get: /x, backend: a, auth: open}]")
	got := above.Over(below)
	if len(got.Backends) != 2 || got.Backends[0].URLs[0] != "http://other" || len(got.Routes) != 3 || !got.Routes[0].Open || !slices.Equal(got.Routes[1].Methods, []string{"POST"}) {
		t.Errorf("together they are %+v", got)
	}
	alone := parse(t, "builtin: false\nroutes: []")
	if got := alone.Over(below); len(got.Routes) != 0 {
		t.Errorf("alone it has %v", got.Routes)
	}
}
