package ops

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Register adds a part to /readyz and to the metric cqrsflow_ready; another one of the same name is replaced.
func (s *Server) Register(name string, check Check) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.checks[name] = check
}

// Started ends the start: every part has been registered. Until then nothing is ready.
func (s *Server) Started() { s.started.Store(true) }

// Starting says what the start waits for, which /readyz tells until Started; empty is nothing in particular.
func (s *Server) Starting(reason string) { s.waiting.Store(&reason) }

// Part is a part's readiness.
type Part struct {
	Name   string `json:"name"`
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
}

// Readiness is the body of /readyz.
type Readiness struct {
	Ready bool   `json:"ready"`
	Parts []Part `json:"parts"`
}

// Readiness asks every part, in the order of their names.
func (s *Server) Readiness() Readiness {
	s.mu.RLock()
	checks := maps.Clone(s.mu.checks)
	s.mu.RUnlock()
	out := Readiness{Ready: s.started.Load(), Parts: []Part{}}
	if !out.Ready {
		start := Part{Name: "start", Reason: "starting"}
		if why := s.waiting.Load(); why != nil && *why != "" {
			start.Reason = "waiting: " + *why
		}
		out.Parts = append(out.Parts, start)
	}
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		ok, reason := checks[name]()
		out.Ready = out.Ready && ok
		out.Parts = append(out.Parts, Part{Name: name, Ready: ok, Reason: reason})
	}
	return out
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	r := s.Readiness()
	answer(w, r.Ready, r)
}

// livez says that the process answers, nothing more: a process must not be restarted because a server that
// it depends on is away.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	answer(w, true, map[string]bool{"alive": true})
}

func (s *Server) startupz(w http.ResponseWriter, _ *http.Request) {
	started := s.started.Load()
	answer(w, started, map[string]bool{"started": started})
}

func answer(w http.ResponseWriter, ok bool, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !ok {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(body)
}

// readiness collects cqrsflow_ready.
type readiness struct{ s *Server }

var readyDesc = prometheus.NewDesc("cqrsflow_ready", "1 where a part of the process is ready, as /readyz says.", []string{"part"}, nil)

func (r readiness) Describe(c chan<- *prometheus.Desc) { c <- readyDesc }

func (r readiness) Collect(c chan<- prometheus.Metric) {
	for _, p := range r.s.Readiness().Parts {
		v := 0.0
		if p.Ready {
			v = 1
		}
		c <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, v, p.Name)
	}
}
