package search_test

import (
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/consumers/elasticsearch"
	"github.com/cqrsflow/cqrsflow/query/search"
)

var made atomic.Int64

func connect(t *testing.T, cfg elasticsearch.ClientConfig) *elasticsearch.Client {
	t.Helper()
	cfg.URLs = []string{os.Getenv("H4_ES")}
	if cfg.Prefix == "" {
		// One server serves all tests: each has a prefix of its own.
		cfg.Prefix = strings.ToLower(name("t%d-%d", time.Now().UnixNano(), made.Add(1)))
	}
	client, err := elasticsearch.Connect(cfg)
	require.NoError(t, err)
	t.Cleanup(client.Close)
	return client
}

func TestElasticsearch(t *testing.T) {
	conformance(t, func(t *testing.T) *backend {
		client := connect(t, elasticsearch.ClientConfig{})
		sink, err := elasticsearch.New(elasticsearch.Config{Client: client, BulkBytes: 256 << 10})
		require.NoError(t, err)
		return &backend{sink: sink, reader: search.NewElasticsearch(client), retry: sink.Retry, drop: sink.Drop}
	})
}
