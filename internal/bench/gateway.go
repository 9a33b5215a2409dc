package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/services/gateway"
	"github.com/cqrsflow/cqrsflow/services/httpserver"
)

// Gateway says what the benchmark "gateway" does. Zero values mean the defaults beside them.
type Gateway struct {
	Run
	// Requests are how many, in each round; 5,000.
	Requests int
	// Clients have one request each under way; 32.
	Clients int
	// Samples are how many requests with nothing else under way; 5,000.
	Samples int
	// Rounds is how often each side has its turn; 15.
	Rounds int
	// Limit: no round begins after that; 1 minute.
	Limit time.Duration
}

// anOrder is what the backend answers: as much as an order of two lines is.
var anOrder = []byte(`{"id":"o-1","version":3,"status":"shipped","customer":"ada","lines":[{"sku":"cd-1","name":"Kind of Blue","quantity":2,"total":{"amount":"23.54","currency":"USD"}},` +
	`{"sku":"cd-2","name":"A Love Supreme","quantity":1,"total":{"amount":"11.77","currency":"USD"}}],"total":{"amount":"35.31","currency":"USD"},"notes":[],` +
	`"placedAt":"2026-01-31T12:00:00Z","paidAt":"2026-01-31T12:05:00Z","shippedAt":"2026-02-01T09:00:00Z"}` + "\n")

// RunGateway measures how many queries a second the gateway hands on, and how long one takes, against an httputil.ReverseProxy before the
// same backend, and against the backend itself. The gateway does all that it does but verify tokens: routes as they are built in,
// a signed principal, a line of the access log.
func RunGateway(ctx context.Context, c Gateway) (*Report, error) {
	c.Run = c.Run.withDefaults()
	def(&c.Requests, 5000)
	def(&c.Clients, 32)
	def(&c.Samples, 5000)
	def(&c.Rounds, 15)
	def(&c.Limit, time.Minute)
	ctx, stop := context.WithCancel(ctx)
	served := servers{}
	defer func() { stop(); served.wait() }()
	direct, err := served.start(ctx, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("ETag", `"3"`)
		_, _ = w.Write(anOrder)
	}))
	if err != nil {
		return nil, err
	}
	bare, err := served.start(ctx, c.reverseProxy(direct))
	if err != nil {
		return nil, err
	}
	g, err := c.gateway(direct)
	if err != nil {
		return nil, err
	}
	ours, err := served.start(ctx, g)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{MaxIdleConnsPerHost: c.Clients, DisableCompression: true}
	defer transport.CloseIdleConnections()
	a := asker{client: &http.Client{Transport: transport}}

	r := &Report{Bench: "gateway", Inputs: map[string]any{"requests": c.Requests, "clients": c.Clients, "samples": c.Samples, "bytes": len(anOrder)}}
	sides := []*side{{name: "gateway", run: c.many(a, ours)}, {name: "bare reverse proxy", run: c.many(a, bare)}, {name: "backend", run: c.many(a, direct)}}
	if err := c.alternate(ctx, c.Rounds, c.Limit, c.Requests, sides...); err != nil {
		return nil, err
	}
	r.Inputs["rounds"] = len(sides[0].rates)
	figures, err := c.single(ctx, a, ours, bare, direct)
	if err != nil {
		return nil, err
	}
	for i := range figures {
		figures[i].Rate = median(sides[i].rates)
	}
	r.Ours, r.Bare, r.Direct = figures[0], figures[1], &figures[2]
	return r.finish(), nil
}

func (c Gateway) reverseProxy(backend string) http.Handler {
	u, _ := url.Parse(backend) // it is ours
	return &httputil.ReverseProxy{Transport: &http.Transport{MaxIdleConnsPerHost: c.Clients * 2, DisableCompression: true},
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(u); r.SetXForwarded() }}
}

func (c Gateway) gateway(backend string) (*gateway.Gateway, error) {
	keys, err := principal.NewKeyring(secret.Generate("bench"))
	if err != nil {
		return nil, err
	}
	return gateway.New(gateway.Config{Table: gateway.Defaults(), Backends: []gateway.Backend{{Name: "api", URLs: []string{backend}}}, Keys: keys, Authenticator: somebody{},
		Logger: slog.New(slog.NewJSONHandler(io.Discard, nil))})
}

// somebody is who asks.
type somebody struct{}

func (somebody) Authenticate(context.Context, *http.Request) (gateway.Caller, error) {
	return gateway.Caller{Subject: "u-1", Session: "s-1", Roles: []string{"clerk"}}, nil
}

// servers are those of the benchmark, each on a free port of this machine.
type servers struct{ running sync.WaitGroup }

func (s *servers) start(ctx context.Context, h http.Handler) (url string, err error) {
	srv, err := httpserver.Listen(ctx, httpserver.Config{Handler: h, Addr: net.JoinHostPort("127.0.0.1", "0"), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	s.running.Go(func() { _ = srv.Run(ctx) }) // what broke, the requests tell
	return "http://" + srv.Addr(), nil
}

func (s *servers) wait() { s.running.Wait() }

// asker asks for orders.
type asker struct{ client *http.Client }

func (a asker) ask(ctx context.Context, url string, i int) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/v1/orders/o-"+strconv.Itoa(i), nil)
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer none")
	resp, err := a.client.Do(r)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err == nil && (resp.StatusCode != http.StatusOK || n != int64(len(anOrder))) {
		err = fmt.Errorf("it answered %d with %d bytes", resp.StatusCode, n)
	}
	return err
}

// many has all clients ask at the same time.
func (c Gateway) many(a asker, url string) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		var next atomic.Int64
		began := time.Now()
		err := each(ctx, c.Clients, func(ctx context.Context, _ int) error {
			for {
				i := int(next.Add(1))
				if i > c.Requests {
					return nil
				}
				if err := a.ask(ctx, url, i); err != nil {
					return err
				}
			}
		})
		return time.Since(began), err
	}
}

// single asks one after the other, of each in turn.
func (c Gateway) single(ctx context.Context, a asker, urls ...string) ([]Figures, error) {
	took := make([][]time.Duration, len(urls))
	for i := range c.Samples {
		for n := range urls {
			side := (i + n) % len(urls)
			began := time.Now()
			if err := a.ask(ctx, urls[side], i); err != nil {
				return nil, errors.Join(errors.New("one at a time"), err)
			}
			took[side] = append(took[side], time.Since(began))
		}
		if i%100 == 0 {
			c.Progress("measuring one at a time", i, c.Samples)
		}
	}
	c.Progress("measuring one at a time", c.Samples, c.Samples)
	out := make([]Figures, len(urls))
	for i := range took {
		out[i] = percentiles(took[i])
	}
	return out, nil
}
