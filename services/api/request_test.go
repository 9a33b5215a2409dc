package api

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
)

// TestBadRequests is every way to ask wrongly. Each answer is a whole problem, and nothing is published.
func TestBadRequests(t *testing.T) {
	long := strings.Repeat("x", 129)
	for _, tc := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		code                     string
		// field is named in errors, or words are in the detail.
		field, words string
	}{
		// Paths.
		{name: "no such path", path: "/v2/orders", status: 404, code: "not_found"},
		{name: "root", path: "/", status: 404, code: "not_found"},
		{name: "trailing slash", path: "/v1/orders/", status: 400, code: "malformed_request", field: "id"},
		{name: "unknown aggregate", method: "POST", path: "/v1/ordres/o1/place", status: 404, code: "unknown_aggregate", words: "orders"},
		{name: "unknown aggregate, singular", method: "POST", path: "/v1/order/o1/place", status: 404, code: "unknown_aggregate"},
		{name: "unknown aggregate of a query", path: "/v1/things/1", status: 404, code: "unknown_aggregate"},
		{name: "unknown aggregate's events", path: "/v1/things/1/events", status: 404, code: "unknown_aggregate"},
		{name: "unknown command", method: "POST", path: "/v1/orders/o1/destroy", status: 404, code: "unknown_command", words: "add-line"},
		{name: "command that is not public", method: "POST", path: "/v1/customers/c1/record-purchase", status: 404, code: "unknown_command"},
		{name: "method of a query", method: "DELETE", path: "/v1/orders/o1", status: 405, code: "method_not_allowed", words: "GET, HEAD"},
		{name: "method of a command", method: "PUT", path: "/v1/orders/o1/pay", status: 405, code: "method_not_allowed", words: "POST"},
		{name: "method of the document", method: "POST", path: "/openapi.json", status: 405, code: "method_not_allowed"},
		{name: "odd stream ID", method: "POST", path: "/v1/orders/o%201/pay", status: 400, code: "malformed_request", field: "id"},
		{name: "stream ID with a slash", method: "POST", path: "/v1/orders/a%2Fb/pay", status: 400, code: "malformed_request", field: "id"},
		{name: "stream ID that is no UTF-8", path: "/v1/orders/%ff", status: 400, code: "malformed_request", field: "id"},
		{name: "oversized stream ID", path: "/v1/orders/" + long, status: 400, code: "malformed_request", field: "id", words: "128"},
		{name: "oversized stream ID of a command", method: "POST", path: "/v1/orders/" + long + "/pay", status: 400, code: "malformed_request", field: "id"},
		{name: "odd command ID in the path", path: "/v1/orders/o1/commands/%00", status: 400, code: "malformed_request", field: "commandId"},
		{name: "oversized command ID in the path", path: "/v1/orders/o1/commands/" + long, status: 400, code: "malformed_request", field: "commandId"},

		// Bodies.
		{name: "JSON that ends early", method: "POST", path: "/v1/orders/o1/place", body: `{"customer":`, status: 400, code: "malformed_request"},
		{name: "no JSON", method: "POST", path: "/v1/orders/o1/place", body: `hello`, status: 400, code: "malformed_request"},
		{name: "an array", method: "POST", path: "/v1/orders/o1/place", body: `[]`, status: 400, code: "malformed_request"},
		{name: "null", method: "POST", path: "/v1/orders/o1/pay", body: `null`, status: 400, code: "malformed_request"},
		{name: "unknown field", method: "POST", path: "/v1/orders/o1/cancel", body: `{"reasons":"x"}`, status: 400, code: "malformed_request", field: "reasons"},
		{name: "unknown field, nested", method: "POST", path: "/v1/orders/o1/place", body: `{"lines":[{"colour":"red"}]}`, status: 400, code: "malformed_request", field: "colour"},
		{name: "wrong type", method: "POST", path: "/v1/orders/o1/place", body: `{"customer":7}`, status: 400, code: "malformed_request"},
		{name: "number too large", method: "POST", path: "/v1/orders/o1/place", body: `{"lines":[{"quantity":99999999999}]}`, status: 400, code: "malformed_request"},
		{name: "field twice", method: "POST", path: "/v1/orders/o1/cancel", body: `{"reason":"a","reason":"b"}`, status: 400, code: "malformed_request"},
		{name: "garbage after the JSON", method: "POST", path: "/v1/orders/o1/pay", body: `{} {}`, status: 400, code: "malformed_request"},
		{name: "text that is no UTF-8", method: "POST", path: "/v1/orders/o1/cancel", body: "{\"reason\":\"\xff\xfe\"}", status: 400, code: "malformed_request"},
		{name: "half a surrogate pair", method: "POST", path: "/v1/orders/o1/cancel", body: `{"reason":"\ud800"}`, status: 400, code: "malformed_request"},
		{name: "oversized", method: "POST", path: "/v1/orders/o1/annotate", body: `{"text":"` + strings.Repeat("a", 1<<20) + `"}`, status: 413, code: "request_too_large", words: "1048576"},
		{name: "larger than a record", method: "POST", path: "/v1/orders/o1/annotate", body: `{"text":"` + strings.Repeat("a", 1_000_000) + `"}`, status: 413, code: "request_too_large"},
		{name: "a form", method: "POST", path: "/v1/orders/o1/pay", body: "{}", headers: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 415, code: "unsupported_media_type", words: "application/json"},
		{name: "protobuf", method: "POST", path: "/v1/orders/o1/pay", body: "\x0a\x01a", headers: []string{"Content-Type", "application/protobuf"}, status: 415, code: "unsupported_media_type"},
		{name: "odd content type", method: "POST", path: "/v1/orders/o1/pay", body: "{}", headers: []string{"Content-Type", ";;"}, status: 415, code: "unsupported_media_type"},
		{name: "another charset", method: "POST", path: "/v1/orders/o1/pay", body: "{}", headers: []string{"Content-Type", "application/json; charset=latin1"}, status: 415, code: "unsupported_media_type"},
		{name: "compressed", method: "POST", path: "/v1/orders/o1/pay", body: "{}", headers: []string{"Content-Encoding", "gzip"}, status: 415, code: "unsupported_media_type"},

		// Headers.
		{name: "oversized key", method: "POST", path: "/v1/orders/o1/pay", headers: []string{"Idempotency-Key", long}, status: 400, code: "malformed_request", field: "Idempotency-Key"},
		{name: "key that is not ASCII", method: "POST", path: "/v1/orders/o1/pay", headers: []string{"Idempotency-Key", "schlüssel"}, status: 400, code: "malformed_request", field: "Idempotency-Key"},
		{name: "If-Match without quotes", method: "POST", path: "/v1/orders/o1/pay", headers: []string{"If-Match", "7"}, status: 400, code: "malformed_request", field: "If-Match"},
		{name: "If-Match with a weak tag", method: "POST", path: "/v1/orders/o1/pay", headers: []string{"If-Match", `W/"7"`}, status: 400, code: "malformed_request", field: "If-Match"},
		{name: "If-Match of anything", method: "POST", path: "/v1/orders/o1/pay", headers: []string{"If-Match", `*`}, status: 400, code: "malformed_request", field: "If-Match"},
		{name: "If-Match negative", method: "POST", path: "/v1/orders/o1/pay", headers: []string{"If-Match", `"-1"`}, status: 400, code: "malformed_request", field: "If-Match"},
		{name: "If-None-Match of a version", method: "POST", path: "/v1/orders/o1/pay", headers: []string{"If-None-Match", `"7"`}, status: 400, code: "malformed_request", field: "If-None-Match"},
		{name: "both conditions", method: "POST", path: "/v1/orders/o1/pay", headers: []string{"If-Match", `"7"`, "If-None-Match", "*"}, status: 400, code: "malformed_request", field: "If-Match"},
		{name: "wait that is no number", method: "POST", path: "/v1/orders/o1/pay", headers: []string{"Prefer", "wait=soon"}, status: 400, code: "malformed_request", field: "Prefer"},
		{name: "wait for nothing known", method: "POST", path: "/v1/orders/o1/pay", headers: []string{"Cqrs-Wait-For", "sql, elastic"}, status: 400, code: "malformed_request", field: "Cqrs-Wait-For"},
		{name: "odd position", path: "/v1/orders/o1", headers: []string{"Cqrs-After", "order/x@1"}, status: 400, code: "malformed_request", field: "Cqrs-After"},
		{name: "position of an unknown aggregate", path: "/v1/orders/o1", headers: []string{"Cqrs-After", "ordre/0@1"}, status: 400, code: "malformed_request", field: "Cqrs-After", words: "ordre"},
		{name: "position of a partition that is not there", path: "/v1/orders/o1", headers: []string{"Cqrs-After", "order/12@1"}, status: 400, code: "malformed_request", field: "Cqrs-After", words: "there are 12"},

		// Parameters.
		{name: "unknown parameter", path: "/v1/orders?colour=red", status: 400, code: "malformed_request", field: "colour", words: "minTotal"},
		{name: "unknown parameter where there are none", path: "/v1/orders/o1?x=1", status: 400, code: "malformed_request", field: "x"},
		{name: "unknown parameter of a command", method: "POST", path: "/v1/orders/o1/pay?force=1", status: 400, code: "malformed_request", field: "force"},
		{name: "parameter twice", path: "/v1/orders?limit=1&limit=2", status: 400, code: "malformed_request", field: "limit"},
		{name: "broken percent-encoding", path: "/v1/orders?status=%zz", status: 400, code: "malformed_request"},
		{name: "limit of 0", path: "/v1/orders?limit=0", status: 400, code: "malformed_request", field: "limit"},
		{name: "limit too large", path: "/v1/orders?limit=201", status: 400, code: "malformed_request", field: "limit", words: "200"},
		{name: "limit that is no number", path: "/v1/customers?limit=ten", status: 400, code: "malformed_request", field: "limit"},
		{name: "empty limit", path: "/v1/customers?limit=", status: 400, code: "malformed_request", field: "limit"},
		{name: "limit of events", path: "/v1/orders/o1/events?limit=1000", status: 400, code: "malformed_request", field: "limit"},
		{name: "unknown status", path: "/v1/orders?status=lost", status: 400, code: "malformed_request", field: "status", words: "placed, paid"},
		{name: "odd customer", path: "/v1/orders?customer=a%20b", status: 400, code: "malformed_request", field: "customer"},
		{name: "date that there is not", path: "/v1/orders?placedFrom=2026-02-30", status: 400, code: "malformed_request", field: "placedFrom"},
		{name: "plus that is a space", path: "/v1/orders?placedTo=2026-02-01T00:00:00+01:00", status: 400, code: "malformed_request", field: "placedTo", words: "%2B"},
		{name: "amount with three decimals", path: "/v1/orders?minTotal=1.234", status: 400, code: "malformed_request", field: "minTotal"},
		{name: "negative amount", path: "/v1/orders?minTotal=-1", status: 400, code: "malformed_request", field: "minTotal"},
		{name: "sort with a NUL", path: "/v1/orders?sort=%00", status: 400, code: "malformed_request", field: "sort"},
		{name: "time instead of a date", path: "/v1/sales/daily?from=2026-01-01T00:00:00Z", status: 400, code: "malformed_request", field: "from"},
		{name: "days in the wrong order", path: "/v1/sales/daily?from=2026-01-02&to=2026-01-01", status: 400, code: "malformed_request", field: "to"},
		{name: "query that is no UTF-8", path: "/v1/orders/search?q=%ff", status: 400, code: "malformed_request", field: "q"},
		{name: "oversized query", path: "/v1/orders/search?q=" + strings.Repeat("q", 1001), status: 400, code: "malformed_request", field: "q"},
		{name: "unknown facet", path: "/v1/orders/search?facets=status,colour", status: 400, code: "malformed_request", field: "facets"},
		{name: "after that is no number", path: "/v1/orders/o1/events?after=-1", status: 400, code: "malformed_request", field: "after"},
		{name: "after and cursor", path: "/v1/orders/o1/events?after=1&cursor=2", status: 400, code: "malformed_request", field: "cursor"},
		{name: "version 0", path: "/v1/orders/o1/state?version=0", status: 400, code: "malformed_request", field: "version"},
		{name: "date where a time is needed", path: "/v1/orders/o1/state?effectiveAt=2026-01-01", status: 400, code: "malformed_request", field: "effectiveAt"},
		{name: "two points in time", path: "/v1/orders/o1/state?version=1&recordedAt=2026-01-01T00:00:00Z", status: 400, code: "malformed_request", field: "recordedAt"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t)
			method := tc.method
			if method == "" {
				method = http.MethodGet
			}
			r := f.do(method, tc.path, tc.body, tc.headers...).want(tc.status)
			p := r.problem()
			if p.Code != tc.code {
				t.Errorf("the code is %s, not %s", p.Code, tc.code)
			}
			if tc.field != "" && (len(p.Errors) == 0 || p.Errors[0].Field != tc.field || p.Errors[0].Message == "") {
				t.Errorf("errors are %v; they should name %s", p.Errors, tc.field)
			}
			if !strings.Contains(p.Detail, tc.words) {
				t.Errorf("the detail %q should say %q", p.Detail, tc.words)
			}
			if tc.status == 405 && r.header.Get("Allow") == "" {
				t.Error("Allow is missing")
			}
			if n := len(f.processor.mu.published); n != 0 {
				t.Errorf("%d commands were published", n)
			}
		})
	}
}

