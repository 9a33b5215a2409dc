package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/services/gateway"
	"github.com/cqrsflow/cqrsflow/services/httpserver"
)

// echo answers with the request that it got.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(echoed{r.Method, r.RequestURI, r.RemoteAddr, r.Host, r.Header, string(body)})
}

type echoed struct {
	Method, Target, Remote, Host string
	Header                       http.Header
	Body                         string
}

func (g got) echo(t *testing.T) echoed {
	t.Helper()
	var e echoed
	if g.status != http.StatusOK || json.Unmarshal(g.body, &e) != nil {
		t.Fatalf("no echo: %s", g)
	}
	return e
}

// What is handed on is what was sent, but for what a client must not say.
func TestHandedOn(t *testing.T) {
	b := newBed(t, func(c *gateway.Config) { c.Table = to(remote(t, echo)) })
	e := b.ask("PUT", "/v1/a%2Db/c;d?q=%zz&x=1;y", "hello", "X-Custom", "mine", "Authorization", "Bearer t", "Cqrs-After", "order/1@2").echo(t)
	if e.Method != "PUT" || e.Target != "/v1/a%2Db/c;d?q=%zz&x=1;y" || e.Body != "hello" {
		t.Errorf("it arrived as %+v", e)
	}
	for name, want := range map[string]string{"X-Custom": "mine", "Authorization": "Bearer t", "Cqrs-After": "order/1@2", "X-Forwarded-For": "127.0.0.1",
		"X-Forwarded-Host": b.addr, "X-Forwarded-Proto": "http"} {
		if got := strings.Join(e.Header[name], "|"); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// spoofed are headers by which a client may try to be somebody or somewhere else, or to reach something else.
var spoofed = []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port", "X-Forwarded-User", "X-Forwarded-Prefix", "Forwarded", "X-Real-Ip", "True-Client-Ip",
	"X-User-Id", "X-User-Roles", "X-Auth-Request-User", "Cqrs-Principal", "Cqrs-Auth", "Cqrs-Anything", "X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "Via", "Proxy",
	"X_user_id", "Upgrade", "Http2-Settings", "Origin", "Sec-Fetch-Site"}

// No header by which a client could be somebody or somewhere else gets through, to another host or within the process.
func TestSpoofedHeaders(t *testing.T) {
	away := to(remote(t, echo))
	here := gateway.Table{Routes: []gateway.Route{everything("one")}}
	for name, table := range map[string]gateway.Table{"remote": away, "inside": here} {
		b := newBed(t, func(c *gateway.Config) {
			c.Table = table
			if name == "inside" {
				c.Backends = []gateway.Backend{{Name: "one", Handler: http.HandlerFunc(echo)}}
			}
		})
		var headers []string
		for _, h := range spoofed {
			value := "203.0.113.66, evil"
			if h == "Sec-Fetch-Site" {
				value = "same-origin"
			}
			headers = append(headers, h, value)
		}
		e := b.ask("GET", "/x", "", headers...).echo(t)
		for name, values := range e.Header {
			if text := strings.Join(values, "|"); strings.Contains(text, "evil") {
				t.Errorf("%s: %s got through", name, text)
			}
		}
		if !strings.HasPrefix(e.Remote, "127.0.0.1") || strings.Contains(e.Header.Get("X-Forwarded-For"), "203.0.113") {
			t.Errorf("%s: it comes from %s, %v", name, e.Remote, e.Header["X-Forwarded-For"])
		}
	}
}

// What the gateway says itself of a request is not for Connection to remove.
func TestConnectionRemovesNothingOfOurs(t *testing.T) {
	keys := keyring(t)
	b := newBed(t, func(c *gateway.Config) {
		c.Table, c.Keys, c.Authenticator = to(remote(t, echo)), keys, everybody{gateway.Caller{Subject: "u-1"}}
	})
	e := b.ask("GET", "/x", "", "Connection", "Cqrs-Principal, X-Forwarded-For").echo(t)
	if e.Header.Get("Cqrs-Principal") == "" || e.Header.Get("X-Forwarded-For") != "127.0.0.1" {
		t.Errorf("it arrived with %v", e.Header)
	}
}

// Only trusted proxies say where a request came from, in the one header that they are known by.
func TestTrustedProxies(t *testing.T) {
	url := remote(t, echo)
	for _, c := range []struct{ trusted, by, sent, value, want string }{
		{"127.0.0.0/8", httpserver.XForwardedFor, "X-Forwarded-For", "6.6.6.6, 203.0.113.7", "203.0.113.7"},
		{"127.0.0.0/8", httpserver.XForwardedFor, "X-Forwarded-For", "6.6.6.6, 203.0.113.7, 127.0.0.9", "203.0.113.7"},
		{"127.0.0.0/8", httpserver.XForwardedFor, "X-Forwarded-For", "203.0.113.7, nonsense", "127.0.0.1"},
		{"127.0.0.0/8", httpserver.XForwardedFor, "Forwarded", "for=203.0.113.7", "127.0.0.1"},
		{"127.0.0.0/8", httpserver.Forwarded, "Forwarded", `for=6.6.6.6, for="[2001:db8::7]:99";proto=https`, "2001:db8::7"},
		{"10.0.0.0/8", httpserver.XForwardedFor, "X-Forwarded-For", "203.0.113.7", "127.0.0.1"},
	} {
		b := newBed(t, func(g *gateway.Config) {
			g.Table = to(url)
			g.Proxies = httpserver.Proxies{Trusted: []netip.Prefix{netip.MustParsePrefix(c.trusted)}, By: c.by}
		})
		if e := b.ask("GET", "/", "", c.sent, c.value).echo(t); e.Header.Get("X-Forwarded-For") != c.want {
			t.Errorf("%+v: it comes from %s", c, e.Header.Get("X-Forwarded-For"))
		}
	}
}

// A request has a trace and an ID: the client's where it has any that can be used, and they are told.
func TestTraceAndRequestID(t *testing.T) {
	b := newBed(t, func(c *gateway.Config) { c.Table = to(remote(t, echo)) })
	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	g := b.ask("GET", "/", "", "Traceparent", "00-"+trace+"-00f067aa0ba902b7-01", "Tracestate", "a=b", "X-Request-Id", "r-1")
	e := g.echo(t)
	if p := e.Header.Get("Traceparent"); !strings.HasPrefix(p, "00-"+trace+"-") || !strings.HasSuffix(p, "-01") || strings.Contains(p, "00f067aa0ba902b7") {
		t.Errorf("traceparent is %s", p)
	}
	if e.Header.Get("X-Request-Id") != "r-1" || e.Header.Get("Tracestate") != "a=b" || g.header.Get("X-Request-Id") != "r-1" || g.header.Get("Cqrs-Trace-Id") != trace {
		t.Errorf("it arrived with %v and was answered with %v", e.Header, g.header)
	}
	g = b.ask("GET", "/", "", "Traceparent", "00-0-0-0", "Tracestate", "a=b", "X-Request-Id", strings.Repeat("x", 200))
	e = g.echo(t)
	if !regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(g.header.Get("Cqrs-Trace-Id")) || g.header.Get("X-Request-Id") != g.header.Get("Cqrs-Trace-Id") ||
		e.Header.Get("Tracestate") != "" || e.Header.Get("X-Request-Id") != "" {
		t.Errorf("it arrived with %v and was answered with %v", e.Header, g.header)
	}
}

// Nothing of what is behind the gateway gets out: headers, error pages, and what the system says.
func TestNothingInternalGetsOut(t *testing.T) {
	url := remote(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "nginx/1.2.3")
		w.Header().Set("X-Powered-By", "PHP")
		w.Header().Set("Cqrs-Internal", "x")
		w.Header().Set("Cqrs-Position", "order/1@2")
		w.Header().Set("Content-Type", "text/html")
		var status int
		_, _ = fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<h1>db-7.internal: connection refused</h1>")
	})
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(url)
		c.Table.Backends[0].Breaker.Failures = 1000
		c.Table.Backends = append(c.Table.Backends, gateway.Backend{Name: "dead", URLs: []string{"http://127.0.0.1:1"}})
		c.Table.Routes = append(c.Table.Routes, gateway.Route{Methods: []string{"GET", "POST"}, Path: "/dead", Backend: "dead"})
	})
	for _, status := range []int{500, 502, 503, 504, 599} {
		b.ask("GET", fmt.Sprintf("/%d", status), "").problem(t, 502, "bad_gateway")
	}
	b.ask("GET", "/dead", "").problem(t, 503, "unavailable")
	b.ask("POST", "/dead", "{}", "Idempotency-Key", "k").problem(t, 503, "unavailable")
	g := b.ask("GET", "/200", "")
	if g.status != 200 || g.header.Get("Server") != "" || g.header.Get("X-Powered-By") != "" || g.header.Get("Cqrs-Internal") != "" || g.header.Get("Cqrs-Position") == "" {
		t.Errorf("the answer is %s", g)
	}
	for _, path := range []string{"/500", "/dead"} {
		if g := b.ask("GET", path, ""); regexp.MustCompile(`internal:|127\.0|refused|dial`).Match(g.body) {
			t.Errorf("it says what it must not: %s", g)
		}
	}
}

