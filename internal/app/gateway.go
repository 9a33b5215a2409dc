package app

import (
	"context"
	"strconv"

	"github.com/cqrsflow/cqrsflow/internal/config"
	"github.com/cqrsflow/cqrsflow/internal/lifecycle"
	"github.com/cqrsflow/cqrsflow/services/gateway"
)

// The backends that the built-in routes name.
const (
	apiBackend      = "api"
	identityBackend = "identity"
)

// startGateway is the role gateway: the one public door, before the other roles of this process and of others. A role
// of this process answers itself, wherever else it is said to be.
func (p *process) startGateway(ctx context.Context, port *publicPort) error {
	c := &p.cfg.Gateway
	made := gateway.Config{Table: gateway.Defaults(), LimiterOptional: c.LimitsOptional, Keys: p.keys, Origins: c.Origins, Tracer: p.tracer, Logger: p.log,
		OnAnswer: func(a gateway.Answered) {
			p.metrics.requests.WithLabelValues(a.Route, a.Method, strconv.Itoa(a.Status)).Observe(a.Took.Seconds())
		}}
	if c.Routes != "" {
		t, err := gateway.ReadTable(c.Routes)
		if err != nil {
			return err
		}
		made.Table = t.Over(made.Table)
	}
	var err error
	made.Proxies.By = c.ForwardedBy
	if made.Proxies.Trusted, err = networks("gateway.trusted_proxies", c.TrustedProxies); err != nil {
		return err
	}
	if made.Authenticator, err = p.authenticator(); err != nil {
		return err
	}
	if made.Limiter, err = p.limiter(ctx); err != nil {
		return err
	}
	made.Backends = p.backends(port)
	g, err := gateway.New(made)
	if err != nil {
		return err
	}
	port.gateway = g
	p.group.Go(lifecycle.Last, "gateway", g.Run)
	p.ops.Register(config.RoleGateway, func() (bool, string) { return true, strconv.Itoa(len(g.Routes())) + " routes" })
	return nil
}

// backends are what is in this process, and what the settings say is in others.
func (p *process) backends(port *publicPort) []gateway.Backend {
	c := &p.cfg.Gateway
	health := gateway.Health{Port: c.BackendOps}
	var out []gateway.Backend
	switch {
	case port.rest != nil:
		out = append(out, gateway.Backend{Name: apiBackend, Handler: port.rest})
	case len(c.API) > 0:
		out = append(out, gateway.Backend{Name: apiBackend, URLs: c.API, Health: health})
	}
	switch {
	case p.identity != nil:
		out = append(out, gateway.Backend{Name: identityBackend, Handler: p.identity})
	case len(c.Identity) > 0:
		out = append(out, gateway.Backend{Name: identityBackend, URLs: c.Identity, Health: health})
	}
	return out
}