func TestReadFailures(t *testing.T) {
	secret := errors.New(`ERROR: relation "orders" does not exist (SQLSTATE 42P01) at db.internal:5432`)
	for _, tc := range []struct {
		name   string
		path   string
		err    error
		status int
		code   string
	}{
		{"absent order", "/v1/orders/o1", event.ErrNotFound, 404, "not_found"},
		{"absent customer", "/v1/customers/c1", event.ErrNotFound, 404, "not_found"},
		{"absent stream", "/v1/orders/o1/events", event.ErrNotFound, 404, "not_found"},
		{"absent state", "/v1/customers/c1/state", event.ErrNotFound, 404, "not_found"},
		{"absent command", "/v1/orders/o1/commands/x", event.ErrNotFound, 404, "command_not_found"},
		{"not yet", "/v1/orders/o1/state?version=9", query.ErrNotYet, 404, "not_yet"},
		{"bad cursor", "/v1/orders?cursor=abc", query.ErrBadCursor, 400, "malformed_request"},
		{"bad sort", "/v1/customers?sort=age", &query.BadSortError{Sort: "age", Allowed: []string{"id"}}, 400, "malformed_request"},
		{"bad search", "/v1/orders/search?cursor=abc", fmt.Errorf("%w: cursor is of another search", event.ErrMalformed), 400, "malformed_request"},
		{"undecodable", "/v1/orders/o1/state", &query.EventError{Version: 7, Type: "order.v9.X", Err: event.ErrUnknownType}, 500, "undecodable_event"},
		{"gap", "/v1/orders/o1/state", fmt.Errorf("%w: version 3 follows 1", event.ErrCorrupt), 500, "history_incomplete"},
		{"store down", "/v1/orders/o1", fmt.Errorf("%w: %w", event.ErrUnavailable, secret), 503, "unavailable"},
		{"search down", "/v1/orders/search", fmt.Errorf("%w: %w", event.ErrUnavailable, secret), 503, "unavailable"},
		{"broken", "/v1/orders", secret, 500, "internal"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFixture(t)
			f.orders.err, f.customers.err, f.history.err, f.search.err = tc.err, tc.err, tc.err, tc.err
			r := f.do(http.MethodGet, tc.path, "").want(tc.status)
			p := r.problem()
			if p.Code != tc.code {
				t.Errorf("the code is %s, not %s", p.Code, tc.code)
			}
			if tc.status == 400 && len(p.Errors) == 0 {
				t.Error("no parameter is named")
			}
			if tc.status == 503 && r.header.Get("Retry-After") == "" {
				t.Error("Retry-After is missing")
			}
			if tc.code == "undecodable_event" && !strings.Contains(p.Detail, "order.v9.X") {
				t.Errorf("the detail does not say which event: %s", p.Detail)
			}
			for _, leak := range []string{"SQLSTATE", "db.internal", "relation"} {
				if strings.Contains(r.body, leak) {
					t.Errorf("the answer leaks %q: %s", leak, r.body)
				}
			}
			if tc.status >= 500 && !strings.Contains(f.log.String(), p.TraceID) {
				t.Error("the log does not have the trace ID")
			}
		})
	}
}

