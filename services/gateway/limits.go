package gateway

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// limit counts the request against its route's limits: those of addresses and routes before anybody is authenticated, which has its
// price, those of callers after.
func (g *Gateway) limit(c *call, w http.ResponseWriter, callers bool) error {
	if g.cfg.Limiter == nil {
		return nil
	}
	for i := range c.route.Limits {
		l := &c.route.Limits[i]
		if (l.By == ByPrincipal) != callers {
			continue
		}
		d, err := g.cfg.Limiter.Take(c.r.Context(), c.limitKey(l), l.Limit)
		if err != nil && g.cfg.LimiterOptional {
			g.cfg.Logger.Warn("requests are not counted", "limit", l.Name, "error", err)
			continue
		}
		if err != nil {
			return unavailable().because(fmt.Errorf("count the limit %s: %w", l.Name, err))
		}
		tell(w.Header(), l, d)
		if !d.Allowed {
			return limited().with("Retry-After", strconv.FormatInt(max(1, seconds(d.Reset)), 10))
		}
	}
	return nil
}

// limitKey is whom a limit is of.
func (c *call) limitKey(l *RouteLimit) string {
	switch {
	case l.By == ByRoute:
		return l.Name + " route " + c.route.Path
	case l.By == ByPrincipal && !c.caller.Anonymous():
		return l.Name + " " + c.caller.Principal().String()
	}
	return l.Name + " address " + c.source.String()
}

// tell adds to the headers of draft-ietf-httpapi-ratelimit-headers.
func tell(h http.Header, l *RouteLimit, d Decision) {
	h.Add("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", l.Name, d.Limit, max(1, seconds(l.Window))))
	h.Add("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", l.Name, max(0, d.Remaining), seconds(d.Reset)))
}

// seconds rounds up.
func seconds(d time.Duration) int64 { return int64((max(0, d) + time.Second - 1) / time.Second) }
