package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/query"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
	"github.com/cqrsflow/cqrsflow/services/policy"
)

// byName takes a bearer token for the name of a user, with a role after a slash.
func byName(r *http.Request) (context.Context, error) {
	switch name, role, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), "/"); name {
	case "":
		return nil, errors.New("no token")
	case "down":
		return nil, fmt.Errorf("%w: 10.0.0.7", event.ErrUnavailable)
	default:
		return principal.NewContext(r.Context(), principal.Principal{Kind: principal.User, ID: name, Roles: []string{role}}), nil
	}
}

// guarded is a fixture where tokens are asked for, and the built-in policies.
func guarded(t *testing.T) *fixture {
	t.Helper()
	words, err := policy.NewVocabulary(types(t), "daily_sales")
	if err != nil {
		t.Fatal(err)
	}
	var sources []policy.Source
	for _, s := range policy.Defaults() {
		if strings.HasSuffix(s.Name, "shop.cedar") {
			sources = append(sources, s)
		}
	}
	set, err := policy.Parse(words, sources)
	if err != nil {
		t.Fatal(err)
	}
	return newFixture(t, func(c *Config) { c.Authenticate, c.Access = byName, set })
}

func (f *fixture) as(who, method, path, body string) reply {
	f.t.Helper()
	return f.do(method, path, body, "Authorization", "Bearer "+who)
}

func TestEveryOperationNeedsAToken(t *testing.T) {
	f := guarded(t)
	for i := range f.api.routes {
		rt := &f.api.routes[i]
		path := strings.NewReplacer("{aggregates}", "orders", "{id}", "o1", "{command}", "pay", "{commandId}", "c-1").Replace(rt.path)
		r := f.do(rt.method, path, "")
		if rt.open {
			if r.status == 401 {
				t.Errorf("%s asks for a token", path)
			}
			continue
		}
		if p := r.want(401).problem(); p.Code != "unauthenticated" || r.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %s", path, r.body)
		}
		if p := f.as("down", rt.method, path, "").want(503).problem(); p.Code != "unavailable" || strings.Contains(p.Detail, "10.0.0.7") {
			t.Errorf("%s: %+v", path, p)
		}
	}
	if len(f.processor.mu.published) > 0 {
		t.Errorf("published without a token: %v", f.processor.mu.published)
	}
	if strings.Count(f.log.String(), "msg=denied") == 0 {
		t.Error("no denial is in the log")
	}
}

// What a policy can never permit is refused before it is published; what depends on the state is the processor's to say.
func TestCommandsAreRefusedBeforeTheyArePublished(t *testing.T) {
	f := guarded(t)
	for who, status := range map[string]int{"ada/auditor": 403, "ada/": 403, "ada/customer": 409, "ada/clerk": 409} {
		r := f.as(who, http.MethodPost, "/v1/orders/o1/pay", "{}").want(status)
		if status == 403 && (r.problem().Code != "permission_denied" || strings.Contains(r.body, "default-deny")) {
			t.Errorf("%s: %s", who, r.body)
		}
	}
	if n := len(f.processor.mu.published); n != 2 {
		t.Errorf("%d commands were published, want 2", n)
	}
	r := f.do(http.MethodPost, "/v1/commands", `{"aggregate":"order","id":"o1","command":"pay"}`, "Content-Type", "application/x-ndjson", "Authorization", "Bearer ada/auditor")
	if !strings.Contains(r.want(200).body, `"status":403`) || len(f.processor.mu.published) != 2 {
		t.Errorf("in a batch: %s", r.body)
	}
	if !strings.Contains(f.log.String(), "principal=user:ada action=order.v1.PayOrder code=permission_denied policy=default-deny") {
		t.Errorf("the denial is not in the log:\n%s", f.log)
	}
}