func TestPanic(t *testing.T) {
	f := newFixture(t)
	f.processor.override = func(event.Command, string, string, []byte) (event.Outcome, error) { panic("secret cause") }
	r := f.do(http.MethodPost, "/v1/orders/o1/pay", "").want(500)
	if p := r.problem(); p.Code != "internal" || strings.Contains(r.body, "secret") || strings.Contains(r.body, "goroutine") {
		t.Errorf("the answer is %s", r.body)
	}
	if log := f.log.String(); !strings.Contains(log, "secret cause") || !strings.Contains(log, "goroutine") {
		t.Errorf("cause and stack are not in the log: %s", log)
	}
}

func TestTrace(t *testing.T) {
	f := newFixture(t)
	const id = "0af7651916cd43dd8448eb211c80319c"
	for name, tc := range map[string]struct {
		parent    string
		continued bool
	}{
		"continued":       {"00-" + id + "-b7ad6b7169203331-01", true},
		"a later version": {"01-" + id + "-b7ad6b7169203331-01-more", true},
		"none":            {"", false},
		"zero trace":      {"00-00000000000000000000000000000000-b7ad6b7169203331-01", false},
		"zero span":       {"00-" + id + "-0000000000000000-01", false},
		"upper case":      {"00-" + strings.ToUpper(id) + "-b7ad6b7169203331-01", false},
		"version ff":      {"ff-" + id + "-b7ad6b7169203331-01", false},
		"too long":        {"00-" + id + "-b7ad6b7169203331-01-more", false},
		"newline":         {"00-" + id + "-b7ad6b7169203331-0\n", false},
	} {
		p := f.do(http.MethodGet, "/nowhere", "", "Traceparent", tc.parent).problem()
		if (p.TraceID == id) != tc.continued || strings.Trim(p.TraceID, "0") == "" {
			t.Errorf("%s: the trace ID is %s", name, p.TraceID)
		}
	}
	if got := f.do(http.MethodGet, "/nowhere", "", "X-Request-Id", "abc-1").header.Get("X-Request-Id"); got != "abc-1" {
		t.Errorf("X-Request-Id is %q", got)
	}
	if got := f.do(http.MethodGet, "/nowhere", "", "X-Request-Id", "a b").header.Get("X-Request-Id"); got != "" {
		t.Errorf("X-Request-Id %q is taken over", got)
	}
}

func TestRepeatedHeaders(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"Idempotency-Key", "If-Match", "If-None-Match", "Cqrs-Unit"} {
		r := httptest.NewRequest(http.MethodPost, "/v1/orders/o1/pay", nil)
		r.Header[name] = []string{`"1"`, `"2"`}
		if p := f.send(r).want(400).problem(); p.Errors[0].Field != name {
			t.Errorf("%s twice: %v", name, p.Errors)
		}
	}
}

func TestConfig(t *testing.T) {
	all := types(t)
	for name, cfg := range map[string]Config{
		"no aggregates": {},
		"nothing":       {Aggregates: all},
		"no progress":   {Aggregates: all, Sales: sales{}},
		"no parked":     {Aggregates: all, Orders: &orders{}, Progress: map[string]Progress{"orders": &readModel{}}},
		"body":          {Aggregates: all, Commands: newProcessor(all), MaxBody: -1},
		"batch":         {Aggregates: all, Commands: newProcessor(all), MaxBody: 10, MaxBatchBody: 5},
	} {
		if _, err := New(cfg); !errors.Is(err, event.ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := New(Config{Aggregates: all, Commands: newProcessor(all)}); err != nil {
		t.Errorf("commands only: %v", err)
	}
}
