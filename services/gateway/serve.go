package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/cqrsflow/cqrsflow/internal/tracing"
	"github.com/cqrsflow/cqrsflow/services/trace"
)

// call is a request on its way through the gateway.
type call struct {
	w *answer
	// conn is what the server gave: reading too large a body tells it to close the connection.
	conn   http.ResponseWriter
	r      *http.Request
	trace  trace.Context
	span   tracing.Span
	source netip.Addr
	began  time.Time
	route  *route
	vars   func() map[string]string
	caller Caller
	// commandID is the Idempotency-Key, where the request has one or got one.
	commandID string
	// code is that of the gateway's own problem, err what was wrong: for the log.
	code string
	err  error
}

type callKey struct{}

func callOf(ctx context.Context) *call { return ctx.Value(callKey{}).(*call) }

// ServeHTTP answers a request, or hands it on.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{w: &answer{ResponseWriter: w}, conn: w, r: r, trace: trace.Of(r.Header), source: g.cfg.Proxies.SourceOf(r), began: g.cfg.Now()}
	c.span = c.trace.Begin(g.cfg.Tracer, r, "gateway")
	h := c.w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cqrs-Trace-Id", c.trace.TraceID)
	h.Set("X-Request-Id", c.requestID())
	if r.TLS != nil {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	defer g.done(c)
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				c.err = err
				panic(p)
			}
			g.panicked(c, p)
		}
	}()
	if g.cors != nil {
		g.cors.HandlerFunc(c.w, r)
		if c.w.status != 0 { // it was a preflight
			return
		}
	}
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		g.compress(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { g.serve(c, w) }))(c.w, r)
	} else {
		g.serve(c, c.w)
	}
	if c.w.status == 0 { // a handler that says nothing means this
		c.w.WriteHeader(http.StatusOK)
	}
}

// serve writes to w, which may compress what c.w gets.
func (g *Gateway) serve(c *call, w http.ResponseWriter) {
	if err := g.admit(c, w); err != nil {
		g.fail(c, w, err)
		return
	}
	ctx, cancel := context.WithTimeout(context.WithValue(c.r.Context(), callKey{}, c), c.route.patience(c.r.Header))
	defer cancel()
	c.r = c.r.WithContext(ctx)
	if b, ok := c.r.Body.(*body); ok && !b.whole.Load() {
		defer b.bound(ctx, c.conn)()
	}
	if c.route.parts != nil {
		g.compose(c, w)
		return
	}
	g.forward(c, w)
}

// admit finds the route and decides whether the request may take it.
func (g *Gateway) admit(c *call, w http.ResponseWriter) (err error) {
	segments, slash, err := segmentsOf(c.r.URL)
	if err != nil {
		return err
	}
	if c.route, err = g.router.find(c.r.Method, segments); err != nil {
		return err
	}
	if slash && !c.route.EncodedSlash {
		return malformed("The path has an encoded slash.")
	}
	if err := g.sites.Check(c.r); err != nil {
		return crossOrigin().because(err)
	}
	c.vars = func() map[string]string { return c.route.variables(segments) }
	if err := g.limit(c, w, false); err != nil {
		return err
	}
	if err := g.authenticate(c); err != nil {
		return err
	}
	if err := g.limit(c, w, true); err != nil {
		return err
	}
	if err := takeBody(c.conn, c.r, c.route.MaxBody); err != nil {
		return err
	}
	g.prepare(c)
	return nil
}

// authenticate tells who asks, and refuses who may not.
func (g *Gateway) authenticate(c *call) error {
	if c.route.Open || g.cfg.Unguarded {
		return nil
	}
	caller, err := g.cfg.Authenticator.Authenticate(c.r.Context(), c.r)
	switch {
	case errors.Is(err, ErrUnauthenticated), err == nil && caller.Anonymous():
		return unauthenticated().because(err)
	case err != nil: // who cannot be told from others is nobody
		return unavailable().because(err)
	}
	c.caller = caller
	if len(c.route.Roles) > 0 && !caller.HasAny(c.route.Roles) {
		return denied()
	}
	return nil
}

// prepare makes the header that a backend sees: nothing in it is the client's word that is for the gateway to say.
func (g *Gateway) prepare(c *call) {
	h := c.r.Header
	clean(h)
	h.Set("Traceparent", c.trace.Parent)
	if !c.trace.Continued {
		h.Del("Tracestate")
	}
	if c.trace.RequestID != "" {
		h.Set("X-Request-Id", c.trace.RequestID)
	}
	if c.commandID = h.Get("Idempotency-Key"); c.commandID == "" && c.route.Command {
		c.commandID = uuid.Must(uuid.NewV7()).String()
		h.Set("Idempotency-Key", c.commandID)
	}
	// The site has been looked at; backends know of no host but their own.
	h.Del("Origin")
	h.Del("Sec-Fetch-Site")
}

// requestID is the client's, or the trace's.
func (c *call) requestID() string {
	if c.trace.RequestID != "" {
		return c.trace.RequestID
	}
	return c.trace.TraceID
}

// fail answers with the problem that err is.
func (g *Gateway) fail(c *call, w http.ResponseWriter, err error) {
	var p *problem
	if !errors.As(err, &p) {
		p = internal().because(err)
	}
	c.code, c.err = p.Code, err
	if c.w.status != 0 {
		panic(http.ErrAbortHandler) // the answer has begun: only a broken connection tells that it is not whole
	}
	p.write(w, c.r, c.trace)
}

func (g *Gateway) panicked(c *call, p any) {
	g.cfg.Logger.Error("request panicked", "method", c.r.Method, "path", c.r.URL.Path, "traceId", c.trace.TraceID, "panic", p, "stack", string(debug.Stack()))
	g.fail(c, c.w, internal())
}
