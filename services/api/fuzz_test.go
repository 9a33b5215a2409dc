package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// checkAnswer holds what is true of every answer, whatever was asked.
func checkAnswer(t *testing.T, r reply) {
	t.Helper()
	if r.status >= 500 {
		t.Fatalf("the server failed: %d %s", r.status, r.body)
	}
	if r.status >= 400 {
		r.problem()
	} else if r.status < 300 && r.body != "" && !json.Valid([]byte(r.body)) && !strings.HasPrefix(r.header.Get("Content-Type"), "application/x-ndjson") {
		t.Fatalf("the answer is no JSON: %s", r.body)
	}
}

func FuzzCommandBody(f *testing.F) {
	for _, s := range []string{placeBody, `{"text":"x"}`, `{}`, ``, `null`, `{"lines":[{"total":{"amount":"-1"}}]}`, "{\"a\":\"\xff\"}", `{"customer":"\u0000"}`, strings.Repeat("[", 1000)} {
		f.Add("place", []byte(s), "key")
		f.Add("annotate", []byte(s), "")
	}
	fix := newFixture(f)
	f.Fuzz(func(t *testing.T, command string, body []byte, key string) {
		fix.t = t
		r := httptest.NewRequest(http.MethodPost, "/v1/orders/o1/"+url.PathEscape(command), strings.NewReader(string(body)))
		r.Header["Content-Type"] = []string{"application/json"}
		if key != "" {
			r.Header["Idempotency-Key"] = []string{key}
		}
		checkAnswer(t, fix.send(r))
	})
}

func FuzzBatchBody(f *testing.F) {
	f.Add([]byte(`{"aggregate":"order","id":"o1","command":"place","data":` + placeBody + "}\n{}\n"))
	f.Add([]byte(`{"aggregate":"order","id":"o1","command":"pay","expectedVersion":"1"}`))
	f.Add([]byte("\n\r\n \xff"))
	fix := newFixture(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		fix.t = t
		r := httptest.NewRequest(http.MethodPost, "/v1/commands", strings.NewReader(string(body)))
		r.Header["Content-Type"] = []string{ndjson}
		got := fix.send(r)
		checkAnswer(t, got)
		if got.status == 200 {
			for line := range strings.Lines(got.body) {
				if !json.Valid([]byte(line)) || strings.Contains(line, `"status":500`) {
					t.Fatalf("a line of the answer: %s", line)
				}
			}
		}
	})
}

func FuzzHeadersAndQuery(f *testing.F) {
	f.Add("limit=1&sort=-total&placedTo=1997-01-01", "order/3@1", "wait=1", `"7"`, "sql")
	f.Add("q=a*&facets=status", "order/3@1, ", "respond-async; x", `W/"a", *`, "search,,history")
	f.Add("minTotal=1.2&cursor=%00", "/@", "wait", `"`, "")
	fix := newFixture(f)
	f.Fuzz(func(t *testing.T, query, after, prefer, match, waitFor string) {
		fix.t = t
		for _, path := range []string{"/v1/orders", "/v1/customers", "/v1/orders/search", "/v1/orders/o1/events", "/v1/sales/daily"} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.URL.RawQuery = query
			r.Header["Cqrs-After"], r.Header["Prefer"], r.Header["If-None-Match"] = []string{after}, []string{prefer}, []string{match}
			checkAnswer(t, fix.send(r))
		}
		r := httptest.NewRequest(http.MethodPost, "/v1/orders/o1/place", strings.NewReader(placeBody))
		r.Header["Content-Type"], r.Header["Prefer"], r.Header["If-Match"] = []string{"application/json"}, []string{prefer}, []string{match}
		r.Header["Cqrs-Wait-For"], r.Header["Traceparent"], r.Header["X-Request-Id"] = []string{waitFor}, []string{after}, []string{query}
		checkAnswer(t, fix.send(r))
	})
}
