package gateway_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/services/gateway"
)

// shop answers what an overview is made of; what is in broken it does not, with that status, and 0 hangs.
type shop struct {
	broken map[string]int
	mu     sync.Mutex
	asked  []string
	header http.Header
	hang   chan struct{}
}

func (s *shop) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	part := map[bool]string{true: "order"}[r.URL.Path == "/v1/orders/o-1"]
	for prefix, name := range map[string]string{"/v1/customers/": "customer", "/v1/orders/search": "similar", "/v1/orders/o-1/events": "events"} {
		if strings.HasPrefix(r.URL.Path, prefix) {
			part = name
		}
	}
	s.mu.Lock()
	s.asked = append(s.asked, r.URL.RequestURI())
	s.header = r.Header
	s.mu.Unlock()
	if status, ok := s.broken[part]; ok {
		if status == 0 {
			select {
			case <-s.hang: // not r.Context(): a handler that does not look at it
			case <-time.After(patience):
			}
		}
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(max(status, 500*(1-min(status, 1))))
		_, _ = fmt.Fprintf(w, `{"status":%d,"code":"broken_%s"}`+"\n", status, part)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cqrs-Position", part+"/0@7")
	_, _ = io.WriteString(w, map[string]string{
		"order":    `{"id":"o-1","version":12,"customer":"a d/a","lines":[{"sku":"cd \"1\""}],"total":{"amount":"12345678901234567890.10"}}`,
		"customer": `{"id":"ada","orders":12345678901234567890}`,
		"events":   `{"items":[{"sequence":3}],"cursor":"x"}`,
		"similar":  `{"hits":[{"order":{"id":"o-1"}},{"order":{"id":"o-2"},"score":0.1}],"total":2}`,
	}[part])
}

// overview has the built-in routes before a shop, in the process and on another host.
func overview(t *testing.T, broken map[string]int, try func(t *testing.T, b *bed, s *shop)) {
	t.Helper()
	for _, inside := range []bool{true, false} {
		t.Run(map[bool]string{true: "inside", false: "remote"}[inside], func(t *testing.T) {
			s := &shop{broken: broken, hang: make(chan struct{})}
			b := newBed(t, func(c *gateway.Config) {
				c.Table = gateway.Defaults()
				for i := range c.Table.Routes {
					for name, p := range c.Table.Routes[i].Parts {
						if p.Timeout > 0 {
							p.Timeout = 300 * time.Millisecond
							c.Table.Routes[i].Parts[name] = p
						}
					}
				}
				c.Backends = []gateway.Backend{{Name: "api", Handler: s}}
				if !inside {
					c.Backends = []gateway.Backend{{Name: "api", URLs: []string{remote(t, s.ServeHTTP)}}}
				}
			})
			t.Cleanup(func() { close(s.hang) })
			try(t, b, s)
		})
	}
}

