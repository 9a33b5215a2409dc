package gateway

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"github.com/cqrsflow/cqrsflow/event"
)

// backend is a Backend in use: what is under way to it, and its addresses.
type backend struct {
	Backend
	inFlight  atomic.Int64
	endpoints []*endpoint
	transport *http.Transport
}

// endpoint is one address of a backend.
type endpoint struct {
	url      *url.URL
	inFlight atomic.Int64
	breaker  circuitbreaker.CircuitBreaker[any]
	// unready is what the last answer about its health said; false until there is one.
	unready atomic.Bool
}

// Why a request did not get to a backend.
var (
	errFull      = errors.New("as many requests are under way to the backend as may be")
	errNoAddress = errors.New("no address of the backend answers at present")
)

func newBackend(b Backend, changed func(backend, address, state string)) (*backend, error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%w: the backend %s: "+format, append([]any{event.ErrConfig, b.Name}, args...)...)
	}
	b.MaxInFlight = cmp.Or(b.MaxInFlight, DefaultMaxInFlight)
	b.Breaker.Failures = cmp.Or(b.Breaker.Failures, defaultFailures)
	b.Breaker.Rest = cmp.Or(b.Breaker.Rest, defaultRest)
	b.Health.Path = cmp.Or(b.Health.Path, "/readyz")
	b.Health.Every = cmp.Or(b.Health.Every, defaultHealthEvery)
	b.Health.Timeout = cmp.Or(b.Health.Timeout, defaultHealthWait)
	switch {
	case !isName(b.Name):
		return nil, bad("its name needs 1 to 64 characters of a-z 0-9 _ -")
	case (b.Handler == nil) == (len(b.URLs) == 0):
		return nil, bad("it needs either a Handler or URLs")
	case b.MaxInFlight < 1 || b.Breaker.Failures < 1 || b.Breaker.Rest < 0 || b.Health.Port < 0 || b.Health.Every < 0 || b.Health.Timeout < 0:
		return nil, bad("its bounds must not be negative")
	}
	out := &backend{Backend: b}
	for _, text := range b.URLs {
		if _, err := baseURL(text); err != nil {
			return nil, bad("the address %q %w", text, err)
		}
		u, err := url.Parse(text)
		if err != nil {
			return nil, bad("the address %q: %w", text, err)
		}
		out.endpoints = append(out.endpoints, &endpoint{url: u, breaker: circuitbreaker.NewBuilder[any]().
			WithFailureThreshold(uint(b.Breaker.Failures)).WithDelay(b.Breaker.Rest).WithSuccessThreshold(1).
			OnStateChanged(func(e circuitbreaker.StateChangedEvent) { changed(b.Name, text, e.NewState.String()) }).Build()})
	}
	out.transport = &http.Transport{
		DialContext:           (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout:   dialTimeout,
		MaxIdleConns:          0,
		MaxIdleConnsPerHost:   b.MaxInFlight,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		// Bodies are handed on as the backend has encoded them.
		DisableCompression:     true,
		MaxResponseHeaderBytes: 64 << 10,
		ForceAttemptHTTP2:      true,
		// A backend is on the inside: no proxy of the environment stands before it.
		Proxy: nil,
	}
	return out, nil
}

// dialTimeout bounds the making of a connection.
const dialTimeout = 2 * time.Second

// enter takes one of the backend's places; leave gives it back.
func (b *backend) enter() error {
	if b.inFlight.Add(1) > int64(b.MaxInFlight) {
		b.inFlight.Add(-1)
		return errFull
	}
	return nil
}

func (b *backend) leave() { b.inFlight.Add(-1) }

// pick chooses an address that has not been tried: of two drawn from those that are ready and answer, the one with less to do. Where
// none is ready, those that answer will do: that all say so at once is no reason to answer nobody.
func (b *backend) pick(tried []*endpoint) *endpoint {
	if len(b.endpoints) == 1 { // most have one
		if e := b.endpoints[0]; len(tried) == 0 && e.breaker.TryAcquirePermit() {
			return e
		}
		return nil
	}
	for _, ready := range []bool{true, false} {
		var buf [8]*endpoint
		able := buf[:0]
		for _, e := range b.endpoints {
			if !slices.Contains(tried, e) && e.unready.Load() != ready {
				able = append(able, e)
			}
		}
		for len(able) > 0 {
			i := rand.IntN(len(able))
			if j := rand.IntN(len(able)); able[j].inFlight.Load() < able[i].inFlight.Load() {
				i = j
			}
			if able[i].breaker.TryAcquirePermit() {
				return able[i]
			}
			able = slices.Delete(able, i, i+1)
		}
	}
	return nil
}
