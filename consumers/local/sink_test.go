package local_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/cqrsflow/cqrsflow/consumers/local"
	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/embedded/dirlock"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

const (
	childEnv   = "LOCAL_TEST_CHILD"
	orders     = 4000
	partitions = 2
)

// TestMain is also the child that indexes until it is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		if err := child(dir); err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child indexes the shop in small batches, forever, telling how far it is.
func child(dir string) error {
	index, err := local.Open(local.Config{Dir: dir})
	if err != nil {
		return err
	}
	_, err = apply(context.Background(), local.New(index), shop(orders, partitions), 7, func(applied int) { fmt.Println(applied) })
	if err != nil {
		return err
	}
	fmt.Println("done")
	select {}
}

// apply goes on from the checkpoints to the end of the logs; it returns the number of batches. A
// partition without a log is left alone.
func apply(ctx context.Context, sink runner.Sink, logs [][]event.Recorded, size int, progress func(applied int)) (int, error) {
	batches := 0
	for more, sessions := true, map[int]runner.Session{}; more; {
		more = false
		for p := range logs {
			if logs[p] == nil {
				continue
			}
			part := runner.Partition{Aggregate: "order", Source: runner.Events, TopicID: [16]byte{1}, Number: int32(p)}
			if sessions[p] == nil {
				s, err := sink.Open(ctx, part)
				if err != nil {
					return 0, err
				}
				sessions[p] = s
			}
			from, found := sessions[p].Checkpoint()
			if !found {
				from = runner.Checkpoint{TopicID: part.TopicID, CommandOffset: -1}
			}
			events := logs[p][from.Next:]
			if len(events) == 0 {
				continue
			}
			events = events[:min(size, len(events))]
			last := events[len(events)-1]
			to := runner.Checkpoint{TopicID: part.TopicID, Next: last.Offset + 1, CommandOffset: last.CommandOffset}
			if err := sessions[p].Apply(ctx, &runner.Batch{Partition: part, From: from, To: to, Events: events}); err != nil {
				return 0, err
			}
			more = true
			batches++
			progress(batches)
		}
	}
	return batches, nil
}

// requireConsistent checks that the index holds what the checkpoints say, and returns how many events that is.
func requireConsistent(t *testing.T, index *local.Index, logs [][]event.Recorded) int {
	t.Helper()
	want := map[event.StreamID]searchindex.Document{}
	events := 0
	for p := range logs {
		progress, _ := index.Progress(searchindex.ProgressID("order", "events", int32(p)))
		for i := range logs[p][:progress.Next] {
			e := &logs[p][i]
			d, err := searchindex.Fold(want[e.Stream], e, false)
			require.NoError(t, err)
			want[e.Stream] = d
			events++
		}
	}
	n, err := index.Bleve().DocCount()
	require.NoError(t, err)
	require.EqualValues(t, len(want), n)
	for id, d := range want {
		got, err := index.Get(id)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(d, got))
	}
	return events
}

// A process that is killed leaves an index whose documents and checkpoints are of the same moment.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	logs := shop(orders, partitions)
	for round := 1; round <= 3; round++ {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		lines := bufio.NewScanner(out)
		for n := 0; n < 150*round && lines.Scan(); n++ {
			require.NotContains(t, lines.Text(), "error")
		}
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait() // killed

		index, err := local.Open(local.Config{Dir: dir})
		require.NoError(t, err)
		t.Logf("round %d: %d of %d events after the kill", round, requireConsistent(t, index, logs), 2*orders)
		require.NoError(t, index.Close())
	}
	index, err := local.Open(local.Config{Dir: dir})
	require.NoError(t, err)
	_, err = apply(t.Context(), local.New(index), logs, 500, func(int) {})
	require.NoError(t, err)
	require.Equal(t, 2*orders, requireConsistent(t, index, logs))
	require.NoError(t, index.Close())
}