// A backend's own problems pass as they are.
func TestProblemsOfBackendsPass(t *testing.T) {
	url := remote(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(503)
		_, _ = io.WriteString(w, `{"code":"projection_behind"}`)
	})
	b := newBed(t, func(c *gateway.Config) { c.Table = to(url) })
	for range 20 { // and they say nothing about whether the backend answers
		b.ask("GET", "/", "").problem(t, 503, "projection_behind")
	}
}

// A request that was handed on and not answered may have been taken: a command's problem says so, with its ID.
func TestOutcomeUnknown(t *testing.T) {
	url := remote(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(url)
		c.Table.Routes[0].Command = true
	})
	g := b.ask("POST", "/v1/orders/o-1/place", "{}", "Idempotency-Key", "k-1")
	g.problem(t, 504, "outcome_unknown")
	if !strings.Contains(string(g.body), `"commandId":"k-1"`) {
		t.Errorf("it does not name the command: %s", g)
	}
	g = b.ask("POST", "/v1/orders/o-1/place", "{}")
	g.problem(t, 504, "outcome_unknown")
	if !regexp.MustCompile(`"commandId":"[0-9a-f-]{36}"`).Match(g.body) {
		t.Errorf("it does not name the command: %s", g)
	}
	b.ask("GET", "/v1/orders/o-1", "").problem(t, 502, "bad_gateway")
}

