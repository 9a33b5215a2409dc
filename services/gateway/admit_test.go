package gateway_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/services/gateway"
)

// everybody is the same caller.
type everybody struct{ caller gateway.Caller }

func (e everybody) Authenticate(context.Context, *http.Request) (gateway.Caller, error) {
	return e.caller, nil
}

// byToken knows callers by their tokens.
type byToken map[string]gateway.Caller

func (b byToken) Authenticate(_ context.Context, r *http.Request) (gateway.Caller, error) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if token == "nobody can say" {
		return gateway.Caller{}, event.ErrUnavailable
	}
	c, ok := b[token]
	if !ok {
		return gateway.Caller{}, gateway.ErrUnauthenticated
	}
	return c, nil
}

// A route is open, for everybody with a token, or for roles; whoever cannot be told is nobody.
func TestWhoMayAsk(t *testing.T) {
	reached := 0
	b := newBed(t, func(c *gateway.Config) {
		c.Authenticator = byToken{"ada": {Subject: "ada", Roles: []string{"customer"}}, "root": {Subject: "root", Roles: []string{"auditor", "admin"}}}
		c.Backends = []gateway.Backend{{Name: "one", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ })}}
		c.Table.Routes = []gateway.Route{
			{Methods: []string{"GET"}, Path: "/open", Backend: "one", Open: true},
			{Methods: []string{"GET"}, Path: "/token", Backend: "one"},
			{Methods: []string{"GET"}, Path: "/roles", Backend: "one", Roles: []string{"admin", "clerk"}},
		}
	})
	for _, c := range []struct {
		path, token string
		status      int
		code        string
	}{
		{"/open", "", 200, ""}, {"/open", "bad", 200, ""},
		{"/token", "", 401, "unauthenticated"}, {"/token", "bad", 401, "unauthenticated"}, {"/token", "ada", 200, ""},
		{"/token", "nobody can say", 503, "unavailable"},
		{"/roles", "", 401, "unauthenticated"}, {"/roles", "ada", 403, "permission_denied"}, {"/roles", "root", 200, ""},
		{"/nowhere", "", 404, "not_found"},
	} {
		before := reached
		g := b.ask("GET", c.path, "", "Authorization", "Bearer "+c.token)
		if g.status != c.status || g.code() != c.code || (g.status == 200) != (reached > before) {
			t.Errorf("%s as %q: %s, want %d %s", c.path, c.token, g, c.status, c.code)
		}
		if g.status == 401 && g.header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%s: 401 without WWW-Authenticate", c.path)
		}
	}
}

// counter counts a window that never ends.
type counter struct {
	mu   sync.Mutex
	keys map[string]int
	fail bool
}

func (c *counter) Take(_ context.Context, key string, l gateway.Limit) (gateway.Decision, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail {
		return gateway.Decision{}, errors.New("the store is down")
	}
	if c.keys == nil {
		c.keys = map[string]int{}
	}
	c.keys[key]++
	n := c.keys[key]
	return gateway.Decision{Allowed: n <= l.Requests, Limit: l.Requests, Remaining: max(0, l.Requests-n), Reset: 1500 * time.Millisecond}, nil
}

// Who has used up a limit is told, and when to come again; others are not affected. Who cannot be counted is refused.
func TestLimits(t *testing.T) {
	limits := &counter{}
	b := newBed(t, func(c *gateway.Config) {
		c.Limiter = limits
		c.Authenticator = byToken{"ada": {Subject: "ada"}, "bea": {Subject: "bea"}}
		c.Backends = []gateway.Backend{{Name: "one", Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}}
		two := gateway.Limit{Name: "two", Requests: 2, Window: time.Minute}
		c.Table.Routes = []gateway.Route{
			{Methods: []string{"GET"}, Path: "/a", Backend: "one", Limits: []gateway.RouteLimit{{Limit: two, By: gateway.ByPrincipal}}},
			{Methods: []string{"GET"}, Path: "/login", Backend: "one", Open: true, Limits: []gateway.RouteLimit{{Limit: two, By: gateway.ByAddress}}},
		}
	})
	for i, want := range []int{200, 200, 429} {
		g := b.ask("GET", "/a", "", "Authorization", "Bearer ada")
		if g.status != want || g.header.Get("RateLimit-Policy") != `"two";q=2;w=60` || !strings.HasPrefix(g.header.Get("RateLimit"), `"two";r=`) {
			t.Errorf("request %d: %s", i, g)
		}
		if want == 429 {
			g.problem(t, 429, "rate_limited")
			if g.header.Get("Retry-After") != "2" {
				t.Errorf("Retry-After is %q", g.header.Get("Retry-After"))
			}
		}
		b.ask("GET", "/login", "", "X-Forwarded-For", string(rune('1'+i))+".1.1.1") // all from one address, whatever they say
	}
	if g := b.ask("GET", "/a", "", "Authorization", "Bearer bea"); g.status != 200 {
		t.Errorf("another caller: %s", g)
	}
	b.ask("GET", "/login", "").problem(t, 429, "rate_limited")
	if limits.keys["two user:ada"] != 3 || limits.keys["two address 127.0.0.1"] != 4 {
		t.Errorf("counted: %v", limits.keys)
	}
	limits.fail = true
	b.ask("GET", "/a", "", "Authorization", "Bearer ada").problem(t, 503, "unavailable")
}

