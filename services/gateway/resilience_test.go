package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/services/gateway"
)

// hanging answers nobody until the test ends. entered tells of each request.
func hanging(t *testing.T) (h http.HandlerFunc, entered chan struct{}) {
	end := make(chan struct{})
	t.Cleanup(func() { close(end) })
	entered = make(chan struct{}, 1000)
	return func(_ http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
		select {
		case <-end:
		case <-r.Context().Done():
		}
	}, entered
}

// A backend that hangs has its places and no others: the routes of another go on, and what is too much is refused at once.
func TestHangingBackendTakesNoOtherDown(t *testing.T) {
	for _, inside := range []bool{false, true} {
		h, entered := hanging(t)
		b := newBed(t, func(c *gateway.Config) {
			slow := gateway.Backend{Name: "slow", MaxInFlight: 8, Breaker: gateway.Breaker{Failures: 1000}}
			if inside {
				slow.Handler = h
			} else {
				slow.URLs = []string{remote(t, h)}
			}
			c.Backends = []gateway.Backend{slow, {Name: "fast", URLs: []string{remote(t, echo)}, MaxInFlight: 8}}
			c.Table.Routes = []gateway.Route{{Methods: []string{"GET"}, Path: "/slow", Backend: "slow", Timeout: patience / 2}, {Methods: []string{"GET"}, Path: "/fast", Backend: "fast"}}
		})
		var waiting sync.WaitGroup
		ctx, cancel := withCancel(t)
		for range 8 {
			waiting.Go(func() {
				r, _ := http.NewRequestWithContext(ctx, "GET", b.url+"/slow", nil)
				if resp, err := b.client.Do(r); err == nil {
					_ = resp.Body.Close()
				}
			})
			<-entered
		}
		for range 20 {
			g := b.ask("GET", "/slow", "")
			g.problem(t, 503, "unavailable")
			if g.header.Get("Retry-After") == "" {
				t.Errorf("no Retry-After: %s", g)
			}
			b.ask("GET", "/fast", "").echo(t)
		}
		cancel()
		waiting.Wait()
	}
}

// A backend that hangs is left alone after some failures: then it costs nobody any time. One request tries it after a rest.
func TestBreaker(t *testing.T) {
	var well atomic.Bool
	h, entered := hanging(t)
	url := remote(t, func(w http.ResponseWriter, r *http.Request) {
		if well.Load() {
			echo(w, r)
			return
		}
		h(w, r)
	})
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(url)
		c.Table.Backends[0].Breaker = gateway.Breaker{Failures: 3, Rest: 200 * time.Millisecond}
		c.Table.Routes[0].Timeout = 50 * time.Millisecond
	})
	for range 3 {
		b.ask("GET", "/x", "").problem(t, 504, "gateway_timeout")
	}
	for len(entered) > 0 {
		<-entered
	}
	for range 10 {
		if g := b.ask("GET", "/x", ""); g.code() == "unavailable" {
			break
		}
	}
	b.log.line(t, `"backend":"one"`, `"state":"open"`)
	well.Store(true)
	b.eventually("the backend is asked again", func() error {
		if g := b.ask("GET", "/x", ""); g.status != 200 {
			return fmt.Errorf("%s", g)
		}
		return nil
	})
	b.log.line(t, `"state":"closed"`)
	for range 20 { // and all of them get through
		b.ask("GET", "/x", "").echo(t)
	}
}

// What clients do says nothing about a backend: going away, or sending slowly, closes it to nobody.
func TestClientsDoNotOpenTheBreaker(t *testing.T) {
	h, entered := hanging(t)
	url := remote(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			h(w, r)
			return
		}
		echo(w, r)
	})
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(url)
		c.Table.Backends[0].Breaker = gateway.Breaker{Failures: 2, Rest: time.Hour}
		c.Table.Routes = append(c.Table.Routes, gateway.Route{Methods: []string{"POST"}, Path: "/slow", Backend: "one", Timeout: 100 * time.Millisecond, MaxBody: 1 << 20})
	})
	for range 10 {
		ctx, cancel := withCancel(t)
		done := make(chan struct{})
		go func() {
			defer close(done)
			r, _ := http.NewRequestWithContext(ctx, "GET", b.url+"/hang", nil)
			if resp, err := b.client.Do(r); err == nil {
				_ = resp.Body.Close()
			}
		}()
		<-entered
		cancel()
		<-done
		b.log.line(t, `"path":"/hang"`, `"msg":"request"`)
	}
	for range 4 { // more than is buffered, and then nothing
		g := rawRequest(t, b.addr, "POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n"+strings.Repeat("x", 100<<10))
		g.problem(t, 408, "request_timeout")
	}
	b.ask("GET", "/x", "").echo(t)
}

// A request that changes nothing is sent to another address where one does not answer, and never one that may.
func TestRetries(t *testing.T) {
	var broken, fine atomic.Int64
	bad := remote(t, func(w http.ResponseWriter, r *http.Request) {
		broken.Add(1)
		_, _ = io.Copy(io.Discard, r.Body)
		panic(http.ErrAbortHandler)
	})
	good := remote(t, func(w http.ResponseWriter, r *http.Request) {
		fine.Add(1)
		echo(w, r)
	})
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(bad, good, "http://127.0.0.1:1")
		c.Table.Backends[0].Breaker.Failures = 10_000
		c.Table.Routes[0].Retries = 2
	})
	for range 30 {
		b.ask("GET", "/x", "").echo(t)
	}
	if broken.Load() == 0 || fine.Load() != 30 {
		t.Errorf("the broken address was asked %d times, the other %d", broken.Load(), fine.Load())
	}
	broken.Store(0)
	fine.Store(0)
	refused, failed := 0, 0
	for range 60 {
		switch g := b.ask("POST", "/x", "{}"); g.status {
		case 503:
			refused++
		case 502:
			failed++
		}
	}
	if int(broken.Load()) != failed || int(fine.Load())+failed+refused != 60 || failed == 0 {
		t.Errorf("60 requests: the broken address had %d, %d failed, %d were refused, the other had %d", broken.Load(), failed, refused, fine.Load())
	}
}