// A backend on another host believes who asks only by the signature, for that very request.
func TestTrust(t *testing.T) {
	keys, others := keyring(t), keyring(t)
	var seen principal.Principal
	behind := gateway.Trust(keys, slog.New(slog.DiscardHandler), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = principal.FromContext(r.Context())
		echo(w, r)
	}))
	url := remote(t, behind.ServeHTTP)
	caller := gateway.Caller{Subject: "u-1", Session: "s-1", Roles: []string{"clerk", "auditor"}}
	b := newBed(t, func(c *gateway.Config) {
		c.Table, c.Keys, c.Authenticator = to(url), keys, everybody{caller}
	})
	if e := b.ask("GET", "/v1/orders?q=%22a%22&b", "").echo(t); seen.String() != "user:u-1" || seen.Session != "s-1" || !seen.Has("auditor") || e.Header.Get("Cqrs-Principal") != "" {
		t.Errorf("the backend saw %+v, %v", seen, e.Header)
	}
	sign := func(k *principal.Keyring, method, target string, expires time.Time) string {
		v, err := k.SignRequest(principal.Principal{Kind: principal.User, ID: "u-1"}, method, target, expires)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	soon := time.Now().Add(time.Minute)
	for name, c := range map[string]struct {
		value string
		ok    bool
	}{
		"its own":       {sign(keys, "GET", "/a?b", soon), true},
		"of another":    {sign(keys, "GET", "/a?c", soon), false},
		"other method":  {sign(keys, "POST", "/a?b", soon), false},
		"of other keys": {sign(others, "GET", "/a?b", soon), false},
		"expired":       {sign(keys, "GET", "/a?b", time.Now().Add(-2*time.Second)), false},
		"none":          {"u-1", false},
	} {
		seen = principal.Principal{}
		r, _ := http.NewRequestWithContext(t.Context(), "GET", url+"/a?b", nil)
		r.Header.Set("Cqrs-Principal", c.value)
		resp, err := b.client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if ok := resp.StatusCode == 200 && seen.ID == "u-1"; ok != c.ok || !ok && (resp.StatusCode != 401 || seen.ID != "") {
			t.Errorf("a principal signed for %s: %d, %v", name, resp.StatusCode, seen)
		}
	}
}

// In the same process, who asks is in the context.
func TestCallerInside(t *testing.T) {
	var p principal.Principal
	var c gateway.Caller
	b := newBed(t, func(cfg *gateway.Config) {
		cfg.Table = gateway.Table{Routes: []gateway.Route{everything("one")}}
		cfg.Authenticator = everybody{gateway.Caller{Subject: "react", Service: true}}
		cfg.Backends = []gateway.Backend{{Name: "one", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p, c = principal.FromContext(r.Context()), gateway.CallerOf(r.Context())
		})}}
	})
	if g := b.ask("GET", "/", ""); g.status != 200 || p.String() != "service:react" || c.Subject != "react" {
		t.Errorf("%s: %v, %v", g, p, c)
	}
}

func keyring(t *testing.T) *principal.Keyring {
	t.Helper()
	k, err := principal.NewKeyring(secret.Generate("k"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}
