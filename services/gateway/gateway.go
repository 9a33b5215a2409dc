package gateway

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/gzhttp"
	"github.com/rs/cors"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/services/httpserver"
)

// Config is what a gateway works with.
type Config struct {
	// Table has the routes, and backends on other hosts. Routes to backends that are nowhere are an error, but for the built-in
	// ones (Defaults), which are left out.
	Table Table
	// Backends are those besides the table's; of two with the same name these count.
	Backends []Backend
	// Authenticator tells who asks. Required, unless the gateway is Unguarded.
	Authenticator Authenticator
	// Unguarded treats every route as open: who may do what is for the backends to say.
	Unguarded bool
	// Limiter counts; nil limits nobody.
	Limiter Limiter
	// LimiterOptional lets requests pass when the limiter cannot count. Without it they are refused.
	LimiterOptional bool
	// Keys sign who asks, for backends on other hosts; nil tells them nothing.
	Keys *principal.Keyring
	// Proxies before the gateway.
	Proxies httpserver.Proxies
	// Origins, such as https://shop.example, are the sites whose pages may read answers and change things.
	Origins []string
	// OnAnswer is told of each request when it has been answered, for metrics; it must not block. Optional.
	OnAnswer func(Answered)
	// Tracer makes a span of every request whose trace is sampled; nil: none.
	Tracer oteltrace.Tracer
	// Logger; nil is slog.Default(). Requests are logged at level info.
	Logger *slog.Logger
	// Audit is where refused requests, and all those of routes with Audit, are logged; nil is Logger.
	Audit *slog.Logger
	// Now defaults to time.Now.
	Now func() time.Time
}

// Answered is a request that has been answered.
type Answered struct {
	// Route is the path of its route, as it is configured; empty where there was none.
	Route string
	// Method is one of those that routes know, or "other".
	Method string
	Status int
	Took   time.Duration
}

// Gateway is the http.Handler before all others. It is safe for concurrent use. Keep Run going: it asks backends for their health.
type Gateway struct {
	cfg      Config
	router   router
	backends map[string]*backend
	cors     *cors.Cors
	sites    *http.CrossOriginProtection
	compress func(http.Handler) http.HandlerFunc
}

// New makes a gateway. Its errors wrap event.ErrConfig and say where in a file of routes they come from.
func New(cfg Config) (*Gateway, error) {
	g := &Gateway{cfg: cfg, backends: map[string]*backend{}, sites: http.NewCrossOriginProtection()}
	if g.cfg.Logger == nil {
		g.cfg.Logger = slog.Default()
	}
	if g.cfg.Audit == nil {
		g.cfg.Audit = g.cfg.Logger
	}
	if g.cfg.Now == nil {
		g.cfg.Now = time.Now
	}
	g.cfg.Proxies.By = cmp.Or(cfg.Proxies.By, httpserver.XForwardedFor)
	if (cfg.Authenticator == nil) != cfg.Unguarded {
		return nil, fmt.Errorf("%w: gateway: it needs either an Authenticator or to be Unguarded", event.ErrConfig)
	}
	for _, b := range slices.Concat(cfg.Table.Backends, cfg.Backends) {
		made, err := newBackend(b, g.changed)
		if err != nil {
			return nil, err
		}
		g.backends[b.Name] = made
	}
	// Parts are found by their routes, which must be there by then.
	for _, parts := range []bool{false, true} {
		for _, rt := range cfg.Table.Routes {
			if (len(rt.Parts) > 0) != parts {
				continue
			}
			if err := g.add(rt); err != nil {
				return nil, err
			}
		}
	}
	return g, g.browsers()
}