func TestLimiterOptional(t *testing.T) {
	b := newBed(t, func(c *gateway.Config) {
		c.Limiter, c.LimiterOptional = &counter{fail: true}, true
		c.Table = to(remote(t, echo))
		c.Table.Routes[0].Limits = []gateway.RouteLimit{{Limit: gateway.Limit{Name: "n", Requests: 1, Window: time.Second}, By: gateway.ByRoute}}
	})
	b.ask("GET", "/", "").echo(t)
	b.log.line(t, "requests are not counted")
}

// Paths that could be seen as two things are none.
func TestPathTricks(t *testing.T) {
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(remote(t, echo))
		c.Table.Routes = []gateway.Route{
			{Methods: []string{"GET"}, Path: "/v1/orders/{id}", Backend: "one"},
			{Methods: []string{"GET"}, Path: "/v1/commands/{id}", Backend: "one", EncodedSlash: true},
			{Methods: []string{"GET", "POST"}, Path: "/files/{path...}", Backend: "one"},
		}
	})
	for path, want := range map[string]int{
		"/v1/orders/o-1": 200, "/v1/orders/o%2D1": 200, "/v1/orders/a.b": 200, "/v1/orders/...": 200,
		"/v1/orders/..": 400, "/v1/orders/.": 400, "/v1/orders/%2e%2e": 400, "/v1/orders/%2E.": 400, "/v1/orders/..;x=1": 400, "/v1/orders/..%3bx": 400,
		"/v1/orders/a%2fb": 400, "/v1/orders/..%2f..%2fadmin": 400, "/v1/orders/a%5cb": 400, "/v1/orders/a\\b": 400, "/v1/orders/a%00b": 400, "/v1/orders/a%0d%0aX: y": 400,
		"/v1/commands/a%2Fb": 200, "/v1/commands/..%2Fb": 400,
		"//v1/orders/o-1": 404, "/v1//orders/o-1": 404, "/v1/orders//": 404, "/v1/orders/": 404, "/v1/orders/o-1/": 404, "/V1/orders/o-1": 404, "/": 404,
		"/files/a/b/c": 200, "/files/a/../b": 400, "/files/a//b": 404, "/files/": 200, "/files/a/": 200, "/files//": 404,
		"/v1/orders/%252e%252e": 200, // decoded once, by whoever decodes: it is the text %2e%2e
	} {
		r := rawRequest(t, b.addr, "GET "+path+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if r.status != want {
			t.Errorf("%s: %s, want %d", path, r, want)
		}
		if want == 200 {
			if e := r.echo(t); e.Target != path {
				t.Errorf("%s arrived as %s", path, e.Target)
			}
		}
	}
}

func TestMethods(t *testing.T) {
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(remote(t, echo))
		c.Table.Routes = []gateway.Route{{Methods: []string{"GET"}, Path: "/a", Backend: "one"}, {Methods: []string{"POST"}, Path: "/{x}", Backend: "one"}}
	})
	g := b.ask("DELETE", "/a", "")
	g.problem(t, 405, "method_not_allowed")
	if g.header.Get("Allow") != "GET, HEAD, POST" {
		t.Errorf("Allow is %q", g.header.Get("Allow"))
	}
	if g := b.ask("HEAD", "/a", ""); g.status != 200 || len(g.body) != 0 {
		t.Errorf("HEAD: %s", g)
	}
	if e := b.ask("POST", "/a", "x").echo(t); e.Method != "POST" {
		t.Errorf("POST arrived as %s", e.Method)
	}
	for _, m := range []string{"TRACE", "CONNECT", "OPTIONS", "BREW"} {
		b.ask(m, "/a", "").problem(t, 405, "method_not_allowed")
	}
}
