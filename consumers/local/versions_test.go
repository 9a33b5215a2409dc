package local_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/consumers/local"
	"github.com/cqrsflow/cqrsflow/consumers/rebuild"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// What was asked for, and what was switched to, outlives a restart.
func TestVersionsOutliveARestart(t *testing.T) {
	dir := t.TempDir()
	logs := shop(20, 1)
	ends := func(context.Context) ([]runner.End, error) {
		return []runner.End{{Partition: runner.Partition{Aggregate: "order", Source: runner.Events}, End: int64(len(logs[0]))}}, nil
	}
	var indexes *local.Indexes
	var v *local.Versions
	open := func() {
		t.Helper()
		var err error
		if indexes != nil {
			require.NoError(t, indexes.Close())
		}
		indexes, err = local.OpenAll(local.Config{Dir: dir})
		require.NoError(t, err)
		v = local.NewVersions(indexes)
	}
	defer func() { require.NoError(t, indexes.Close()) }()
	fill := func(version int, logs [][]event.Recorded) {
		t.Helper()
		sink, err := v.Prepare(t.Context(), version)
		require.NoError(t, err)
		_, err = apply(t.Context(), sink, logs, 7, func(int) {})
		require.NoError(t, err)
	}
	state := func() (out []rebuild.State) {
		all, err := v.Versions(t.Context())
		require.NoError(t, err)
		for _, x := range all {
			out = append(out, x.State)
		}
		return out
	}
	open()
	fill(1, logs)
	_, _, err := v.Begin(t.Context())
	require.NoError(t, err)
	fill(2, [][]event.Recorded{logs[0][:14]})
	open()
	require.Equal(t, []rebuild.State{rebuild.Active, rebuild.Building}, state())
	places, err := v.Places(t.Context(), 2)
	require.NoError(t, err)
	require.EqualValues(t, 14, places[0].Next)
	fill(2, logs)
	switched, err := v.Switch(t.Context(), 2, ends)
	require.NoError(t, err)
	require.True(t, switched)
	open()
	require.Equal(t, []rebuild.State{rebuild.Retired, rebuild.Active}, state())
	all, _ := indexes.Active().AllProgress()
	require.EqualValues(t, len(logs[0]), all[0].Next)
	require.NoError(t, v.Drop(t.Context(), 1))
	require.NoDirExists(t, filepath.Join(dir, searchindex.IndexName(1)))
	third, _, err := v.Begin(t.Context())
	require.NoError(t, err)
	require.Equal(t, 3, third.Number)

	// A file that is no registry is not taken for an empty one.
	require.NoError(t, indexes.Close())
	path := filepath.Join(dir, "orders_search-versions.json")
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(`{"last":3}`), 0o600))
	_, err = local.OpenAll(local.Config{Dir: dir})
	require.ErrorIs(t, err, event.ErrCorrupt)
	require.ErrorContains(t, err, path)
	require.NoError(t, os.WriteFile(path, good, 0o600))
	open()
	require.Equal(t, []rebuild.State{rebuild.Active, rebuild.Building}, state())
}
