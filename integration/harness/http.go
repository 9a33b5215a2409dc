package harness

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Token is the operator's token of all that is tested; Ask sends it unless the headers have another.
const Token = "operator of the tests"

// web is the client of all tests: a request that nobody answers is a failure, not a wait for ever.
var web = &http.Client{Timeout: 70 * time.Second}

// Answer is an answer of an HTTP server.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// String shows all of it, for failures.
func (a Answer) String() string { return fmt.Sprintf("%d %v\n%s", a.Status, a.Header, a.Body) }

// Code is the code of a problem.
func (a Answer) Code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(a.Body, &p) // no JSON, no code
	return p.Code
}

// Into decodes the body.
func (a Answer) Into(t testing.TB, v any) {
	t.Helper()
	if err := json.Unmarshal(a.Body, v); err != nil {
		t.Fatalf("%v in %s", err, a)
	}
}

// Ask sends a request; body may be empty, headers are "Name: value".
func Ask(ctx context.Context, method, url, body string, headers ...string) (Answer, error) {
	var in io.Reader
	if body != "" {
		in = strings.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, method, url, in)
	if err != nil {
		return Answer{}, err
	}
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Authorization", "Bearer "+Token)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	resp, err := web.Do(r)
	if err != nil {
		return Answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return Answer{resp.StatusCode, resp.Header, b}, err
}

// readyAt reports whether the process with that operations port is ready, and if not, why.
func readyAt(ctx context.Context, ops string) error {
	a, err := Ask(ctx, http.MethodGet, ops+"/readyz", "")
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("not ready: %s", a.Body)
	}
	return nil
}
