package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/services/gateway"
	"github.com/cqrsflow/cqrsflow/services/httpserver"
)

// documented are the statuses that requests which are broken on purpose may be answered with.
var documented = []int{200, 400, 401, 403, 404, 405, 408, 411, 413, 414, 415, 417, 421, 422, 429, 431, 501, 502, 503, 504, 505}

// Requests of which a server in front and one behind could disagree where they end are refused, or arrive as the one request that
// they are.
func TestSmuggling(t *testing.T) {
	var smuggled atomic.Int64
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(remote(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/smuggled" {
				smuggled.Add(1)
			}
			echo(w, r)
		}))
	})
	const inner = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
	for name, text := range map[string]string{
		"two lengths":                "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 38\r\n\r\n" + inner,
		"lengths in a list":          "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 38\r\n\r\n" + inner,
		"length and chunks":          "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n0\r\n\r\n" + inner,
		"chunks, spelt oddly":        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + inner,
		"chunks twice":               "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + inner,
		"space before the colon":     "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\nContent-Length: 43\r\n\r\n0\r\n\r\n" + inner,
		"a folded header":            "POST /a HTTP/1.1\r\nHost: x\r\nX: y\r\n Transfer-Encoding: chunked\r\nContent-Length: 43\r\n\r\n0\r\n\r\n" + inner,
		"a negative length":          "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n" + inner,
		"a length with a plus":       "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n" + inner,
		"a length in hexadecimal":    "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 0x0\r\n\r\n" + inner,
		"a chunk of nonsense":        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + inner,
		"a huge chunk":               "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n" + inner,
		"two hosts":                  "GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
		"no host":                    "GET /a HTTP/1.1\r\n\r\n",
		"a host of nonsense":         "GET /a HTTP/1.1\r\nHost: x\x00y\r\n\r\n",
		"a control character":        "GET /a HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n",
		"a line feed in a header":    "GET /a HTTP/1.1\r\nHost: x\r\nX-A: a\nX-User-Id: root\r\nConnection: close\r\n\r\n",
		"a carriage return":          "GET /a HTTP/1.1\r\nHost: x\r\nX-A: a\rX-User-Id: root\r\n\r\n",
		"a name that is none":        "GET /a HTTP/1.1\r\nHost: x\r\nX A: b\r\n\r\n",
		"an empty name":              "GET /a HTTP/1.1\r\nHost: x\r\n: b\r\n\r\n",
		"an old version":             "GET /a HTTP/0.9\r\n\r\n",
		"a new version":              "GET /a HTTP/3.0\r\nHost: x\r\n\r\n",
		"no version":                 "GET /a\r\n\r\n",
		"a method that is none":      "G@T /a HTTP/1.1\r\nHost: x\r\n\r\n",
		"a path that is none":        "GET a HTTP/1.1\r\nHost: x\r\n\r\n",
		"a broken escape":            "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"an absolute target":         "GET http://evil.example/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"a tunnel":                   "CONNECT evil.example:80 HTTP/1.1\r\nHost: evil.example\r\n\r\n",
		"the server itself":          "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
		"an upgrade":                 "GET /a HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n",
		"HTTP/2 where there is none": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"an expectation of nonsense": "POST /a HTTP/1.1\r\nHost: x\r\nExpect: 200-maybe\r\nContent-Length: 0\r\n\r\n",
		"a header that is too large": "GET /a HTTP/1.1\r\nHost: x\r\nX-A: " + strings.Repeat("a", 64<<10) + "\r\n\r\n",
		"too many headers":           "GET /a HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: b\r\n", 8000) + "\r\n",
		"a path that is too long":    "GET /" + strings.Repeat("a", 64<<10) + " HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, text) // it may hang up before all is written
		_ = conn.(*net.TCPConn).CloseWrite()
		in := bufio.NewReader(conn)
		for n := 0; ; n++ {
			g, err := readAnswer(in)
			if err != nil {
				break // the connection has ended
			}
			if !slices.Contains(documented, g.status) {
				t.Errorf("%s: answered with %s", name, g)
			}
			if n > 0 {
				t.Errorf("%s: there is a second answer: %s", name, g)
			}
			if strings.Contains(string(g.body), `"root"`) {
				t.Errorf("%s: the header got through: %s", name, g)
			}
		}
		_ = conn.Close()
	}
	if n := smuggled.Load(); n > 0 {
		t.Errorf("%d requests were smuggled", n)
	}
	b.ask("GET", "/a", "").echo(t)
}

