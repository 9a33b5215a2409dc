package gateway

import (
	"context"
	"errors"
	"io"
	"mime"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// upstream sends the requests of a route to its backend's addresses.
type upstream struct {
	backend *backend
	retries int
}

var (
	errAttempt = errors.New("the address did not answer in its share of the time")
	// errBroken: an answer that a backend should not have given, such as an error page of something before it.
	errBroken = errors.New("the answer is no answer of the backend")
)

// RoundTrip sends a request, and one that changes nothing again to another address, as often as the route says. An answer by which
// something says that the backend does not answer counts as none.
func (u *upstream) RoundTrip(r *http.Request) (*http.Response, error) {
	left := 0
	if safe(r.Method) && (r.Body == nil || r.Body == http.NoBody) {
		left = u.retries
	}
	var tried []*endpoint
	for ; ; left-- {
		e := u.backend.pick(tried)
		if e == nil && len(tried) > 0 {
			tried = nil // all have been tried: once more the first
			e = u.backend.pick(nil)
		}
		if e == nil {
			return nil, errNoAddress
		}
		resp, err := e.send(r, u.backend.transport, left)
		if err == nil || left == 0 || r.Context().Err() != nil {
			return resp, err
		}
		tried = append(tried, e)
	}
}

// send sends the request to the address. If there are attempts left, it waits for its share of the time only.
func (e *endpoint) send(in *http.Request, transport http.RoundTripper, left int) (*http.Response, error) {
	ctx := in.Context()
	cancel := context.CancelFunc(func() {})
	late := func() bool { return true }
	if deadline, ok := ctx.Deadline(); ok && left > 0 {
		var stop context.CancelCauseFunc
		ctx, stop = context.WithCancelCause(ctx)
		timer := time.AfterFunc(time.Until(deadline)/time.Duration(left+1), func() { stop(errAttempt) })
		late, cancel = timer.Stop, func() { stop(nil) }
	}
	r := in.WithContext(ctx)
	to := *in.URL
	to.Scheme, to.Host = e.url.Scheme, e.url.Host
	r.URL = &to
	e.inFlight.Add(1)
	resp, err := transport.RoundTrip(r)
	inTime := late()
	switch {
	case err == nil && !inTime, err != nil && errors.Is(context.Cause(ctx), errAttempt):
		if err == nil {
			_ = resp.Body.Close()
		}
		err = errAttempt
	case err == nil && broken(resp):
		// Read, so that the connection can be used again; not all of it, whatever it is.
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
		_ = resp.Body.Close()
		err = errBroken
	}
	e.judge(in, err)
	if err != nil {
		e.inFlight.Add(-1)
		cancel()
		return nil, err
	}
	resp.Body = &tracked{ReadCloser: resp.Body, ended: func() { e.inFlight.Add(-1); cancel() }}
	return resp, nil
}

// judge tells the breaker. What the client did, going away or being slow, says nothing of the address; but whoever has the one permit
// of a half-open breaker must say something.
func (e *endpoint) judge(r *http.Request, err error) {
	switch {
	case err == nil:
		e.breaker.RecordSuccess()
	case errors.Is(r.Context().Err(), context.Canceled), callOf(r.Context()).fault(err) != nil:
		if e.breaker.IsHalfOpen() {
			e.breaker.RecordFailure()
		}
	default:
		e.breaker.RecordFailure()
	}
}

// broken reports whether something before a backend says that it does not answer. What backends say themselves are problems.
func broken(resp *http.Response) bool {
	return resp.StatusCode >= http.StatusBadGateway && resp.StatusCode <= http.StatusGatewayTimeout && !isProblem(resp.Header)
}

func isProblem(h http.Header) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && t == problemType
}

// tracked is the body of an answer, which is under way until it is closed.
type tracked struct {
	io.ReadCloser
	once  atomic.Bool
	ended func()
}

func (t *tracked) Close() error {
	err := t.ReadCloser.Close()
	if !t.once.Swap(true) {
		t.ended()
	}
	return err
}

// notSent reports whether a request has certainly not reached a backend.
func notSent(err error) bool {
	var op *net.OpError
	return errors.Is(err, errNoAddress) || errors.Is(err, errFull) || errors.As(err, &op) && op.Op == "dial"
}
