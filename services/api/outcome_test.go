package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
)

// TestAnswers goes through the table of answers to commands. The bodies are in testdata/answers.
func TestAnswers(t *testing.T) {
	outcome := func(o event.Outcome) func(event.Command, string, string, []byte) (event.Outcome, error) {
		return func(c event.Command, aggregate, _ string, _ []byte) (event.Outcome, error) {
			o.Aggregate, o.Stream, o.CommandID = aggregate, c.Stream, c.ID
			return o, nil
		}
	}
	fails := func(err error) func(event.Command, string, string, []byte) (event.Outcome, error) {
		return func(event.Command, string, string, []byte) (event.Outcome, error) { return event.Outcome{}, err }
	}
	secret := errors.New("dial tcp 10.1.2.3:9092: connect: connection refused")
	for _, tc := range []struct {
		name     string
		before   []string // paths and bodies of commands that come first
		override func(event.Command, string, string, []byte) (event.Outcome, error)
		path     string
		body     string
		headers  []string
		status   int
		want     map[string]string // headers
	}{
		{name: "accepted", path: "/v1/orders/o1/place", body: placeBody, status: 200,
			want: map[string]string{"ETag": `"1"`, "Cqrs-Position": "order/3@1", "Content-Type": "application/json", "Cache-Control": "no-store", "Idempotent-Replayed": ""}},
		{name: "nothing_to_do", before: []string{"/v1/orders/o1/place", placeBody, "/v1/orders/o1/cancel", `{"reason":"changed my mind"}`}, path: "/v1/orders/o1/cancel", status: 200,
			want: map[string]string{"ETag": `"2"`}},
		{name: "replayed", before: []string{"/v1/orders/o1/place", placeBody, "/v1/orders/o1/pay", ""}, path: "/v1/orders/o1/place", body: placeBody,
			headers: []string{"Idempotency-Key", "key-0"}, status: 200, want: map[string]string{"Idempotent-Replayed": "true", "ETag": `"1"`}},
		{name: "async", path: "/v1/orders/o1/place", body: placeBody, headers: []string{"Prefer", "respond-async"}, status: 202,
			want: map[string]string{"Location": "/v1/orders/o1/commands/key", "Preference-Applied": "respond-async", "ETag": ""}},
		{name: "async_in_time", path: "/v1/orders/o1/place", body: placeBody, headers: []string{"Prefer", "respond-async, wait=5"}, status: 200,
			want: map[string]string{"ETag": `"1"`}},
		{name: "async_late", path: "/v1/orders/o1/place", body: placeBody, headers: []string{"Prefer", "respond-async, wait=5"}, override: fails(event.ErrOutcomeUnknown),
			status: 202, want: map[string]string{"Location": "/v1/orders/o1/commands/key"}},
		{name: "rejected", before: []string{"/v1/orders/o1/place", placeBody}, path: "/v1/orders/o1/ship", status: 409, want: map[string]string{"ETag": ""}},
		{name: "rejected_absent", path: "/v1/orders/o1/pay", body: "{}", status: 409},
		{name: "conflict", before: []string{"/v1/orders/o1/place", placeBody}, path: "/v1/orders/o1/pay", headers: []string{"If-Match", `"7"`}, status: 412},
		{name: "conflict_exists", before: []string{"/v1/orders/o1/place", placeBody}, path: "/v1/orders/o1/place", body: placeBody,
			headers: []string{"If-None-Match", "*"}, status: 412},
		{name: "conflict_absent", path: "/v1/orders/o1/pay", headers: []string{"If-Match", `"1"`}, status: 412},
		{name: "invalid", path: "/v1/orders/o1/place", body: `{"customer":"c 1","lines":[{"sku":"","quantity":0,"total":{"amount":"-1","currency":"USD"}}]}`, status: 422},
		{name: "reused", override: outcome(event.Outcome{Kind: event.Invalid, Code: "command_id_reused", Message: "the command ID key was used for another command of o1"}),
			path: "/v1/orders/o1/pay", status: 422},
		{name: "wrong_partition", override: outcome(event.Outcome{Kind: event.Invalid, Code: "wrong_partition", Message: "the key o1 belongs on partition 1"}),
			path: "/v1/orders/o1/pay", status: 422},
		{name: "denied", override: outcome(event.Outcome{Kind: event.Denied, Code: "permission_denied", Message: "not yours"}), path: "/v1/orders/o1/pay", status: 403},
		{name: "unavailable", override: fails(fmt.Errorf("%w: %w", event.ErrUnavailable, secret)), path: "/v1/orders/o1/pay", status: 503, want: map[string]string{"Retry-After": "1"}},
		{name: "not_connected_in_time", override: fails(fmt.Errorf("produce: %w", context.DeadlineExceeded)), path: "/v1/orders/o1/pay", status: 503},
		{name: "outcome_unknown", override: fails(fmt.Errorf("%w: %w", event.ErrOutcomeUnknown, context.DeadlineExceeded)), path: "/v1/orders/o1/pay", status: 504},
		{name: "broken", override: fails(secret), path: "/v1/orders/o1/pay", status: 500},
		{name: "bad_state", override: outcome(event.Outcome{Kind: event.Accepted, Version: 1, State: []byte{0xff}}), path: "/v1/orders/o1/pay", status: 500},
		{name: "large_state", override: outcome(event.Outcome{Kind: event.Accepted, Version: 3}), path: "/v1/orders/o1/pay", status: 200},
		{name: "another_aggregate", path: "/v1/accounts/a1/deposit", body: `{"amount":"7"}`, status: 200, want: map[string]string{"Cqrs-Position": "account/3@1"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t)
			for i := 0; i+1 < len(tc.before); i += 2 {
				f.do(http.MethodPost, tc.before[i], tc.before[i+1], "Idempotency-Key", fmt.Sprint("key-", i)).want(200)
			}
			f.processor.override = tc.override
			headers := append([]string{"Idempotency-Key", "key"}, tc.headers...)
			r := f.do(http.MethodPost, tc.path, tc.body, headers...).want(tc.status)
			for name, want := range tc.want {
				if got := r.header.Get(name); got != want {
					t.Errorf("header %s is %q, not %q", name, got, want)
				}
			}
			if tc.status >= 400 {
				r.problem()
			}
			if strings.Contains(r.body, "10.1.2.3") {
				t.Errorf("the answer leaks an address: %s", r.body)
			}
			golden(t, "answers/"+tc.name+".json", r.masked())
		})
	}
}

