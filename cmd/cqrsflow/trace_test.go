package main

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// spans is a collector that takes OTLP over HTTP.
type spans struct {
	url  string
	news chan struct{}
	mu   sync.Mutex
	all  []*tracepb.Span
}

func collect(t *testing.T) *spans {
	t.Helper()
	c := &spans{news: make(chan struct{}, 1)}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var req collector.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &req)
		}
		if err != nil || r.URL.Path != "/v1/traces" {
			t.Errorf("%s: %v", r.URL.Path, err)
			http.Error(w, "no", http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, of := range req.ResourceSpans {
			for _, in := range of.ScopeSpans {
				c.all = append(c.all, in.Spans...)
			}
		}
		select {
		case c.news <- struct{}{}:
		default:
		}
	}))
	t.Cleanup(s.Close)
	c.url = s.URL
	return c
}

// trace returns the spans of a trace: their names, with the projection of those that have one, and that of the span above each.
func (c *spans) trace(id string) map[string]string {
	c.mu.Lock()
	defer c.mu.Unlock()
	names, out := map[string]string{}, map[string]string{}
	name := func(s *tracepb.Span) string {
		for _, a := range s.Attributes {
			if a.Key == "cqrsflow.projection" {
				return s.Name + " for " + a.Value.GetStringValue()
			}
		}
		return s.Name
	}
	for _, s := range c.all {
		if hex.EncodeToString(s.TraceId) == id {
			names[string(s.SpanId)] = name(s)
		}
	}
	for _, s := range c.all {
		if hex.EncodeToString(s.TraceId) == id {
			above := names[string(s.ParentSpanId)]
			if above == "" {
				above = hex.EncodeToString(s.ParentSpanId)
			}
			out[name(s)] = above
		}
	}
	return out
}

// One trace goes from the caller's span over the request, the command and its events to the rows and the document.
func TestTraceOfACommand(t *testing.T) {
	c := collect(t)
	d := startDev(t, filepath.Join(t.TempDir(), "data"), "--telemetry-otlp", c.url)
	d.await("Ctrl-C stops")
	const id, caller = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	place := func(order, parent string) {
		t.Helper()
		body := strings.NewReader(`{"customer":"ada","lines":[{"sku":"cd","name":"CD","quantity":1,"total":{"amount":"11.77","currency":"USD"}}]}`)
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.file().Server+"/v1/orders/"+order+"/place", body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Content-Type": {"application/json"}, "Traceparent": {parent}, "Cqrs-Wait-For": {"sql, search, history"},
			"Authorization": {"Bearer " + d.file().Token}}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Cqrs-Trace-Id") != parent[3:35] {
			t.Fatalf("%s, of the trace %s", resp.Status, resp.Header.Get("Cqrs-Trace-Id"))
		}
	}
	const other = "0af7651916cd43dd8448eb211c80319c"
	place("o-2", "00-"+other+"-"+caller+"-00") // whose caller does not want it sampled
	place("o-1", "00-"+id+"-"+caller+"-01")
	const request, command, decided = "POST /v1/{aggregates}/{id}/{command}", "send cqrsflow.order.commands", "process cqrsflow.order.commands"
	want := map[string]string{
		request: caller, command: request, decided: command,
		"process cqrsflow.order.events for orders":        decided,
		"process cqrsflow.order.events for orders_search": decided,
		"process cqrsflow.order.events for history":       decided,
		"process cqrsflow.order.outcomes for history":     decided,
	}
	deadline := time.After(time.Minute)
	for {
		got := c.trace(id)
		missing := false
		for name, above := range want {
			missing = missing || got[name] != above
		}
		if !missing {
			break
		}
		select {
		case <-c.news:
		case <-deadline:
			t.Fatalf("the trace has\n%v\nwant\n%v", got, want)
		}
	}
	if got := c.trace(other); len(got) > 0 {
		t.Errorf("spans of a trace that is not sampled: %v", got)
	}
}