func (g *Gateway) add(r Route) error {
	r.Timeout, r.MaxBody = cmp.Or(r.Timeout, DefaultTimeout), cmp.Or(r.MaxBody, DefaultMaxBody)
	r.where = cmp.Or(r.where, "gateway")
	rt := &route{Route: r, backend: g.backends[r.Backend]}
	if err := r.check(); err != nil {
		return fmt.Errorf("%w: %s: %w", event.ErrConfig, r.where, err)
	}
	switch {
	case r.Backend != "" && rt.backend == nil && r.builtin:
		return nil
	case r.Backend != "" && rt.backend == nil:
		return fmt.Errorf("%w: %s: the route %s has the backend %q, which is nowhere", event.ErrConfig, r.where, r.Path, r.Backend)
	}
	if len(r.Parts) > 0 {
		err := g.addParts(rt)
		if err != nil && r.builtin {
			return nil // what it is made of is not here
		}
		if err != nil {
			return fmt.Errorf("%w: %s: %w", event.ErrConfig, r.where, err)
		}
	} else if rt.backend.Handler == nil {
		rt.proxy = g.proxy(rt)
	}
	return g.router.add(rt)
}

// addParts reads the parts of a route and sees whether somebody answers each.
func (g *Gateway) addParts(rt *route) error {
	if _, err := rt.parse(); err != nil {
		return err
	}
	var err error
	if rt.parts, err = parseParts(rt); err != nil {
		return err
	}
	for _, p := range rt.parts {
		r, err := http.NewRequest(http.MethodGet, p.path.sample(), nil)
		if err == nil {
			_, err = g.resolve(r)
		}
		if err != nil {
			return fmt.Errorf("the part %s of %s: no route with a backend takes GET %s", p.name, rt.Path, p.Target)
		}
	}
	return nil
}

// browsers prepares what is only for pages in browsers, and how answers are compressed.
func (g *Gateway) browsers() (err error) {
	for _, o := range g.cfg.Origins {
		if err := g.sites.AddTrustedOrigin(o); err != nil {
			return fmt.Errorf("%w: gateway: the origin %q must be such as https://shop.example: %w", event.ErrConfig, o, err)
		}
	}
	if len(g.cfg.Origins) > 0 {
		g.cors = cors.New(cors.Options{AllowedOrigins: g.cfg.Origins, AllowedMethods: append(slices.Clone(methods), http.MethodHead),
			AllowedHeaders: []string{"Authorization", "Content-Type", "Cqrs-After", "Cqrs-Unit", "Cqrs-Wait-For", "Idempotency-Key", "If-Match", "If-None-Match", "Prefer", "Traceparent", "Tracestate", "X-Request-Id"},
			ExposedHeaders: []string{"Cqrs-Position", "Cqrs-Stale", "Cqrs-Trace-Id", "ETag", "Idempotent-Replayed", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "X-Request-Id"},
			MaxAge:         600, OptionsSuccessStatus: http.StatusNoContent})
	}
	g.compress, err = gzhttp.NewWrapper(gzhttp.MinSize(minCompressed), gzhttp.CompressionLevel(1), gzhttp.ContentTypes(compressible))
	return err
}

// minCompressed is the least size of an answer that compressing is worth, in bytes.
const minCompressed = 1400

var compressible = []string{"application/json", "application/problem+json", "application/x-ndjson", "application/jwk-set+json", "text/html", "text/css", "text/plain",
	"application/javascript", "text/javascript", "image/svg+xml"}

// Run asks backends whether they are ready, until the context ends. Then it closes the connections to them.
func (g *Gateway) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	for _, b := range g.backends {
		watching.Go(func() { b.watch(ctx, g.changed) })
	}
	<-ctx.Done()
	watching.Wait()
	for _, b := range g.backends {
		b.transport.CloseIdleConnections()
	}
	return nil
}

// Routes are the paths and methods that the gateway takes, for tests and for people: "GET /v1/orders".
func (g *Gateway) Routes() []string {
	var out []string
	g.router.root.each(func(method string, rt *route) { out = append(out, method+" "+rt.Path) })
	slices.Sort(out)
	return out
}

func (g *Gateway) changed(backend, address, state string) {
	g.cfg.Logger.Warn("backend", "backend", backend, "address", address, "state", state)
}
