package harness

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Target is a running cqrsflow, whatever its servers: where it is asked.
type Target struct {
	// API is the base URL of the HTTP API, Ops that of an operations port whose process has all stores.
	API string
	Ops string
	// Brokers is Kafka's address, Prefix starts the topics' names, Postgres is the connection URL.
	Brokers  string
	Prefix   string
	Postgres string
	// Settings are the variables by which client commands find it.
	Settings []string
}

// Do sends a request to the API; see Ask.
func (g Target) Do(t testing.TB, method, path, body string, headers ...string) Answer {
	t.Helper()
	a, err := Ask(t.Context(), method, g.API+path, body, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// Get asks the API and decodes the answer, which must be a 200.
func (g Target) Get(ctx context.Context, path string, into func(b []byte) error, headers ...string) error {
	a, err := Ask(ctx, http.MethodGet, g.API+path, "", headers...)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, a)
	}
	return into(a.Body)
}

// CLI runs a client command.
func (g Target) CLI(t testing.TB, args ...string) Result {
	t.Helper()
	return Run(t, g.Settings, "", args...)
}

// Must is CLI for a command that must succeed.
func (g Target) Must(t testing.TB, args ...string) Result {
	t.Helper()
	r := g.CLI(t, args...)
	if r.Code != 0 {
		t.Fatalf("cqrsflow %v: %s", args, r)
	}
	return r
}

// Kafka connects a client that knows nothing of cqrsflow.
func (g Target) Kafka(t testing.TB, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(g.Brokers), kgo.DisableClientMetrics()}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cl.Close)
	return cl
}

// Topic is the full name of a topic, such as that of "order.events".
func (g Target) Topic(name string) string { return g.Prefix + "." + name }

// SQL connects to Postgres. The caller closes the connection.
func (g Target) SQL(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return pgx.Connect(ctx, g.Postgres)
}

// Query builds a path with a query string.
func Query(path string, pairs ...string) string {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		q.Add(pairs[i], pairs[i+1])
	}
	return path + "?" + q.Encode()
}
