package gateway

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// forward hands the request on to the backend of its route.
func (g *Gateway) forward(c *call, w http.ResponseWriter) {
	b := c.route.backend
	if err := b.enter(); err != nil {
		g.fail(c, w, unavailable().because(err))
		return
	}
	defer b.leave()
	if b.Handler != nil {
		b.Handler.ServeHTTP(w, c.inside())
		return
	}
	c.route.proxy.ServeHTTP(w, c.r)
}

// inside is the request as a handler in this process sees it: it comes from the client, and from whom is in its context.
func (c *call) inside() *http.Request {
	r := c.r.WithContext(WithCaller(c.r.Context(), c.caller))
	if c.source.IsValid() {
		r.RemoteAddr = netip.AddrPortFrom(c.source, 0).String()
	}
	return r
}

// proxy is what hands requests of a route on to other hosts.
func (g *Gateway) proxy(rt *route) *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport: &upstream{backend: rt.backend, retries: rt.Retries},
		Rewrite: func(pr *httputil.ProxyRequest) {
			pr.Out.URL.RawQuery = pr.In.URL.RawQuery // the backend judges it, not who is on the way
			g.outside(callOf(pr.In.Context()), pr.Out)
		},
		ModifyResponse: onlyOwn,
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			c := callOf(r.Context())
			g.fail(c, w, c.upstreamProblem(err))
		},
		BufferPool: buffers{},
		// What goes wrong while a body is copied is either the client's doing or seen by the breaker.
		ErrorLog: slog.NewLogLogger(g.cfg.Logger.Handler(), slog.LevelDebug),
	}
}

// outside makes the request as a server on another host sees it. ReverseProxy has removed what is between two hops.
func (g *Gateway) outside(c *call, out *http.Request) {
	out.Host = "" // the backend's own
	h := out.Header
	h.Del("Connection")
	h.Del("Upgrade")
	if c.source.IsValid() {
		h.Set("X-Forwarded-For", c.source.String())
	}
	h.Set("X-Forwarded-Host", c.r.Host)
	h.Set("X-Forwarded-Proto", "http")
	if c.r.TLS != nil {
		h.Set("X-Forwarded-Proto", "https")
	}
	g.introduce(c, out)
}

// onlyOwn lets no error page of a framework or a server in between out, and nothing that the gateway says itself.
func onlyOwn(resp *http.Response) error {
	for _, name := range []string{"Cqrs-Trace-Id", "X-Request-Id", "X-Content-Type-Options", "Strict-Transport-Security"} {
		resp.Header.Del(name)
	}
	if resp.StatusCode >= http.StatusInternalServerError && !isProblem(resp.Header) {
		return errBroken
	}
	return nil
}

// upstreamProblem decides what a client learns of a backend that did not answer.
func (c *call) upstreamProblem(err error) *problem {
	var late net.Error
	timeout := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errAttempt) || errors.As(err, &late) && late.Timeout()
	switch p := c.fault(err); {
	case p != nil:
		return p
	case notSent(err):
		return unavailable().because(err)
	case !safe(c.r.Method) && c.commandID != "":
		return unknown(c.commandID).because(err)
	case timeout:
		return gatewayTimeout().because(err)
	case errors.Is(err, context.Canceled): // the client has gone, or the gateway stops
		return unavailable().because(err)
	}
	return badGateway().because(err)
}

// patience is how long a request of the route may take.
func (rt *route) patience(h http.Header) time.Duration {
	if !rt.Waits {
		return rt.Timeout
	}
	wait := defaultWait
	for part := range strings.SplitSeq(strings.Join(h.Values("Prefer"), ","), ",") {
		part, _, _ = strings.Cut(part, ";")
		name, value, _ := strings.Cut(part, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		if n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31); err == nil {
			wait = min(time.Duration(n)*time.Second, maxWait)
		}
		break // the first one counts
	}
	return rt.Timeout + wait
}

// What Prefer: wait asks for where it is absent, and at most.
const (
	defaultWait = 10 * time.Second
	maxWait     = 60 * time.Second
)

// buffers are those through which bodies are copied.
type buffers struct{}

var bufferPool = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func (buffers) Get() []byte  { return bufferPool.Get().(*[32 << 10]byte)[:] }
func (buffers) Put(b []byte) { bufferPool.Put((*[32 << 10]byte)(b)) }
