// Package ops is the operations port: metrics, health, profiles, and what an operator changes. It is never
// public; what changes something asks for a bearer token all the same.
package ops

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config configures a Server; the zero value will do.
type Config struct {
	// Logger defaults to slog.Default.
	Logger *slog.Logger
	// Registry is what /metrics serves; nil makes one with the collectors for the Go runtime and the process.
	Registry *prometheus.Registry
	// Token is what Handle's endpoints ask for as "Authorization: Bearer TOKEN". Where it is empty they
	// answer 403: nobody can change anything.
	Token string
}

// Check says whether a part is ready, and why not, or how it stands. It must not block.
type Check func() (ok bool, reason string)

// Server is the operations port. Its methods are safe for concurrent use.
type Server struct {
	cfg      Config
	registry *prometheus.Registry
	mux      *http.ServeMux
	started  atomic.Bool
	// waiting is what the start waits for.
	waiting atomic.Pointer[string]

	mu struct {
		sync.RWMutex
		checks map[string]Check
	}
}

// New makes a server that Serve runs.
func New(cfg Config) *Server {
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Registry == nil {
		cfg.Registry = prometheus.NewRegistry()
		cfg.Registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	s := &Server{cfg: cfg, registry: cfg.Registry, mux: http.NewServeMux()}
	s.mu.checks = map[string]Check{}
	cfg.Registry.MustRegister(readiness{s})
	s.mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Registry, promhttp.HandlerOpts{Registry: cfg.Registry}))
	s.mux.HandleFunc("GET /livez", s.livez)
	s.mux.HandleFunc("GET /readyz", s.readyz)
	s.mux.HandleFunc("GET /startupz", s.startupz)
	s.mux.HandleFunc("/debug/pprof/", pprof.Index)
	s.mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	s.mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	s.mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	s.mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return s
}

// Registry is where parts register their metrics.
func (s *Server) Registry() *prometheus.Registry { return s.registry }

// Handle adds an endpoint that asks for the token. The pattern is http.ServeMux's.
func (s *Server) Handle(pattern string, h http.Handler) {
	s.mux.Handle(pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		want := "Bearer " + s.cfg.Token
		switch got := r.Header.Get("Authorization"); {
		case s.cfg.Token == "":
			Problem(w, http.StatusForbidden, "permission_denied", "no token is configured: set CQRSFLOW_TOKEN")
		case subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1:
			w.Header().Set("WWW-Authenticate", "Bearer")
			Problem(w, http.StatusUnauthorized, "unauthenticated", "this needs the token of the operations port")
		default:
			h.ServeHTTP(w, r)
		}
	}))
}

// ServeHTTP makes the server a handler, for tests.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Serve answers on the listener until ctx ends; then it lets running requests finish for at most 5 s.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{Handler: s, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute,
		ErrorLog: slog.NewLogLogger(s.cfg.Logger.Handler(), slog.LevelDebug)}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(stop); err != nil {
		_ = server.Close() // a profile that is still being taken does not hold the process back
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Problem answers with an RFC 9457 problem.
func Problem(w http.ResponseWriter, status int, code, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{
		"type": "about:blank", "title": http.StatusText(status), "status": status, "code": code, "detail": detail})
}
