package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/cqrsflow/cqrsflow/services/trace"
)

// ServeHTTP answers a request: it gives it a trace, finds its operation, turns errors and panics into
// problems, and logs it at debug level.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	c := &call{conn: w, trace: trace.Of(r.Header)}
	c.begin(a.cfg.Tracer, r)
	out := &recorder{ResponseWriter: w}
	c.w, c.r = out, r
	h := out.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cqrs-Trace-Id", c.trace.TraceID)
	if c.trace.RequestID != "" {
		h.Set("X-Request-Id", c.trace.RequestID)
	}
	var failed error
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			failed = a.panicked(c, out, p)
		}
		c.end(out.status)
		a.logAccess(c, out, start, failed)
	}()
	if failed = a.serve(c); failed != nil {
		a.fail(c, out, failed)
	}
}

func (a *API) serve(c *call) error {
	rt, segments, err := a.find(c.r.Method, c.r.URL.EscapedPath())
	if err != nil {
		return err
	}
	c.pattern = rt.path
	if !rt.open {
		if err := a.authenticated(c); err != nil {
			return err
		}
	}
	if err := a.bind(c, rt, segments); err != nil {
		return err
	}
	return rt.handle(c)
}

// fail answers with the problem that err is.
func (a *API) fail(c *call, out *recorder, err error) {
	p := *problemOf(err)
	if p.Status >= http.StatusInternalServerError && c.r.Context().Err() == nil {
		level := slog.LevelWarn
		if p.Code == codeInternal {
			level = slog.LevelError
		}
		a.cfg.Logger.LogAttrs(c.r.Context(), level, "request failed", slog.String("method", c.r.Method), slog.String("path", c.r.URL.Path),
			slog.String("code", p.Code), slog.String("traceId", c.trace.TraceID), slog.Any("error", err))
	}
	if out.status != 0 {
		panic(http.ErrAbortHandler) // the answer has begun: only a broken connection tells that it is not whole
	}
	p.TraceID, p.Instance = c.trace.TraceID, c.r.URL.EscapedPath()
	h := out.Header()
	for name, values := range p.header {
		h[name] = values
	}
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	body, err := json.Marshal(&p)
	if err != nil {
		a.cfg.Logger.Error("problem cannot be encoded", "error", err, "traceId", c.trace.TraceID)
		body = []byte(`{"type":"/docs#problem-internal","title":"Internal error","status":500,"code":"internal"}`)
		p.Status = http.StatusInternalServerError
	}
	out.WriteHeader(p.Status)
	_, _ = out.Write(append(body, '\n')) // a caller who has gone is no news
}

func (a *API) panicked(c *call, out *recorder, p any) error {
	a.cfg.Logger.Error("request panicked", "method", c.r.Method, "path", c.r.URL.Path, "traceId", c.trace.TraceID, "panic", p, "stack", string(debug.Stack()))
	err := problem(codeInternal, "Something went wrong in the server.")
	a.fail(c, out, err)
	return err
}

func (a *API) logAccess(c *call, out *recorder, start time.Time, err error) {
	ctx := c.r.Context()
	if !a.cfg.Logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	attrs := []slog.Attr{slog.String("method", c.r.Method), slog.String("path", c.r.URL.Path), slog.Int("status", out.status),
		slog.Int64("bytes", out.bytes), slog.Duration("took", time.Since(start)), slog.String("traceId", c.trace.TraceID)}
	if c.trace.RequestID != "" {
		attrs = append(attrs, slog.String("requestId", c.trace.RequestID))
	}
	switch {
	case err == nil:
	case ctx.Err() != nil: // the caller has gone, or the server is stopping
		attrs = append(attrs, slog.String("code", "canceled"))
	default:
		attrs = append(attrs, slog.String("code", problemOf(err).Code))
	}
	a.cfg.Logger.LogAttrs(ctx, slog.LevelDebug, "request", attrs...)
}

// recorder remembers what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// writeJSON answers with a body of its own type.
func (c *call) writeJSON(status int, body any) error {
	b, err := encode(body)
	if err != nil {
		return err
	}
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	c.w.WriteHeader(status)
	_, _ = c.w.Write(b) // a caller who has gone is no news
	return nil
}

// writeTagged answers a query with an entity tag, or that nothing has changed. Without a tag of its own
// it gets a hash of the body.
func (c *call) writeTagged(etag string, body any) error {
	b, err := encode(body)
	if err != nil {
		return err
	}
	if etag == "" {
		sum := sha256.Sum256(b)
		etag = `"` + base64.RawURLEncoding.EncodeToString(sum[:16]) + `"`
	}
	h := c.w.Header()
	h.Set("ETag", etag)
	h.Set("Cache-Control", "private, no-cache") // may be kept, but must be asked about
	if notModified(c.r.Header, etag) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", "application/json")
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(b) // a caller who has gone is no news
	return nil
}

func encode(body any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(body)
	return b.Bytes(), err
}

// writeStatic answers with something made at start.
func (c *call) writeStatic(contentType string, body []byte) error {
	sum := sha256.Sum256(body)
	h := c.w.Header()
	h.Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(sum[:16])+`"`)
	h.Set("Cache-Control", "no-cache")
	if notModified(c.r.Header, h.Get("ETag")) {
		c.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	h.Set("Content-Type", contentType)
	c.w.WriteHeader(http.StatusOK)
	_, _ = c.w.Write(body) // a caller who has gone is no news
	return nil
}