// What was applied before Close is there after it.
func TestClosed(t *testing.T) {
	dir := t.TempDir()
	logs := shop(500, 1)
	index, err := local.Open(local.Config{Dir: dir})
	require.NoError(t, err)
	sink := local.New(index)
	_, err = apply(t.Context(), sink, logs, 10, func(int) {})
	require.NoError(t, err)
	require.NoError(t, index.Close())
	require.NoError(t, index.Close(), "twice")
	_, err = sink.Open(t.Context(), runner.Partition{Aggregate: "order", Source: runner.Events})
	require.ErrorIs(t, err, event.ErrUnavailable)
	_, err = index.Get("cdnow-1")
	require.ErrorIs(t, err, event.ErrUnavailable)

	index, err = local.Open(local.Config{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, 1000, requireConsistent(t, index, logs))
	require.NoError(t, index.Close())
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	index, err := local.Open(local.Config{Dir: dir})
	require.NoError(t, err)
	_, err = local.Open(local.Config{Dir: dir})
	require.ErrorIs(t, err, event.ErrUnavailable)
	require.ErrorIs(t, err, dirlock.ErrLocked)
	require.ErrorContains(t, err, dir)
	require.NoError(t, index.Close())
	index, err = local.Open(local.Config{Dir: dir})
	require.NoError(t, err)
	require.NoError(t, index.Close())
}

// Making an index that was interrupted is begun anew; a damaged index says what to do.
func TestHalfMade(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, searchindex.IndexName(searchindex.Shape))
	require.NoError(t, os.MkdirAll(path+".new", 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(path+".new", "index_meta.json"), []byte("{"), 0o600))
	index, err := local.Open(local.Config{Dir: dir})
	require.NoError(t, err)
	require.NoError(t, index.Close())

	require.NoError(t, os.WriteFile(filepath.Join(path, "index_meta.json"), []byte("{"), 0o600))
	_, err = local.Open(local.Config{Dir: dir})
	require.ErrorContains(t, err, "remove it")
	require.ErrorContains(t, err, path)
	_, err = local.Open(local.Config{Dir: dir})
	require.NotErrorIs(t, err, dirlock.ErrLocked, "the failed one gave its lock back")
}

// While the disk refuses what was written, nothing more is taken; it goes on by itself afterwards.
func TestDiskRefuses(t *testing.T) {
	dir := t.TempDir()
	index, err := local.Open(local.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	sink := local.New(index)
	store := filepath.Join(dir, searchindex.IndexName(searchindex.Shape), "store")
	require.NoError(t, index.Flush(t.Context()))
	require.NoError(t, os.Rename(store, store+".away"))

	logs := shop(orders, 1)
	_, err = apply(t.Context(), sink, logs, 5, func(int) {})
	require.ErrorIs(t, err, event.ErrUnavailable)
	progress, _ := index.Progress(searchindex.ProgressID("order", "events", 0))
	require.Less(t, progress.Next, int64(2*orders), "it did not take everything")

	require.NoError(t, os.Rename(store+".away", store))
	require.Eventually(t, func() bool {
		_, err = apply(t.Context(), sink, logs, 500, func(int) {})
		return err == nil
	}, 30*time.Second, 20*time.Millisecond)
	require.NoError(t, index.Close())
	index, err = local.Open(local.Config{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, 2*orders, requireConsistent(t, index, logs), "nothing is missing")
	require.NoError(t, index.Close())
}

// Partitions are written side by side, and their first batches list all of them.
func TestPartitionsAtOnce(t *testing.T) {
	dir := t.TempDir()
	index, err := local.Open(local.Config{Dir: dir})
	require.NoError(t, err)
	sink := local.New(index)
	const n = 16
	logs := shop(n*20, n)
	g, ctx := errgroup.WithContext(t.Context())
	for p := range n {
		g.Go(func() error {
			only := make([][]event.Recorded, n)
			only[p] = logs[p]
			_, err := apply(ctx, sink, only, 3, func(int) {})
			return err
		})
	}
	require.NoError(t, g.Wait())
	require.Equal(t, n*40, requireConsistent(t, index, logs))
	require.NoError(t, index.Close())
	index, err = local.Open(local.Config{Dir: dir})
	require.NoError(t, err)
	require.Equal(t, n*40, requireConsistent(t, index, logs))
	require.NoError(t, index.Close())
}

func TestConfig(t *testing.T) {
	_, err := local.Open(local.Config{})
	require.ErrorIs(t, err, event.ErrConfig)
	_, err = local.Open(local.Config{Dir: t.TempDir(), CachedDocuments: -1})
	require.ErrorIs(t, err, event.ErrConfig)
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err = local.Open(local.Config{Dir: filepath.Join(file, "dir")})
	require.Error(t, err)
	require.True(t, strings.Contains(err.Error(), file), "%v", err)
}
