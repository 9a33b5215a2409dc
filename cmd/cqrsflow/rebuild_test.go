package main

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/cqrsflow/cqrsflow/internal/app"
)

// operations is as much of an operations port as a rebuild talks to.
type operations struct {
	mu       sync.Mutex
	versions []app.ProjectionVersion
	asked    []string
	// onList, where set, is called before each list, with its number; it may answer instead.
	onList func(n int, w http.ResponseWriter) (answered bool)
	lists  int
}

func (o *operations) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/projections":
		o.lists++
		if o.onList != nil && o.onList(o.lists, w) {
			return
		}
		_ = json.NewEncoder(w).Encode(o.versions)
	case "/projections/rebuild":
		var in app.VersionRequest
		_ = json.NewDecoder(r.Body).Decode(&in)
		o.asked = append(o.asked, in.Projection)
		_ = json.NewEncoder(w).Encode(app.VersionResult{Projection: in.Projection, Version: 2, Began: true})
	case "/parked":
		_ = json.NewEncoder(w).Encode([]app.Parked{{Projection: "orders", Version: 1}, {Projection: "orders", Version: 2}})
	default:
		http.NotFound(w, r)
	}
}

func (o *operations) run(ctx context.Context, t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	server := httptest.NewServer(o)
	defer server.Close()
	var out, errs strings.Builder
	code = run(ctx, &environment{args: append(args, "--ops-url", server.URL, "--token", "t"), stdin: strings.NewReader(""), stdout: &out, stderr: &errs})
	return code, out.String(), errs.String()
}

func two() []app.ProjectionVersion {
	return []app.ProjectionVersion{{Projection: "orders", Version: 1, State: "active"},
		{Projection: "orders", Version: 2, State: "building", Members: 1, Done: 43, Total: 100}}
}

func TestRebuildWaitsForTheSwitch(t *testing.T) {
	o := &operations{versions: two()}
	o.onList = func(n int, w http.ResponseWriter) bool {
		switch n {
		case 2: // the process that is asked is being restarted
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"code":"unavailable","detail":"no"}`))
			return true
		case 3:
			o.versions[0].State, o.versions[1].State = "retired", "active"
		}
		return false
	}
	code, out, errs := o.run(t.Context(), t, "rebuild", "orders")
	if code != 0 || out != "orders: readers see version 2 now; 1 events of it are parked, see `cqrsflow parked list orders`\n" || errs != "" || o.lists != 3 {
		t.Errorf("%d after %d lists: %s%s", code, o.lists, out, errs)
	}
}

func TestRebuildInterrupted(t *testing.T) {
	o := &operations{versions: two()}
	ctx, cancel := context.WithCancel(t.Context())
	o.onList = func(n int, _ http.ResponseWriter) bool {
		if n == 2 {
			cancel()
		}
		return false
	}
	code, out, errs := o.run(ctx, t, "projection", "rebuild", "orders")
	if code != 1 || out != "" || !strings.Contains(errs, "goes on") || !strings.Contains(errs, "projection list") || !strings.Contains(errs, "projection cancel orders") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
}

func TestRebuildCancelledMeanwhile(t *testing.T) {
	o := &operations{versions: two()}
	o.onList = func(n int, _ http.ResponseWriter) bool {
		if n == 2 {
			o.versions = o.versions[:1]
		}
		return false
	}
	if code, out, errs := o.run(t.Context(), t, "rebuild", "orders"); code != 1 || !strings.Contains(errs, "cancelled") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
}

func TestRebuildAllWithoutWaiting(t *testing.T) {
	o := &operations{versions: append(two(), app.ProjectionVersion{Projection: "history", Version: 1, State: "active"})}
	code, out, errs := o.run(t.Context(), t, "rebuild", "--all", "--no-wait", "--json")
	if code != 0 || strings.Join(o.asked, " ") != "orders history" || strings.Count(out, `"state": "building"`) != 2 || o.lists != 1 {
		t.Errorf("%d, asked for %v: %s%s", code, o.asked, out, errs)
	}
	for _, args := range [][]string{{"rebuild"}, {"rebuild", "orders", "--all"}} {
		if code, _, errs := o.run(t.Context(), t, args...); code != 2 || !strings.Contains(errs, "--all") {
			t.Errorf("%v: %d: %s", args, code, errs)
		}
	}
}

func TestProjectionList(t *testing.T) {
	o := &operations{versions: two()}
	if code, out, errs := o.run(t.Context(), t, "projection", "list"); code != 0 || !strings.Contains(out, "building, 43 %") {
		t.Errorf("%d: %s%s", code, out, errs)
	}
}
