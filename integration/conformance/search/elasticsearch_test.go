package search_test

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/cqrsflow/cqrsflow/consumers/elasticsearch"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/integration/containers"
	"github.com/cqrsflow/cqrsflow/internal/searchindex/elastic"
	"github.com/cqrsflow/cqrsflow/query/search"
)

func TestMain(m *testing.M) { containers.Main(m, containers.WithElasticsearch()) }

var made atomic.Int64

// connect returns a client of the shared server, with a prefix that no other test has.
func connect(t *testing.T) *elastic.Client {
	t.Helper()
	server := containers.Elasticsearch(t)
	client, err := elastic.Connect(elastic.Config{URLs: []string{server.URL},
		Prefix: strings.ToLower(name("t%d-%d", time.Now().UnixNano(), made.Add(1)))})
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, index := range []string{client.Index, client.ProgressIndex} {
			remove(t, client, index)
		}
		client.Close()
	})
	return client
}

func remove(t *testing.T, client *elastic.Client, index string) {
	t.Helper()
	// A test's own context has ended by the time of its cleanup.
	require.NoError(t, client.Do(context.WithoutCancel(t.Context()), http.MethodDelete, "/"+index+"?ignore_unavailable=true", elastic.JSON, nil, nil))
}

func on(t *testing.T, client *elastic.Client) *backend {
	t.Helper()
	sink, err := elasticsearch.New(elasticsearch.Config{Client: client, BulkBytes: 256 << 10})
	require.NoError(t, err)
	return &backend{sink: sink, reader: search.NewElasticsearch(client), retry: sink.Retry, drop: sink.Drop}
}

func TestElasticsearch(t *testing.T) {
	containers.Require(t)
	conformance(t, func(t *testing.T) *backend { return on(t, connect(t)) })
}

// Several processes make the indexes at once; all see the same one.
func TestElasticsearchSetup(t *testing.T) {
	client := connect(t)
	generations := make([]string, 6)
	var g errgroup.Group
	for i := range generations {
		g.Go(func() (err error) {
			generations[i], err = client.Setup(t.Context())
			return err
		})
	}
	require.NoError(t, g.Wait())
	for _, generation := range generations {
		require.NotEmpty(t, generation)
		require.Equal(t, generations[0], generation)
	}
}

// What the server's own mapping refuses is poison: here, a mapping of somebody else's.
func TestElasticsearchMappingError(t *testing.T) {
	client := connect(t)
	body, err := json.Marshal(map[string]any{
		"aliases": map[string]any{client.Write: map[string]any{}},
		"mappings": map[string]any{
			"_meta":      map[string]any{"definition": 1, "generation": "by hand"},
			"properties": map[string]any{"customer": map[string]any{"type": "ip"}},
		},
	})
	require.NoError(t, err)
	require.NoError(t, client.Do(t.Context(), http.MethodPut, "/"+client.Index, elastic.JSON, body, nil))
	s := open(t, on(t, client), 0)
	s.place(order{id: "good", customer: "10.0.0.1"})
	s.place(order{id: "bad", customer: "nobody"})
	var p *runner.Poison
	require.ErrorAs(t, s.try(), &p)
	require.Equal(t, event.StreamID("bad"), p.Stream)
	require.EqualValues(t, 1, p.Offset)
	s.pending = s.pending[:1]
	require.NoError(t, s.try())
}

// The server's limit on terms is the one that an order's customer could break.
func TestElasticsearchImmenseTerm(t *testing.T) {
	s := open(t, on(t, connect(t)), 0)
	s.place(order{id: "bad", customer: strings.Repeat("c", 40_000)})
	var p *runner.Poison
	require.ErrorAs(t, s.try(), &p)
	require.Equal(t, event.StreamID("bad"), p.Stream)
}

// An index that was deleted is not made by mistake, and is filled from the start once it is made again.
func TestElasticsearchIndexDeleted(t *testing.T) {
	client := connect(t)
	b := on(t, client)
	s := open(t, b, 0)
	s.place(order{id: "a", customer: "c"})
	s.place(order{id: "b", customer: "c"})
	all := s.pending
	s.apply()
	remove(t, client, client.Index)

	s.place(order{id: "c", customer: "c"})
	all = append(all, s.pending...)
	require.ErrorIs(t, s.try(), event.ErrUnavailable)
	err := client.Do(t.Context(), http.MethodGet, "/"+client.Write, elastic.JSON, nil, nil)
	require.True(t, elastic.IsStatus(err, http.StatusNotFound), "%v", err)
	_, err = b.reader.Search(t.Context(), search.Request{})
	require.ErrorIs(t, err, event.ErrUnavailable)

	s.reopen()
	_, found := s.session.Checkpoint()
	require.False(t, found)
	s.pending = all
	s.apply()
	ids, _ := find(t, b, search.Request{})
	require.Equal(t, []string{"c", "b", "a"}, ids)
}

// Readers see one version or another, and nothing in between.
func TestElasticsearchActivate(t *testing.T) {
	client := connect(t)
	b := on(t, client)
	s := open(t, b, 0)
	s.place(order{id: "new", customer: "c"})
	s.apply()
	// The version before, which readers still search.
	old := client.Index + "-old"
	t.Cleanup(func() { remove(t, client, old) })
	require.NoError(t, client.Do(t.Context(), http.MethodPut, "/"+old, elastic.JSON, []byte(`{}`), nil))
	actions := name(`{"actions":[{"remove":{"index":%q,"alias":%q}},{"add":{"index":%q,"alias":%q}}]}`, client.Index, client.Read, old, client.Read)
	require.NoError(t, client.Do(t.Context(), http.MethodPost, "/_aliases", elastic.JSON, []byte(actions), nil))

	s.reopen() // does not take the readers along
	_, err := b.reader.Get(t.Context(), "new")
	require.ErrorIs(t, err, event.ErrNotFound)
	for range 2 {
		require.NoError(t, client.Activate(t.Context()))
		_, err = b.reader.Get(t.Context(), "new")
		require.NoError(t, err)
	}
	var holders map[string]json.RawMessage
	require.NoError(t, client.Do(t.Context(), http.MethodGet, "/_alias/"+client.Read, elastic.JSON, nil, &holders))
	require.Len(t, holders, 1)
	require.Contains(t, holders, client.Index)
}

// An index of another definition is not written.
func TestElasticsearchOtherDefinition(t *testing.T) {
	client := connect(t)
	require.NoError(t, client.Do(t.Context(), http.MethodPut, "/"+client.Index, elastic.JSON, []byte(`{"mappings":{"_meta":{"definition":99}}}`), nil))
	_, err := on(t, client).sink.Open(t.Context(), partition(0))
	require.ErrorIs(t, err, event.ErrConfig)
	require.ErrorContains(t, err, client.Index)
}

// Before anything was projected there is nothing to search; that is said, and may pass.
func TestElasticsearchNotMadeYet(t *testing.T) {
	b := on(t, connect(t))
	_, err := b.reader.Search(t.Context(), search.Request{})
	require.ErrorIs(t, err, event.ErrUnavailable)
	_, err = b.reader.Get(t.Context(), "o")
	require.ErrorIs(t, err, event.ErrUnavailable)
	_, err = b.reader.Positions(t.Context())
	require.ErrorIs(t, err, event.ErrUnavailable)
}
