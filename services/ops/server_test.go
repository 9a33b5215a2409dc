package ops

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func get(t *testing.T, s *Server, path string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w.Code, w.Body.String()
}

func TestHealth(t *testing.T) {
	s := New(Config{})
	var caughtUp atomic.Bool
	s.Register("project-sql/orders", func() (bool, string) {
		if caughtUp.Load() {
			return true, ""
		}
		return false, "12 records behind"
	})
	s.Register("command", func() (bool, string) { return true, "8 partitions" })
	expect := func(path string, status int, want Readiness) {
		t.Helper()
		code, body := get(t, s, path)
		if code != status {
			t.Errorf("%s answers %d, want %d: %s", path, code, status, body)
		}
		if path != "/readyz" {
			return
		}
		var got Readiness
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", path, d)
		}
	}
	behind := Part{Name: "project-sql/orders", Reason: "12 records behind"}
	command := Part{Name: "command", Ready: true, Reason: "8 partitions"}
	expect("/livez", 200, Readiness{})
	expect("/startupz", 503, Readiness{})
	expect("/readyz", 503, Readiness{Parts: []Part{{Name: "start", Reason: "starting"}, command, behind}})
	s.Started()
	expect("/startupz", 200, Readiness{})
	expect("/readyz", 503, Readiness{Parts: []Part{command, behind}})
	caughtUp.Store(true)
	expect("/readyz", 200, Readiness{Ready: true, Parts: []Part{command, {Name: "project-sql/orders", Ready: true}}})
	expect("/livez", 200, Readiness{})
}

func TestMetricsAndProfiles(t *testing.T) {
	s := New(Config{})
	s.Register("command", func() (bool, string) { return false, "no" })
	s.Started()
	code, body := get(t, s, "/metrics")
	for _, want := range []string{`cqrsflow_ready{part="command"} 0`, "go_goroutines", "process_start_time_seconds"} {
		if code != 200 || !strings.Contains(body, want) {
			t.Errorf("/metrics answers %d without %s", code, want)
		}
	}
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/heap"} {
		if code, _ := get(t, s, path); code != 200 {
			t.Errorf("%s answers %d", path, code)
		}
	}
	if code, _ := get(t, s, "/nothing"); code != 404 {
		t.Errorf("/nothing answers %d", code)
	}
}

func TestHandleAsksForTheToken(t *testing.T) {
	for _, c := range []struct {
		token, header string
		want          int
	}{
		{"s3cret", "Bearer s3cret", 204},
		{"s3cret", "Bearer s3cre", 401},
		{"s3cret", "s3cret", 401},
		{"s3cret", "", 401},
		{"", "Bearer ", 403},
		{"", "", 403},
	} {
		s := New(Config{Token: c.token})
		called := false
		s.Handle("POST /parked/retry", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { called = true; w.WriteHeader(204) }))
		r := httptest.NewRequest(http.MethodPost, "/parked/retry", nil)
		if c.header != "" {
			r.Header.Set("Authorization", c.header)
		}
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		if w.Code != c.want || called != (c.want == 204) {
			t.Errorf("token %q, header %q: %d, called %v, want %d", c.token, c.header, w.Code, called, c.want)
		}
		if c.want != 204 && w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("the refusal is %q", w.Header().Get("Content-Type"))
		}
	}
}

func TestServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := New(Config{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx, l) }()
	client := &http.Client{Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + l.Addr().String() + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("/livez answers %d", resp.StatusCode)
	}
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it does not stop")
	}
}
