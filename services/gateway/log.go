package gateway

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"strings"

	"github.com/cqrsflow/cqrsflow/services/trace"
)

// done logs a request and tells the metrics. Never logged: queries, bodies, and headers besides X-Request-Id, for they may be secret.
// What a client chose is a value of its own, which slog's handlers quote: a line break in it makes no line.
func (g *Gateway) done(c *call) {
	took := g.cfg.Now().Sub(c.began)
	path, pattern := c.r.URL.Path, ""
	if c.route != nil {
		pattern = c.route.Path
	}
	m := c.r.Method
	if !slices.Contains(methods, m) && m != http.MethodHead && m != http.MethodOptions {
		m = "other"
	}
	trace.End(c.span, m, pattern, c.w.status)
	if g.cfg.OnAnswer != nil {
		g.cfg.OnAnswer(Answered{Route: pattern, Method: m, Status: c.w.status, Took: took})
	}
	refused := c.w.status == http.StatusUnauthorized || c.w.status == http.StatusForbidden || c.w.status == http.StatusTooManyRequests
	audit := refused || c.route != nil && c.route.Audit
	failed := c.w.status >= http.StatusInternalServerError && c.err != nil && c.r.Context().Err() == nil
	ctx := context.WithoutCancel(c.r.Context())
	level := slog.LevelInfo
	if failed {
		level = slog.LevelWarn
	}
	access := g.cfg.Logger.Enabled(ctx, level)
	if !audit && !access {
		return
	}
	attrs := []slog.Attr{slog.String("method", clip(c.r.Method)), slog.String("path", clip(path)), slog.String("route", pattern), slog.Int("status", c.w.status),
		slog.Int64("bytes", c.w.bytes), slog.Duration("took", took), slog.String("address", c.source.String()), slog.String("principal", c.caller.Principal().String()),
		slog.String("requestId", c.requestID()), slog.String("traceId", c.trace.TraceID)}
	if c.code != "" {
		attrs = append(attrs, slog.String("code", c.code))
	}
	if access {
		more := attrs
		if c.err != nil && !refused {
			more = append(slices.Clip(attrs), slog.String("error", c.err.Error()))
		}
		g.cfg.Logger.LogAttrs(ctx, level, "request", more...)
	}
	if audit {
		if c.caller.Session != "" {
			attrs = append(attrs, slog.String("session", c.caller.Session), slog.String("factors", strings.Join(c.caller.Factors, " ")))
		}
		level := slog.LevelInfo
		if refused {
			level = slog.LevelWarn
		}
		g.cfg.Audit.LogAttrs(ctx, level, "audit", attrs...)
	}
}

// clip bounds what a client can make a line of the log hold.
func clip(s string) string {
	const most = 256
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