// With retries, an address that hangs has only its share of the time.
func TestRetryAfterHanging(t *testing.T) {
	h, _ := hanging(t)
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(remote(t, h), remote(t, echo))
		c.Table.Backends[0].Breaker.Failures = 10_000
		c.Table.Routes[0].Retries, c.Table.Routes[0].Timeout = 1, 400*time.Millisecond
	})
	for range 6 {
		b.ask("GET", "/x", "").echo(t)
	}
}

// Load goes to addresses that are ready, and to all where none is.
func TestHealth(t *testing.T) {
	const n = 2
	var count [n]atomic.Int64
	var ready [n]atomic.Bool
	port := 0
	var urls []string
	for i := range n {
		ready[i].Store(true)
		// All addresses have the same operations port, so each has a host of its own.
		ops := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/readyz" || !ready[i].Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		_ = ops.Listener.Close()
		host := "127.0.0." + strconv.Itoa(11+i)
		ops.Listener = listen(t, host+":"+strconv.Itoa(port))
		ops.Start()
		t.Cleanup(ops.Close)
		u, _ := url.Parse(ops.URL)
		port, _ = strconv.Atoi(u.Port())
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			count[i].Add(1)
			echo(w, r)
		}))
		_ = s.Listener.Close()
		s.Listener = listen(t, host+":0")
		s.Start()
		t.Cleanup(s.Close)
		urls = append(urls, s.URL)
	}
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(urls...)
		c.Table.Backends[0].Health = gateway.Health{Port: port, Every: 10 * time.Millisecond}
	})
	round := func() (at [n]int64) {
		for i := range n {
			count[i].Store(0)
		}
		for range 40 {
			b.ask("GET", "/x", "").echo(t)
		}
		for i := range n {
			at[i] = count[i].Load()
		}
		return at
	}
	if at := round(); at[0] == 0 || at[1] == 0 {
		t.Errorf("both are ready, and were asked %v", at)
	}
	ready[0].Store(false)
	b.log.line(t, urls[0], `"state":"not ready"`)
	if at := round(); at[0] != 0 || at[1] != 40 {
		t.Errorf("the second one is ready, and they were asked %v", at)
	}
	ready[1].Store(false)
	b.log.line(t, urls[1], `"state":"not ready"`)
	if at := round(); at[0] == 0 || at[1] == 0 {
		t.Errorf("none is ready, and they were asked %v", at)
	}
	ready[0].Store(true)
	b.log.line(t, urls[0], `"state":"ready"`)
	if at := round(); at[0] != 40 {
		t.Errorf("the first one is ready again, and they were asked %v", at)
	}
}

// The time of a request is its route's, and what Prefer: wait asks for where the route waits.
func TestTimeout(t *testing.T) {
	var left time.Duration
	b := newBed(t, func(c *gateway.Config) {
		c.Backends = []gateway.Backend{{Name: "one", Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			until, _ := r.Context().Deadline()
			left = time.Until(until)
		})}}
		c.Table.Routes = []gateway.Route{{Methods: []string{"GET"}, Path: "/waits", Backend: "one", Timeout: 5 * time.Second, Waits: true},
			{Methods: []string{"GET"}, Path: "/not", Backend: "one"}}
	})
	for _, c := range []struct {
		path, prefer string
		want         time.Duration
	}{{"/not", "wait=30", 20 * time.Second}, {"/waits", "", 15 * time.Second}, {"/waits", "respond-async, wait=30;x", 35 * time.Second}, {"/waits", "wait=9999", 65 * time.Second},
		{"/waits", "wait=0", 5 * time.Second}, {"/waits", "wait=x", 15 * time.Second}} {
		b.ask("GET", c.path, "", "Prefer", c.prefer)
		if left > c.want || left < c.want-2*time.Second {
			t.Errorf("%s with %q has %v, want %v", c.path, c.prefer, left, c.want)
		}
	}
}

// Bodies are bounded, whatever they say of their length, and a client that sends them slowly does not take a backend's place.
func TestBodies(t *testing.T) {
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(remote(t, echo))
		c.Table.Routes = []gateway.Route{{Methods: []string{"POST"}, Path: "/small", Backend: "one", MaxBody: 10}, {Methods: []string{"POST"}, Path: "/large", Backend: "one", MaxBody: 300 << 10}}
	})
	chunked := func(text string) io.Reader { return struct{ io.Reader }{strings.NewReader(text)} }
	for _, c := range []struct {
		path string
		size int
		ok   bool
	}{{"/small", 0, true}, {"/small", 10, true}, {"/small", 11, false}, {"/large", 64 << 10, true}, {"/large", 64<<10 + 1, true}, {"/large", 300 << 10, true}, {"/large", 300<<10 + 1, false}, {"/large", 3 << 20, false}} {
		text := strings.Repeat("x", c.size)
		for name, in := range map[string]io.Reader{"with a length": strings.NewReader(text), "chunked": chunked(text)} {
			g, err := b.try("POST", c.path, in)
			switch {
			case err != nil && !c.ok: // it was told so while it was still sending
			case err != nil:
				t.Errorf("%s %d %s: %v", c.path, c.size, name, err)
			case !c.ok:
				g.problem(t, 413, "request_too_large")
			case g.echo(t).Body != text:
				t.Errorf("%s %d %s: it did not arrive as it was sent", c.path, c.size, name)
			}
		}
	}
}
