package search_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/consumers/local"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/query/search"
)

func TestLocal(t *testing.T) { conformance(t, onDisk) }

func onDisk(t *testing.T) *backend {
	indexes, err := local.OpenAll(local.Config{Dir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, indexes.Close()) })
	versions := local.NewVersions(indexes)
	sink, err := versions.Sink(1)
	require.NoError(t, err)
	return &backend{sink: sink, reader: search.NewLocal(indexes), retry: sink.Retry, drop: sink.Drop, versions: versions, rewinds: true,
		evolving: func(e searchindex.Evolve) runner.Sink { return local.NewWith(indexes.Active(), e) }}
}