// Clients that hold on to connections, sending a byte now and then or nothing, are hung up on; others are answered meanwhile.
func TestSlowloris(t *testing.T) {
	b := newServerBed(t, func(c *gateway.Config) { c.Table = to(remote(t, echo)) }, func(c *httpserver.Config) {
		c.HeaderTimeout, c.ReadTimeout, c.IdleTimeout = 300*time.Millisecond, 600*time.Millisecond, 600*time.Millisecond
	})
	var clients sync.WaitGroup
	for i := range 60 {
		text := []string{"", "GET /a HTTP/1.1\r\nHost: x\r\nX-A: ", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx"}[i%3]
		conn, err := net.Dial("tcp", b.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.WriteString(conn, text); err != nil {
			t.Fatal(err)
		}
		clients.Go(func() {
			in := bufio.NewReader(conn)
			if i%3 == 2 {
				if g, err := readAnswer(in); err == nil && g.status != 408 {
					t.Errorf("a slow body: %s", g)
				}
			}
			if _, err := io.Copy(io.Discard, in); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("client %d is not hung up on: %v", i, err)
			}
		})
	}
	for range 20 {
		b.ask("GET", "/a", "").echo(t)
	}
	clients.Wait()
}

// A body that never ends is cut where it is too large, and the request is answered.
func TestEndlessBody(t *testing.T) {
	b := newBed(t, func(c *gateway.Config) { c.Table = to(remote(t, echo)) })
	conn, err := net.Dial("tcp", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	go func() {
		_, _ = io.WriteString(conn, "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
		chunk := fmt.Sprintf("%x\r\n%s\r\n", 32<<10, strings.Repeat("x", 32<<10))
		for {
			if _, err := io.WriteString(conn, chunk); err != nil {
				return
			}
		}
	}()
	g, err := readAnswer(bufio.NewReader(conn))
	if err == nil { // it may have hung up while the answer was on its way
		g.problem(t, 413, "request_too_large")
	}
	b.ask("GET", "/a", "").echo(t)
}

// Broken requests of all kinds leave nothing behind: goroutines and memory are as before.
func TestNothingIsLeftBehind(t *testing.T) {
	b := newBed(t, func(c *gateway.Config) {
		c.Table = to(remote(t, echo))
		c.Table.Routes[0].MaxBody = 256 << 10
	})
	round := func() {
		var clients sync.WaitGroup
		for i := range 8 {
			clients.Go(func() {
				for n := range 25 {
					text := []string{"GET /a%2f..%2fb HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\nabc",
						"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "GET /a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "\x00\x01\x02", "GET /a HT"}[(i+n)%6]
					conn, err := net.Dial("tcp", b.addr)
					if err != nil {
						t.Error(err)
						return
					}
					_, _ = io.WriteString(conn, text)
					_ = conn.(*net.TCPConn).CloseWrite()
					_ = conn.SetReadDeadline(time.Now().Add(patience))
					_, _ = io.Copy(io.Discard, conn)
					_ = conn.Close()
				}
			})
		}
		clients.Wait()
	}
	measure := func() (goroutines int, heap uint64) {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return runtime.NumGoroutine(), m.HeapAlloc
	}
	round()
	b.log.mu.Lock()
	b.log.text.Reset()
	b.log.mu.Unlock()
	goroutines, heap := measure()
	for range 5 {
		round()
		b.log.mu.Lock()
		b.log.text.Reset()
		b.log.mu.Unlock()
	}
	b.eventually("goroutines end", func() error {
		if n, _ := measure(); n > goroutines+10 {
			return fmt.Errorf("there are %d goroutines; there were %d", n, goroutines)
		}
		return nil
	})
	if _, now := measure(); now > heap+8<<20 {
		t.Errorf("the heap has %d bytes; it had %d", now, heap)
	}
}
