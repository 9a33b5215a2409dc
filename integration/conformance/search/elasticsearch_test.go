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
	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/integration/containers"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
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
		ctx := context.WithoutCancel(t.Context()) // a test's own has ended by the time of its cleanup
		r, err := client.ReadRegistry(ctx)
		require.NoError(t, err)
		for version := range r.Last {
			require.NoError(t, client.At(version+1).Remove(ctx))
		}
		remove(t, client, client.RegistryIndex)
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
	cfg := elasticsearch.Config{Client: client, BulkBytes: 256 << 10}
	sink, err := elasticsearch.New(cfg)
	require.NoError(t, err)
	versions, err := elasticsearch.NewVersions(cfg)
	require.NoError(t, err)
	return &backend{sink: sink, reader: search.NewElasticsearch(client), retry: sink.Retry, drop: sink.Drop, versions: versions,
		evolving: func(e searchindex.Evolve) runner.Sink {
			other := cfg
			other.Evolve = e
			sink, err := elasticsearch.New(other)
			require.NoError(t, err)
			return sink
		}}
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

// A process is killed between the steps of a switch: another one goes on with it, and it can no longer be given up.
func TestElasticsearchSwitchCutShort(t *testing.T) {
	client := connect(t)
	b := on(t, client)
	v := b.versions.(*elasticsearch.Versions)
	s := open(t, b, 0)
	s.place(order{id: "o", customer: "c"})
	s.apply()
	held := func() bool {
		p, _, err := client.ReadProgress(t.Context(), "order.events.0")
		require.NoError(t, err)
		return p.Held
	}
	hold := func() {
		p, _, err := client.ReadProgress(t.Context(), "order.events.0")
		require.NoError(t, err)
		next := p.Clone()
		next.Held = true
		_, ok, err := client.PutProgress(t.Context(), next, p)
		require.NoError(t, err)
		require.True(t, ok)
	}
	next, _, err := v.Begin(t.Context())
	require.NoError(t, err)
	_, err = v.Prepare(t.Context(), next.Number)
	require.NoError(t, err)

	// Killed while the old one is held: it goes on where the new one does not catch up, and where that is cancelled.
	hold()
	s.pay("o")
	require.ErrorIs(t, s.try(), event.ErrUnavailable)
	switched, err := v.Switch(t.Context(), next.Number, upTo(5000))
	require.NoError(t, err)
	require.False(t, switched)
	require.False(t, held())
	hold()
	_, err = v.Cancel(t.Context())
	require.NoError(t, err)
	require.False(t, held())
	s.apply()
	hold()
	_, err = v.Versions(t.Context())
	require.NoError(t, err)
	require.False(t, held(), "nothing is being built: whoever cancelled was killed")

	next, _, err = v.Begin(t.Context())
	require.NoError(t, err)
	sink, err := v.Prepare(t.Context(), next.Number)
	require.NoError(t, err)
	other := &shop{t: t, b: b, sink: sink, versions: map[event.StreamID]event.Version{}}
	other.reopen()
	other.place(order{id: "o", customer: "new"})
	other.pay("o")
	require.NoError(t, other.try())

	// Killed when it was recorded that the new one is complete.
	hold()
	_, err = client.ChangeRegistry(t.Context(), func(r *searchindex.Registry) (bool, error) {
		return r.Switch(next.Number, searchindex.Switching, time.Now()), nil
	})
	require.NoError(t, err)
	_, err = v.Cancel(t.Context())
	require.ErrorIs(t, err, event.ErrInvalid)
	require.True(t, held())
	// Killed when the aliases had moved.
	require.NoError(t, client.At(next.Number).Publish(t.Context(), client))
	require.NoError(t, client.At(next.Number).Publish(t.Context(), client))
	require.ErrorIs(t, client.Publish(t.Context(), client.At(7)), event.ErrFenced, "not from what readers do not see")
	switched, err = v.Switch(t.Context(), next.Number, upTo(2))
	require.NoError(t, err)
	require.True(t, switched)
	got, err := b.reader.Get(t.Context(), "o")
	require.NoError(t, err)
	require.Equal(t, "new", got.Customer)
	for _, alias := range []string{client.Read, client.ProgressAlias} {
		var holders map[string]json.RawMessage
		require.NoError(t, client.Do(t.Context(), http.MethodGet, "/_alias/"+alias, elastic.JSON, nil, &holders))
		require.Len(t, holders, 1)
	}
	require.ErrorIs(t, s.try(), event.ErrUnavailable, "the retired one stays held")
	require.NoError(t, v.Drop(t.Context(), 1))
	_, err = b.sink.Open(t.Context(), partition(0))
	require.ErrorIs(t, err, event.ErrUnavailable, "what was dropped is not made again")
}

// Indexes of a program that recorded no versions.
func TestElasticsearchBeforeVersions(t *testing.T) {
	client := connect(t)
	s := open(t, on(t, client), 0)
	s.place(order{id: "o", customer: "c"})
	s.apply()
	remove(t, client, client.RegistryIndex)
	actions := name(`{"actions":[{"remove":{"index":%q,"alias":%q}}]}`, client.ProgressIndex, client.ProgressAlias)
	require.NoError(t, client.Do(t.Context(), http.MethodPost, "/_aliases", elastic.JSON, []byte(actions), nil))
	b := on(t, client)
	require.NoError(t, b.versions.(*elasticsearch.Versions).Open(t.Context()))
	all, err := b.versions.Versions(t.Context())
	require.NoError(t, err)
	require.Len(t, all, 1)
	require.Equal(t, rebuild.Active, all[0].State)
	at, err := b.reader.Positions(t.Context())
	require.NoError(t, err)
	require.Len(t, at, 1)
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
