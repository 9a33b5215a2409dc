package gateway

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/services/trace"
)

// validFor is how long after it was signed a request's principal counts: what it takes to get there, and clocks that differ.
const validFor = time.Minute

// introduce tells a backend on another host who asks, in a way that nobody else could.
func (g *Gateway) introduce(c *call, out *http.Request) {
	if g.cfg.Keys == nil || c.caller.Anonymous() {
		return
	}
	value, err := g.cfg.Keys.SignRequest(c.caller.Principal(), out.Method, out.URL.RequestURI(), g.cfg.Now().Add(validFor))
	if err != nil { // an ID or a role that is none: the backend shall see nobody
		g.cfg.Logger.Error("a caller cannot be named to a backend", "error", err, "traceId", c.trace.TraceID)
		return
	}
	out.Header.Set(principal.RequestHeader, value)
}

// Trust puts the principal into a request's context that the gateway has signed for it, for a backend that stands behind one on
// another host. A request that names one without proof is refused; one that names nobody is anonymous. Without keys nobody is believed.
func Trust(keys *principal.Keyring, log *slog.Logger, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		values := r.Header.Values(principal.RequestHeader)
		if len(values) == 0 || keys == nil {
			r.Header.Del(principal.RequestHeader)
			next.ServeHTTP(w, r)
			return
		}
		p, err := keys.VerifyRequest(values[0], r.Method, r.RequestURI, time.Now())
		if err != nil || len(values) > 1 {
			t := trace.Of(r.Header)
			log.Warn("a request names a principal without proof", "error", err, "traceId", t.TraceID)
			unauthenticated().write(w, r, t)
			return
		}
		r = r.WithContext(principal.NewContext(r.Context(), p))
		r.Header.Del(principal.RequestHeader)
		next.ServeHTTP(w, r)
	})
}