// Who may see all, their own or nothing gets that, and nothing is read to be hidden.
func TestQueriesShowWhatTheCallerMaySee(t *testing.T) {
	for _, tc := range []struct {
		path string
		// The statuses of a clerk, an auditor, the customer whose it is, another one, and somebody without a role.
		clerk, auditor, own, other, nobody int
	}{
		{"/v1/orders/o1", 200, 200, 200, 404, 403},
		{"/v1/orders", 200, 200, 200, 200, 403},
		{"/v1/orders/search", 200, 200, 200, 200, 403},
		{"/v1/customers/ada", 403, 200, 200, 404, 403},
		{"/v1/customers", 403, 200, 200, 200, 403},
		{"/v1/sales/daily", 403, 200, 403, 403, 403},
		{"/v1/orders/o1/events", 403, 200, 403, 403, 403},
		{"/v1/orders/o1/state", 403, 200, 403, 403, 403},
		{"/v1/orders/o1/commands/c-1", 200, 200, 200, 404, 403},
	} {
		for who, want := range map[string]int{"cleo/clerk": tc.clerk, "ann/auditor": tc.auditor, "ada/customer": tc.own, "bea/customer": tc.other, "eve/": tc.nobody} {
			f := guarded(t)
			f.orders.rows["o1"] = query.Order{ID: "o1", Version: 1, Customer: "ada"}
			f.customers.rows["ada"] = query.Customer{ID: "ada", Version: 1}
			f.history.snapshot = decider.Snapshot{Version: 1, State: &orderv1.OrderState{Customer: "ada"}}
			f.history.outcome = event.Outcome{Aggregate: "order", Stream: "o1", CommandID: "c-1", Kind: event.Rejected, Principal: "service:cli"}
			r := f.as(who, http.MethodGet, tc.path, "")
			if r.status != want {
				t.Errorf("%s for %s: %d, want %d: %s", tc.path, who, r.status, want, r.body)
			}
			if name, role, _ := strings.Cut(who, "/"); role == "customer" && want == 200 {
				switch tc.path {
				case "/v1/orders":
					if f.orders.filter.Customer != name {
						t.Errorf("%s is read of %q for %s", tc.path, f.orders.filter.Customer, who)
					}
				case "/v1/orders/search":
					if f.search.request.Customer != name {
						t.Errorf("%s is read of %q for %s", tc.path, f.search.request.Customer, who)
					}
				case "/v1/customers":
					if f.customers.filter.ID != name {
						t.Errorf("%s is read of %q for %s", tc.path, f.customers.filter.ID, who)
					}
				}
			}
			if r.header.Get("Cqrs-Stale") != "" {
				t.Errorf("%s for %s says that it is parked", tc.path, who)
			}
		}
	}
}

// Asking for somebody else's finds nothing, and reads nothing.
func TestAskingForSomebodyElsesFindsNothing(t *testing.T) {
	f := guarded(t)
	f.orders.page.Items = []query.Order{{ID: "o1", Customer: "ada"}}
	if r := f.as("bea/customer", http.MethodGet, "/v1/orders?customer=ada", "").want(200); r.body != `{"items":[]}`+"\n" || f.orders.filter.Limit != 0 {
		t.Errorf("%s, read with %+v", r.body, f.orders.filter)
	}
	if r := f.as("bea/customer", http.MethodGet, "/v1/orders/search?customer=ada", "").want(200); !strings.Contains(r.body, `"total":0`) || f.search.request.Limit != 0 {
		t.Errorf("%s, read with %+v", r.body, f.search.request)
	}
	if r := f.as("ada/customer", http.MethodGet, "/v1/orders?customer=ada", "").want(200); !strings.Contains(r.body, "o1") {
		t.Error(r.body)
	}
	// What somebody asked for themselves they hear of, though it did not become theirs.
	f.history.outcome = event.Outcome{Aggregate: "order", Stream: "o1", CommandID: "c-1", Kind: event.Rejected, Code: "taken", Principal: "user:bea"}
	f.history.snapshot = decider.Snapshot{Version: 1, State: &orderv1.OrderState{Customer: "ada"}}
	f.as("bea/customer", http.MethodGet, "/v1/orders/o1/commands/c-1", "").want(200)
}

// A denial because nobody can say who asks is no verdict: it may be sent again.
func TestWhatCouldNotBeCheckedIsUnavailable(t *testing.T) {
	f := newFixture(t)
	f.processor.override = func(c event.Command, _, _ string, _ []byte) (event.Outcome, error) {
		return event.Outcome{Kind: event.Denied, Code: "principal_unchecked", CommandID: c.ID, Message: "not now"}, nil
	}
	if r := f.do(http.MethodPost, "/v1/orders/o1/pay", "{}").want(503); r.problem().Code != "unavailable" || r.header.Get("Retry-After") == "" {
		t.Error(r.body)
	}
}