// golden compares with a file of testdata; -update writes it.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got+"\n"); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

func TestWaitingForReadModels(t *testing.T) {
	for _, tc := range []struct {
		name   string
		asked  string
		late   []string
		behind string
	}{
		{"none", "", nil, ""},
		{"all in time", "sql, search, history", nil, ""},
		{"search is late", "sql, search,history", []string{"orders_search"}, `"behind":["search"]`},
		{"one of SQL is late", "history,sql", []string{"daily_sales"}, `"behind":["sql"]`},
		{"all are late", "search,sql", []string{"orders", "orders_search"}, `"behind":["search","sql"]`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t)
			for _, name := range tc.late {
				f.models[name].err = query.ErrBehind
			}
			r := f.do(http.MethodPost, "/v1/orders/o1/place", placeBody, "Cqrs-Wait-For", tc.asked, "Prefer", "wait=7").want(200)
			if tc.behind == "" && strings.Contains(r.body, "behind") || !strings.Contains(r.body, tc.behind) {
				t.Errorf("want %s in %s", tc.behind, r.body)
			}
			if tc.asked != "" {
				m := f.models["history"]
				if tc.name == "all are late" {
					m = f.models["orders"]
				}
				if diff := cmp.Diff([]event.Position{{Aggregate: "order", Partition: 3, Offset: 1}}, m.asked); diff != "" {
					t.Errorf("waited for (-want +got):\n%s", diff)
				}
				if s := m.within.Seconds(); s > 7 || s < 5 {
					t.Errorf("it would have waited for %.1f s, not 7", s)
				}
			}
		})
	}
	t.Run("a rejection does not wait", func(t *testing.T) {
		f := newFixture(t)
		f.do(http.MethodPost, "/v1/orders/o1/pay", "", "Cqrs-Wait-For", "sql").want(409)
		if f.models["orders"].within != 0 {
			t.Error("it waited")
		}
	})
	t.Run("a read model that this server cannot see counts as behind", func(t *testing.T) {
		f := newFixture(t, func(c *Config) { c.Search, c.Progress["orders_search"] = nil, nil })
		r := f.do(http.MethodPost, "/v1/orders/o1/place", placeBody, "Cqrs-Wait-For", "search").want(200)
		if !strings.Contains(r.body, `"behind":["search"]`) {
			t.Error(r.body)
		}
	})
}

func TestWhatIsPublished(t *testing.T) {
	f := newFixture(t)
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	f.do(http.MethodPost, "/v1/orders/o1/place", placeBody, "If-None-Match", "*", "Traceparent", parent, "X-Request-Id", "request-1").want(200)
	f.do(http.MethodPost, "/v1/orders/o1/pay", "", "If-Match", `"1"`, "Idempotency-Key", "a key/with more").want(200)
	first, second := f.processor.mu.published[0], f.processor.mu.published[1]
	if len(first.ID) != 36 || first.Type != "order.v1.PlaceOrder" || first.Stream != "o1" || first.ExpectedVersion != 0 || !first.ReturnState || !first.Time.IsZero() {
		t.Errorf("published %+v", first)
	}
	if first.CorrelationID != "request-1" || !strings.HasPrefix(first.TraceParent, parent[:36]) || first.TraceParent == parent || !strings.HasSuffix(first.TraceParent, "-01") {
		t.Errorf("trace %q, correlation %q", first.TraceParent, first.CorrelationID)
	}
	if second.ID != "a key/with more" || second.ExpectedVersion != 1 {
		t.Errorf("published %+v", second)
	}
	r := f.do(http.MethodPost, "/v1/orders/o:1/pay", "", "Prefer", "respond-async", "Idempotency-Key", "a key/with more")
	if got := r.want(202).header.Get("Location"); got != "/v1/orders/o:1/commands/a%20key%2Fwith%20more" {
		t.Errorf("Location is %s", got)
	}
}
