package gateway_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/services/gateway"
	"github.com/cqrsflow/cqrsflow/services/httpserver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what tests wait for; nothing waits that long unless it is broken.
const patience = 20 * time.Second

// bed is a gateway behind a real server.
type bed struct {
	t       *testing.T
	gateway *gateway.Gateway
	addr    string
	url     string
	client  *http.Client
	log     *logged
}

// newBed starts a gateway; what change leaves alone is Unguarded and has no routes.
func newBed(t *testing.T, change func(*gateway.Config)) *bed {
	t.Helper()
	return newServerBed(t, change, func(*httpserver.Config) {})
}

func newServerBed(t *testing.T, change func(*gateway.Config), server func(*httpserver.Config)) *bed {
	t.Helper()
	b := &bed{t: t, log: &logged{}}
	cfg := gateway.Config{Unguarded: true, Logger: slog.New(slog.NewJSONHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	change(&cfg)
	if cfg.Authenticator != nil {
		cfg.Unguarded = false
	}
	var err error
	if b.gateway, err = gateway.New(cfg); err != nil {
		t.Fatal(err)
	}
	sc := httpserver.Config{Handler: b.gateway, Addr: "127.0.0.1:0", Grace: time.Second, Logger: cfg.Logger}
	server(&sc)
	srv, err := httpserver.Listen(t.Context(), sc)
	if err != nil {
		t.Fatal(err)
	}
	b.addr = srv.Addr()
	b.url = "http://" + b.addr
	b.client = &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := srv.Run(ctx); err != nil {
			t.Errorf("server: %v", err)
		}
	})
	running.Go(func() {
		if err := b.gateway.Run(ctx); err != nil {
			t.Errorf("gateway: %v", err)
		}
	})
	t.Cleanup(func() {
		b.client.CloseIdleConnections()
		cancel()
		running.Wait()
	})
	return b
}

// got is an answer.
type got struct {
	status int
	header http.Header
	body   []byte
}

func (g got) String() string { return fmt.Sprintf("%d %v\n%s", g.status, g.header, g.body) }

// code is that of the problem that the answer is.
func (g got) code() string {
	var p struct{ Code string }
	_ = json.Unmarshal(g.body, &p)
	return p.Code
}

// ask sends a request; headers are pairs.
func (b *bed) ask(method, path, body string, headers ...string) got {
	b.t.Helper()
	g, err := b.try(method, path, strings.NewReader(body), headers...)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	return g
}

func (b *bed) try(method, path string, body io.Reader, headers ...string) (got, error) {
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, b.url+path, body)
	if err != nil {
		return got{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(r)
	if err != nil {
		return got{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return got{resp.StatusCode, resp.Header, text}, err
}

// logged is what was logged.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.text.Write(b)
}

// line waits for a line with all the texts: a request is logged after its answer.
func (l *logged) line(t *testing.T, texts ...string) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		l.mu.Lock()
		all := l.text.String()
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		for line := range strings.Lines(all) {
			if has(line, texts) {
				return line
			}
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("nothing was logged with %q:\n%s", texts, all)
		}
	}
}

func has(line string, texts []string) bool {
	for _, text := range texts {
		if !strings.Contains(line, text) {
			return false
		}
	}
	return true
}

// remote starts a server on another address.
func remote(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// to is a table with a route for every path to one backend.
func to(urls ...string) gateway.Table {
	return gateway.Table{Backends: []gateway.Backend{{Name: "one", URLs: urls}}, Routes: []gateway.Route{everything("one")}}
}

func everything(backend string) gateway.Route {
	return gateway.Route{Methods: []string{"GET", "POST", "PUT", "PATCH", "DELETE"}, Path: "/{rest...}", Backend: backend}
}

// problem fails unless the answer is the problem with that status and code.
func (g got) problem(t *testing.T, status int, code string) {
	t.Helper()
	if g.status != status || g.code() != code || g.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("the answer is\n%s\nwant %d %s", g, status, code)
	}
}

func withCancel(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}

func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// eventually tries until it works, with a short pause each time: for what nothing signals.
func (b *bed) eventually(what string, try func() error) {
	b.t.Helper()
	end := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("%s: %v", what, err)
		}
		runtime.Gosched()
	}
}