func TestOverview(t *testing.T) {
	overview(t, nil, func(t *testing.T, b *bed, s *shop) {
		g := b.ask("GET", "/v1/orders/o-1/overview", "", "Cqrs-After", "order/0@7", "If-None-Match", "*", "Traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
		want := `{"customer":{"id":"ada","orders":12345678901234567890},"events":[{"sequence":3}],` +
			`"order":{"id":"o-1","version":12,"customer":"a d/a","lines":[{"sku":"cd \"1\""}],"total":{"amount":"12345678901234567890.10"}},"similar":[{"order":{"id":"o-2"},"score":0.1}]}`
		if g.status != 200 || strings.TrimSpace(string(g.body)) != want || g.header.Get("Cqrs-Position") != "order/0@7" || g.header.Get("Cache-Control") != "no-store" {
			t.Errorf("the answer is %s\nwant %s", g, want)
		}
		for _, target := range []string{"/v1/orders/o-1", "/v1/customers/a%20d%2Fa", "/v1/orders/o-1/events?after=2&limit=10", "/v1/orders/search?q=%22cd+%221%22%22&limit=6"} {
			if !slices.Contains(s.asked, target) {
				t.Errorf("%s was not asked for, but %q", target, s.asked)
			}
		}
		if s.header.Get("Cqrs-After") != "order/0@7" || s.header.Get("If-None-Match") != "" || !strings.Contains(s.header.Get("Traceparent"), "4bf92f3577b34da6a3ce929d0e0e4736") {
			t.Errorf("the parts were asked for with %v", s.header)
		}
	})
}

// A part that fails or is late is null, and says why; the others are there.
func TestOverviewWithoutSomeParts(t *testing.T) {
	overview(t, map[string]int{"customer": 404, "similar": 0}, func(t *testing.T, b *bed, _ *shop) {
		g := b.ask("GET", "/v1/orders/o-1/overview", "")
		var body struct {
			Order, Customer, Similar any
			Events                   []any
			Errors                   map[string]struct {
				Code    string
				TraceID string
			}
		}
		if err := json.Unmarshal(g.body, &body); err != nil || g.status != 200 {
			t.Fatalf("the answer is %s", g)
		}
		if body.Order == nil || body.Customer != nil || body.Similar != nil || len(body.Events) != 1 || len(body.Errors) != 2 ||
			body.Errors["customer"].Code != "broken_customer" || body.Errors["similar"].Code != "gateway_timeout" || body.Errors["similar"].TraceID != g.header.Get("Cqrs-Trace-Id") {
			t.Errorf("the answer is %s", g)
		}
	})
}

// Without the order there is no overview: what is not there, or not for the caller, is answered as such, and the rest with 502.
func TestOverviewWithoutItsOrder(t *testing.T) {
	for status, want := range map[int]struct {
		status int
		code   string
	}{404: {404, "broken_order"}, 403: {403, "broken_order"}, 500: {502, "bad_gateway"}, 503: {502, "bad_gateway"}} {
		overview(t, map[string]int{"order": status}, func(t *testing.T, b *bed, s *shop) {
			b.ask("GET", "/v1/orders/o-1/overview", "").problem(t, want.status, want.code)
			for _, target := range s.asked {
				if strings.Contains(target, "customers") {
					t.Errorf("what hangs on the order was asked for: %s", target)
				}
			}
		})
	}
}

// A part is asked for as the caller: what its own route does not permit it is not shown.
func TestPartsAskForRoles(t *testing.T) {
	b := newBed(t, func(c *gateway.Config) {
		c.Backends = []gateway.Backend{{Name: "one", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"asker":%q}`, gateway.CallerOf(r.Context()).Subject)
		})}}
		c.Authenticator = byToken{"ada": {Subject: "ada", Roles: []string{"customer"}}, "root": {Subject: "root", Roles: []string{"admin"}}}
		c.Table.Routes = []gateway.Route{{Methods: []string{"GET"}, Path: "/a", Backend: "one"}, {Methods: []string{"GET"}, Path: "/b", Backend: "one", Roles: []string{"admin"}},
			{Methods: []string{"GET"}, Path: "/both", Parts: map[string]gateway.Part{"a": {Target: "/a", Required: true}, "b": {Target: "/b"}}}}
	})
	if g := b.ask("GET", "/both", "", "Authorization", "Bearer root"); strings.TrimSpace(string(g.body)) != `{"a":{"asker":"root"},"b":{"asker":"root"}}` {
		t.Errorf("an administrator sees %s", g)
	}
	if g := b.ask("GET", "/both", "", "Authorization", "Bearer ada"); !strings.Contains(string(g.body), `"a":{"asker":"ada"},"b":null`) || !strings.Contains(string(g.body), "permission_denied") {
		t.Errorf("a customer sees %s", g)
	}
	b.ask("GET", "/both", "").problem(t, 401, "unauthenticated")
}

// A part that panics is a part that fails, not the end of the process.
func TestPartPanics(t *testing.T) {
	b := newBed(t, func(c *gateway.Config) {
		c.Backends = []gateway.Backend{{Name: "one", Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/bad" {
				panic("mistake")
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, `{}`)
		})}}
		c.Table.Routes = []gateway.Route{{Methods: []string{"GET"}, Path: "/ok", Backend: "one"}, {Methods: []string{"GET"}, Path: "/bad", Backend: "one"},
			{Methods: []string{"GET"}, Path: "/both", Parts: map[string]gateway.Part{"ok": {Target: "/ok", Required: true}, "bad": {Target: "/bad"}}}}
	})
	if g := b.ask("GET", "/both", ""); g.status != 200 || !strings.Contains(string(g.body), `"bad":null`) || strings.Contains(string(g.body), "mistake") {
		t.Errorf("the answer is %s", g)
	}
	b.ask("GET", "/bad", "").problem(t, 500, "internal")
	b.log.line(t, "mistake", "stack")
}
