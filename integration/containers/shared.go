package containers

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
)

// Shared names a kind of server that a package's tests share; see Main.
type Shared func(*sharedServers)

// WithKafka shares one Kafka.
func WithKafka() Shared { return share(kafkaName) }

// WithPostgres shares one PostgreSQL.
func WithPostgres() Shared { return share(postgresName) }

// WithElasticsearch shares one Elasticsearch.
func WithElasticsearch() Shared { return share(elasticsearchName) }

func share(kind string) Shared {
	return func(s *sharedServers) { s.kinds[kind] = &sharedServer{} }
}

// Main runs a package's tests, which share one server of each kind that is named, started when a test first
// asks for it and removed when all have run. Call it from TestMain. Tests that share have to keep apart by
// names, of topics, tables and indexes.
func Main(m *testing.M, kinds ...Shared) {
	for _, k := range kinds {
		k(&shared)
	}
	m.Run() // the testing package exits with its result
	shared.remove()
}

var shared = sharedServers{kinds: map[string]*sharedServer{}}

// sharedServers is filled before the tests run, and then only read.
type sharedServers struct {
	kinds map[string]*sharedServer
}

type sharedServer struct {
	once   sync.Once
	server *Server
	err    error
}

// get returns the shared server of the kind; nil when the kind is not shared.
func (s *sharedServers) get(t testing.TB, sp *spec) *Server {
	t.Helper()
	e := s.kinds[sp.name]
	if e == nil {
		return nil
	}
	// Not the first test's context: the server outlives it.
	e.once.Do(func() { e.server, e.err = run(context.Background(), sp, "shared") })
	if e.err != nil {
		t.Fatal(e.err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the log of the shared %s:\n%s", sp.name, e.server.Logs(context.Background()))
		}
	})
	return e.server
}

func (s *sharedServers) remove() {
	for _, e := range s.kinds {
		if e.server == nil {
			continue
		}
		if err := e.server.remove(); err != nil { // too late to fail a test; the next process tries again
			fmt.Fprintln(os.Stderr, err)
		}
	}
}
