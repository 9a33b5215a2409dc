package app

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/cqrsflow/cqrsflow/consumers/assignments"
	"github.com/cqrsflow/cqrsflow/consumers/postgres/experiments"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/lifecycle"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/services/api"
	"github.com/cqrsflow/cqrsflow/services/gateway"
	"github.com/cqrsflow/cqrsflow/services/httpserver"
	"github.com/cqrsflow/cqrsflow/services/identity"
	"github.com/cqrsflow/cqrsflow/topology"
)

// publicPort is the public HTTP port, taken before there is anything to serve: a taken port is found before
// anything else has begun.
type publicPort struct {
	*httpserver.Server
	// certificate is nil without TLS.
	certificate *httpserver.Certificate
	handler     atomic.Pointer[http.Handler]
	// mounted is what the roles serve, by paths; rest serves all others, and is nil where nobody does. They are set before requests are answered.
	mounted map[string]http.Handler
	rest    http.Handler
	// gateway stands before them where the process has that role.
	gateway http.Handler
}

func listenPublic(ctx context.Context, cfg *config.Settings, log *slog.Logger) (*publicPort, error) {
	p := &publicPort{mounted: map[string]http.Handler{}}
	c := httpserver.Config{Addr: cfg.Roles.HTTP, Flag: config.Name("http.addr"), PlainHTTP2: cfg.Roles.H2C,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*p.handler.Load()).ServeHTTP(w, r) }),
		Grace:   lifecycle.DefaultStopTimeout * 4 / 5}
	var err error
	if cfg.Roles.TLSCert != "" {
		if p.certificate, err = httpserver.OpenCertificate(cfg.Roles.TLSCert, cfg.Roles.TLSKey, 0, log); err != nil {
			return nil, err
		}
		c.Certificate = p.certificate.Get
	}
	p.Server, err = httpserver.Listen(ctx, c)
	return p, err
}

// url is where the port is reached from this machine.
func (p *publicPort) url() string {
	u := baseURL(p.Addr())
	if p.certificate != nil {
		u = "https" + strings.TrimPrefix(u, "http")
	}
	return u
}

// route finds who serves a path: whoever has mounted it, or a path above it that ends in a slash. Paths are taken as they are.
func (p *publicPort) route(w http.ResponseWriter, r *http.Request) {
	for path, handler := range p.mounted {
		if r.URL.Path == path || strings.HasSuffix(path, "/") && strings.HasPrefix(r.URL.Path, path) {
			handler.ServeHTTP(w, r)
			return
		}
	}
	if p.rest == nil {
		http.NotFound(w, r)
		return
	}
	p.rest.ServeHTTP(w, r)
}

// startAPI is the role query: the public HTTP API, for commands and queries.
func (p *process) startAPI(_ context.Context, port *publicPort) error {
	pool := p.store.Pool()
	waiter, err := query.NewWaiter(query.WaiterConfig{Pool: pool, Logger: p.log})
	if err != nil {
		return err
	}
	p.group.Go(lifecycle.Last, "checkpoint waiter", waiter.Run)
	c := api.Config{Aggregates: aggregates.Open(), Commands: p.publisher, Partitions: p.publisher.Partitions, Principals: p.keys, Gateway: true,
		MaxBody: int64(p.cfg.Roles.MaxBody), Described: identity.Operations(), Problems: identity.Problems(), Tracer: p.tracer, Logger: p.log}
	for _, t := range aggregates.All() {
		names := topology.TopicsOf(p.cfg.General.Prefix, t.Name)
		c.Topics = append(c.Topics, api.Topics{Type: t, Commands: names.Commands, Events: names.Events, Outcomes: names.Outcomes})
	}
	if p.policies != nil {
		c.Access = p.policies
	}
	if c.Authenticate, err = p.authenticate(); err != nil {
		return err
	}
	c.MaxBatchBody = max(16<<20, c.MaxBody)
	c.ReadPostgres(pool, waiter)
	c.Search = p.search.reader
	c.Progress[searchindex.Name] = p.search.reader
	if c.Assigner, err = p.followExperiments(); err != nil {
		return err
	}
	made, err := api.New(c)
	if err != nil {
		return err
	}
	port.rest = made
	return nil
}

// followExperiments knows which experiments run. The API is ready once it does, so that after a restart no unit is served by another
// variant than before.
func (p *process) followExperiments() (*assignments.Follower, error) {
	types := p.byName()
	f, err := assignments.New(assignments.Config{Kafka: p.kafka, Prefix: p.cfg.General.Prefix, Experiment: types[experiments.Aggregate], Tried: types, Logger: p.log})
	if err != nil {
		return nil, err
	}
	p.group.Go(lifecycle.Last, "experiments", f.Run)
	p.ops.Register("experiments", f.Ready)
	return f, nil
}

// startHTTP answers on the public port what the roles have put there: the gateway, or what stands behind one on another host.
func (p *process) startHTTP(port *publicPort) error {
	handler := gateway.Trust(p.keys, p.log, http.HandlerFunc(port.route))
	if port.gateway != nil {
		handler = port.gateway
	}
	port.handler.Store(&handler)
	if port.certificate != nil {
		p.group.Go(lifecycle.Last, "TLS certificate", port.certificate.Run)
	}
	p.group.Go(lifecycle.Intake, "HTTP API", port.Run)
	return nil
}
