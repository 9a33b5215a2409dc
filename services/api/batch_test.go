package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
)

func decode[T any](t testing.TB, text string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("no such JSON: %v\n%s", err, text)
	}
	return v
}

const ndjson = "application/x-ndjson"

func TestBatch(t *testing.T) {
	f := newFixture(t)
	lines := []struct {
		line   string
		status float64
		key    string
		want   any
	}{
		{`{"aggregate":"order","id":"o1","command":"place","commandId":"k1","expectedVersion":0,"data":` + placeBody + `}`, 200, "version", 1.0},
		{`{"aggregate":"order","id":"o1","command":"pay"}`, 200, "version", 2.0},
		{`{"aggregate":"order","id":"o1","command":"ship","expectedVersion":"2","data":{}}`, 200, "version", 3.0},
		{`{"aggregate":"order","id":"o1","command":"place","commandId":"k1","data":` + placeBody + `}`, 200, "commandId", "k1"},
		{`{"aggregate":"order","id":"o1","command":"pay"}`, 409, "code", "order_already_paid"},
		{`{"aggregate":"order","id":"o1","command":"annotate","expectedVersion":1,"data":{"text":"x"}}`, 412, "code", "version_conflict"},
		{`{"aggregate":"order","id":"o1","command":"annotate","data":{}}`, 422, "code", "invalid_command"},
		{`{"aggregate":"orders","id":"o1","command":"pay"}`, 404, "code", "unknown_aggregate"},
		{`{"aggregate":"order","id":"o1","command":"fly"}`, 404, "code", "unknown_command"},
		{`{"aggregate":"customer","id":"c1","command":"record-purchase"}`, 404, "code", "unknown_command"},
		{`{"aggregate":"order","id":"o 1","command":"pay"}`, 400, "code", "malformed_request"},
		{`{"aggregate":"order","id":"o1","command":"pay","commandId":"` + strings.Repeat("k", 65) + `"}`, 400, "code", "malformed_request"},
		{`{"aggregate":"order","id":"o1","command":"pay","expectedVersion":-1}`, 400, "code", "malformed_request"},
		{`{"aggregate":"order","id":"o1","command":"pay","colour":1}`, 400, "code", "malformed_request"},
		{`{"aggregate":"order","id":"o1","command":"pay","data":{"x":1}}`, 400, "code", "malformed_request"},
		{`{"aggregate":"order"`, 400, "code", "malformed_request"},
		{`[]`, 400, "code", "malformed_request"},
		{`{"aggregate":7}`, 400, "code", "malformed_request"},
		{`{"aggregate":"order","id":"o1","command":"pay"} {}`, 400, "code", "malformed_request"},
		{"{\"aggregate\":\"\xff\"}", 400, "code", "malformed_request"},
		{`{"aggregate":"account","id":"a1","command":"deposit","data":{"amount":5}}`, 200, "version", 1.0},
	}
	var body strings.Builder
	for _, l := range lines {
		body.WriteString(l.line + "\r\n\n")
	}
	r := f.do(http.MethodPost, "/v1/commands", body.String(), "Content-Type", ndjson).want(200)
	if got := r.header.Get("Content-Type"); got != ndjson {
		t.Errorf("the content type is %q", got)
	}
	answers := strings.Split(strings.TrimSuffix(r.body, "\n"), "\n")
	if len(answers) != len(lines) {
		t.Fatalf("%d answers to %d lines", len(answers), len(lines))
	}
	for i, text := range answers {
		got := decode[map[string]any](t, text)
		if got["status"] != lines[i].status || got[lines[i].key] != lines[i].want {
			t.Errorf("line %d, %s: %s", i, lines[i].line, text)
		}
		if lines[i].status >= 400 && (got["traceId"] == nil || got["title"] == nil) {
			t.Errorf("line %d is no whole problem: %s", i, text)
		}
	}
	if got := decode[map[string]any](t, answers[4]); got["instance"] != "/v1/orders/o1/pay" || got["state"] == nil {
		t.Errorf("the rejected line: %s", answers[4])
	}
	for i, c := range f.processor.mu.published[:3] {
		if want := []string{"order.v1.PlaceOrder", "order.v1.PayOrder", "order.v1.ShipOrder"}[i]; c.Type != want {
			t.Errorf("command %d is %s, not %s: the order is lost", i, c.Type, want)
		}
	}
}

