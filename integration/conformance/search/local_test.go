package search_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/consumers/local"
	"github.com/cqrsflow/cqrsflow/query/search"
)

func TestLocal(t *testing.T) {
	conformance(t, func(t *testing.T) *backend {
		index, err := local.Open(local.Config{Dir: t.TempDir()})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, index.Close()) })
		sink := local.New(index)
		return &backend{sink: sink, reader: search.NewLocal(index), retry: sink.Retry, drop: sink.Drop}
	})
}
