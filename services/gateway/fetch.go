package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"
)

// maxPart bounds the answer of a part, in bytes.
const maxPart = 8 << 20

// handed on from the request to its parts.
var handedOn = []string{"Authorization", "Cqrs-After", "Prefer", "Traceparent", "Tracestate", "X-Request-Id", "User-Agent", "Accept-Language"}

// fetch asks for a target as the caller of c would: by its route, with that route's requirements, and of its backend.
func (g *Gateway) fetch(ctx context.Context, c *call, target string) partAnswer {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return c.noPart(internal().because(err))
	}
	r.RequestURI, r.RemoteAddr, r.Host, r.Proto, r.TLS = target, c.r.RemoteAddr, c.r.Host, c.r.Proto, c.r.TLS
	for _, name := range handedOn {
		if values := c.r.Header.Values(name); values != nil {
			r.Header[name] = values
		}
	}
	rt, err := g.resolve(r)
	if err != nil {
		return c.noPart(notFound())
	}
	switch {
	case rt.Open || g.cfg.Unguarded:
	case c.caller.Anonymous():
		return c.noPart(unauthenticated())
	case len(rt.Roles) > 0 && !c.caller.HasAny(rt.Roles):
		return c.noPart(denied())
	}
	if err := rt.backend.enter(); err != nil {
		return c.noPart(unavailable().because(err))
	}
	var resp *http.Response
	if rt.backend.Handler != nil {
		resp, err = g.fetchInside(c, rt.backend, r)
	} else {
		defer rt.backend.leave()
		g.outside(c, r)
		resp, err = (&upstream{backend: rt.backend, retries: rt.Retries}).RoundTrip(r)
	}
	if err != nil {
		return c.noPart(c.upstreamProblem(err))
	}
	defer resp.Body.Close()
	return c.read(resp)
}

// read turns a response into an answer.
func (c *call) read(resp *http.Response) partAnswer {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPart+1))
	switch {
	case err != nil:
		return c.noPart(c.upstreamProblem(err))
	case len(body) > maxPart:
		return c.noPart(badGateway().because(fmt.Errorf("the answer has more than %d bytes", maxPart)))
	case resp.StatusCode == http.StatusOK:
		return partAnswer{header: resp.Header, body: body}
	case resp.StatusCode >= http.StatusBadRequest && isProblem(resp.Header):
		return partAnswer{problem: bytes.TrimSpace(body), status: resp.StatusCode}
	}
	return c.noPart(badGateway().because(fmt.Errorf("the answer has the status %d", resp.StatusCode)))
}

func (g *Gateway) resolve(r *http.Request) (*route, error) {
	segments, _, err := segmentsOf(r.URL)
	if err != nil {
		return nil, err
	}
	rt, err := g.router.find(http.MethodGet, segments)
	if err == nil && rt.parts != nil {
		err = errors.New("parts cannot have parts")
	}
	return rt, err
}

// fetchInside asks a handler in this process. Where it is late, it is left behind; its place is taken until it ends.
func (g *Gateway) fetchInside(c *call, b *backend, r *http.Request) (*http.Response, error) {
	inner := *c
	inner.r = r
	r = inner.inside()
	out := &recorder{header: http.Header{}, status: http.StatusOK}
	done := make(chan error, 1)
	go func() {
		defer b.leave()
		defer func() {
			var err error
			if p := recover(); p != nil {
				g.cfg.Logger.Error("part panicked", "path", r.URL.Path, "traceId", c.trace.TraceID, "panic", p, "stack", string(debug.Stack()))
				err = errors.New("panicked")
			}
			done <- err
		}()
		b.Handler.ServeHTTP(out, r)
	}()
	select {
	case err := <-done:
		return &http.Response{StatusCode: out.status, Header: out.header, Body: io.NopCloser(&out.body)}, err
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// recorder holds an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header is the answer's.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader notes the status.
func (r *recorder) WriteHeader(status int) { r.status = status }

// Write holds what fits.
func (r *recorder) Write(b []byte) (int, error) {
	if r.body.Len()+len(b) > maxPart+1 {
		return 0, errors.New("the answer is too large for a part")
	}
	return r.body.Write(b)
}