func TestBatchWaitsAndFails(t *testing.T) {
	f := newFixture(t)
	f.models["orders_search"].err = query.ErrBehind
	line := `{"aggregate":"order","id":"o%d","command":"place","data":` + placeBody + "}\n"
	r := f.do(http.MethodPost, "/v1/commands", fmt.Sprintf(line+line, 1, 2), "Content-Type", ndjson, "Cqrs-Wait-For", "sql,search").want(200)
	if n := strings.Count(r.body, `"behind":["search"]`); n != 2 {
		t.Errorf("%d of 2 lines are behind: %s", n, r.body)
	}
	f.processor.override = func(c event.Command, _, _ string, _ []byte) (event.Outcome, error) {
		if c.Stream == "o1" {
			return event.Outcome{}, event.ErrUnavailable
		}
		return event.Outcome{}, event.ErrOutcomeUnknown
	}
	r = f.do(http.MethodPost, "/v1/commands", fmt.Sprintf(line+line, 1, 2), "Content-Type", ndjson).want(200)
	answers := strings.Split(r.body, "\n")
	for i, want := range []string{`"status":503`, `"status":504`} {
		if !strings.Contains(answers[i], want) || !strings.Contains(answers[i], "commandId") {
			t.Errorf("line %d: %s", i, answers[i])
		}
	}
}

func TestBadBatches(t *testing.T) {
	line := `{"aggregate":"order","id":"o1","command":"pay"}` + "\n"
	for name, tc := range map[string]struct {
		body    string
		headers []string
		status  int
		code    string
	}{
		"too many lines":   {strings.Repeat(line, 1001), nil, 413, "request_too_large"},
		"too large":        {strings.Repeat(" ", 16<<20+1), nil, 413, "request_too_large"},
		"JSON":             {line, []string{"Content-Type", "application/json"}, 415, "unsupported_media_type"},
		"key":              {line, []string{"Idempotency-Key", "k"}, 400, "malformed_request"},
		"expected version": {line, []string{"If-Match", `"1"`}, 400, "malformed_request"},
		"wait":             {line, []string{"Prefer", "wait=-1"}, 400, "malformed_request"},
	} {
		f := newFixture(t)
		p := f.do(http.MethodPost, "/v1/commands", tc.body, append([]string{"Content-Type", ndjson}, tc.headers...)...).want(tc.status).problem()
		if p.Code != tc.code || len(f.processor.mu.published) > 0 {
			t.Errorf("%s: %s, %d published", name, p.Code, len(f.processor.mu.published))
		}
	}
	f := newFixture(t)
	if r := f.do(http.MethodPost, "/v1/commands", strings.Repeat(line, 1000), "Content-Type", ndjson).want(200); strings.Count(r.body, "\n") != 1000 {
		t.Errorf("%d answers to 1,000 lines", strings.Count(r.body, "\n"))
	}
	if r := f.do(http.MethodPost, "/v1/commands", "", "Content-Type", ndjson).want(200); r.body != "" {
		t.Errorf("the answer to nothing is %q", r.body)
	}
	large := `{"aggregate":"order","id":"o1","command":"annotate","data":{"text":"` + strings.Repeat("a", 1<<20) + `"}}` + "\n"
	r := f.do(http.MethodPost, "/v1/commands", large+line, "Content-Type", ndjson).want(200)
	if answers := strings.Split(r.body, "\n"); !strings.Contains(answers[0], `"status":413`) || !strings.Contains(answers[1], `"status":409`) {
		t.Errorf("a large line: %.300s", r.body)
	}
}
