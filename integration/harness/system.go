package harness

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Servers are the real servers that a System runs on.
type Servers struct {
	Brokers       string
	Postgres      string
	Elasticsearch string
}

// System is cqrsflow on real servers, with topics, a database and indexes of its own: its roles run as processes
// of their own.
type System struct {
	Target
	Servers Servers

	settings []string
	http     string
	dir      string
	served   int
}

// Partitions is how many partitions the topics of a System have.
const Partitions = 4

// NewSystem makes the database and the topics; Serve starts roles, with these settings besides.
func NewSystem(t testing.TB, servers Servers, settings ...string) *System {
	t.Helper()
	name := fmt.Sprintf("t%08x", rand.Uint32())
	s := &System{Servers: servers, http: FreeAddr(t), dir: t.TempDir()}
	s.Target = Target{API: "http://" + s.http, Brokers: servers.Brokers, Prefix: name, Postgres: database(t, servers.Postgres, name)}
	s.settings = []string{
		"CQRSFLOW_PREFIX=" + name, "CQRSFLOW_KAFKA_BROKERS=" + servers.Brokers,
		"CQRSFLOW_POSTGRES_URL=" + s.Postgres, "CQRSFLOW_ELASTICSEARCH_URL=" + servers.Elasticsearch,
		"CQRSFLOW_TOKEN=" + Token, "CQRSFLOW_REACT_FROM=start",
		// The least that the brokers allow: how long a killed process's partitions stay without an owner.
		"CQRSFLOW_PROCESSOR_SESSION_TIMEOUT=6s",
	}
	s.settings = append(s.settings, settings...)
	s.Settings = append(s.settings, "CQRSFLOW_SERVER="+s.API, "CQRSFLOW_REPLICATION=1", fmt.Sprintf("CQRSFLOW_PARTITIONS=%d", Partitions))
	s.Must(t, "topology", "apply")
	return s
}

// database makes an empty database beside the one that the URL names, and removes it when the test ends.
func database(t testing.TB, base, name string) string {
	t.Helper()
	exec := func(sql string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		c, err := pgx.Connect(ctx, base)
		if err == nil {
			defer func() { _ = c.Close(ctx) }()
			_, err = c.Exec(ctx, sql)
		}
		if err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	exec("CREATE DATABASE " + name)
	t.Cleanup(func() { exec("DROP DATABASE " + name + " WITH (FORCE)") })
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "/" + name
	return u.String()
}

// Role is a process that serves some roles; it keeps its addresses and its data over restarts.
type Role struct {
	*Process
	// Ops is the base URL of its operations port, API that of its public one; empty where it has none.
	Ops string
	API string
	// Dir is its data directory.
	Dir string

	name     string
	settings []string
	args     []string
}

// Serve starts a process with those roles, separated by commas. Ready waits for it.
func (s *System) Serve(t testing.TB, roles string, flags ...string) *Role {
	t.Helper()
	ops := FreeAddr(t)
	s.served++
	r := &Role{Ops: "http://" + ops, name: roles, settings: s.settings, Dir: fmt.Sprintf("%s/%d", s.dir, s.served)}
	r.args = append([]string{"serve", "--roles", roles, "--ops", ops, "--data", r.Dir}, flags...)
	http := ""
	if strings.Contains(roles, "query") {
		http = s.http
		s.Ops = r.Ops
		s.Settings = append(s.Settings, "CQRSFLOW_OPS="+r.Ops)
	} else if strings.Contains(roles, "identity") {
		http = FreeAddr(t)
	}
	if http != "" {
		r.API = "http://" + http
		r.args = append(r.args, "--http", http)
	}
	r.Start(t)
	return r
}

// Start starts the process, again where it has ended.
func (r *Role) Start(t testing.TB) {
	t.Helper()
	r.Process = Start(t, r.name, r.settings, r.args...)
}

// AwaitReady waits until the process says that it is ready.
func (r *Role) AwaitReady(t testing.TB) {
	t.Helper()
	awaitReady(t, r.Process, r.Ops)
}
