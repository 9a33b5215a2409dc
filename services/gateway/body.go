package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// buffered is how much of a body is read before the request is handed on, in bytes: a client that sends slowly does not occupy a
// backend, unless it sends more than most do.
const buffered = 64 << 10

// body is the body of a request on its way to a backend.
type body struct {
	io.Reader
	io.Closer
	// whole is set once all of it has come; failed is what was wrong with it.
	whole  atomic.Bool
	failed atomic.Pointer[problem]
	// reading is set while the client is waited for, over once the request's time is; late says that it was waited for then.
	reading, over, late atomic.Bool
}

// Read notes the end, and what went wrong: a transport's error does not tell a client's fault from a backend's.
func (b *body) Read(p []byte) (int, error) {
	b.reading.Store(true)
	n, err := b.Reader.Read(p)
	b.reading.Store(false)
	switch {
	case err == io.EOF:
		b.whole.Store(true)
	case err != nil && (!b.over.Load() || b.late.Load()):
		b.failed.Store(bodyProblem(err))
	}
	return n, err
}

// bound ends the reading of a body with the context: a transport does not return before it has ended. stop ends the binding.
func (b *body) bound(ctx context.Context, conn http.ResponseWriter) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		b.late.Store(b.reading.Load())
		b.over.Store(true)
		_ = http.NewResponseController(conn).SetReadDeadline(time.Unix(1, 0)) // where it cannot, the server's own comes
	})
}

func bodyProblem(err error) *problem {
	var large *http.MaxBytesError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &large):
		return tooLarge().because(err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return tooSlow().because(err)
	}
	return malformed("The body could not be read to its end.").because(err)
}

// takeBody bounds the body of a request and reads its beginning, mostly all of it. It changes the request.
func takeBody(w http.ResponseWriter, r *http.Request, most int64) error {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		r.Body = http.NoBody
		return nil
	}
	if r.ContentLength > most {
		return tooLarge()
	}
	in := http.MaxBytesReader(w, r.Body, most)
	size := int64(buffered)
	if r.ContentLength > 0 {
		size = min(size, r.ContentLength)
	}
	first := bytes.NewBuffer(make([]byte, 0, min(size+bytes.MinRead, 4<<10)))
	n, err := io.CopyN(first, in, size)
	b := &body{Reader: first, Closer: in}
	switch {
	case errors.Is(err, io.EOF), err == nil && n == r.ContentLength:
		// All is here, whatever the header says of its length.
		b.whole.Store(true)
		r.ContentLength = n
		r.TransferEncoding = nil
		if n == 0 {
			r.Body = http.NoBody
			return nil
		}
	case err != nil:
		return bodyProblem(err)
	default:
		b.Reader = io.MultiReader(first, in)
	}
	r.Body = b
	return nil
}

// fault is what the client did to make a request fail: its body was too large, broken, or not there in time.
func (c *call) fault(err error) *problem {
	b, ok := c.r.Body.(*body)
	if !ok {
		return nil
	}
	if p := b.failed.Load(); p != nil {
		return p
	}
	if b.late.Load() {
		return tooSlow().because(err)
	}
	return nil
}
