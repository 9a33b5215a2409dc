package kafka

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	topic = "events"
	group = "readers"
	parts = 3
)

// session is a transactional client that also commits offsets of topic "commands" for group.
func session(t testing.TB, addr string) *kgo.GroupTransactSession {
	t.Helper()
	s, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(addr), kgo.ProducerLinger(0), kgo.DisableClientMetrics(), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.TransactionalID("one"), kgo.ConsumerGroup(group), kgo.ConsumeTopics("commands"),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()),
	)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// consume polls until each partition of "commands" gave a record.
func consume(t testing.TB, s *kgo.GroupTransactSession) {
	t.Helper()
	for seen := map[int32]bool{}; len(seen) < parts; {
		f := s.PollFetches(testContext(t))
		require.NoError(t, f.Err0())
		f.EachRecord(func(r *kgo.Record) { seen[r.Partition] = true })
	}
}

func end(t testing.TB, s *kgo.GroupTransactSession) {
	t.Helper()
	done, err := s.End(testContext(t), kgo.TryCommit)
	require.NoError(t, err)
	require.True(t, done, "committed")
}

// What an open transaction wrote must stay invisible for good, and must not hide what comes after it.
func TestOpenTransactionEndsAborted(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	createTopic(t, s.Addr(), topic, parts)
	cl := client(t, s.Addr(), kgo.TransactionalID("one"))
	require.NoError(t, cl.BeginTransaction())
	produce(t, cl, topic, parts, "lost")

	dir = image(t, dir)
	s = start(t, dir)
	cl = client(t, s.Addr(), kgo.TransactionalID("one"))
	require.NoError(t, cl.BeginTransaction())
	produce(t, cl, topic, parts, "kept")
	require.NoError(t, cl.EndTransaction(testContext(t), kgo.TryCommit))

	crashed := image(t, dir)
	require.Equal(t, same(parts, "kept"), committed(t, s.Addr(), topic, parts), "after the first crash")
	require.Equal(t, same(parts, "kept"), committed(t, start(t, crashed).Addr(), topic, parts), "after the second crash")
}

// A transaction that was open when the broker closed, and still is when the next one is killed.
func TestOpenOverCloseAndCrash(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	createTopic(t, s.Addr(), topic, parts)
	cl := client(t, s.Addr(), kgo.TransactionalID("one"))
	require.NoError(t, cl.BeginTransaction())
	produce(t, cl, topic, parts, "lost")
	require.NoError(t, s.Close())

	start(t, dir)
	s = start(t, image(t, dir))
	require.Equal(t, make([][]string, parts), committed(t, s.Addr(), topic, parts))
}

// A producer of the time before the crash must not get half a transaction committed.
func TestSurvivingProducerIsFenced(t *testing.T) {
	dir := t.TempDir()
	s, err := Start(testContext(t), Config{Addr: "127.0.0.1:0", DataDir: dir, Logger: quiet})
	require.NoError(t, err)
	createTopic(t, s.Addr(), topic, parts)
	cl := client(t, s.Addr(), kgo.TransactionalID("one"))
	require.NoError(t, cl.BeginTransaction())
	produce(t, cl, topic, parts, "first half")

	crashed := image(t, dir)
	require.NoError(t, s.Close())
	s2, err := Start(testContext(t), Config{Addr: s.Addr(), DataDir: crashed, Logger: quiet})
	require.NoError(t, err)
	defer func() { require.NoError(t, s2.Close()) }()

	err = cl.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Value: []byte("second half")}).FirstErr()
	if err == nil {
		err = cl.EndTransaction(testContext(t), kgo.TryCommit)
	}
	require.Error(t, err)
	require.Equal(t, make([][]string, parts), committed(t, s2.Addr(), topic, parts))
}

// A kill -9 between any two writes of a commit leaves it whole: the files of the moments before and after
// a commit are mixed in the order in which kfake writes them.
func TestCommitIsAtomic(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	createTopic(t, s.Addr(), "commands", parts)
	createTopic(t, s.Addr(), topic, parts)
	produce(t, client(t, s.Addr()), "commands", parts, "command")
	gs := session(t, s.Addr())
	consume(t, gs)
	require.NoError(t, gs.Begin())
	produce(t, gs.Client(), topic, parts, "first")
	end(t, gs)
	produce(t, client(t, s.Addr()), "commands", parts, "command")
	consume(t, gs)
	require.NoError(t, gs.Begin())
	produce(t, gs.Client(), topic, parts, "second")
	before := image(t, dir)
	end(t, gs)
	after := image(t, dir)
	gs.Close()

	steps := commitSteps(t, before, after)
	require.Len(t, steps, 1+parts*2+parts+2, "journal, a marker and its index line a partition, an offset a partition, two lines about the producer")
	for n := range len(steps) + 1 {
		t.Run(fmt.Sprintf("%d of %d writes", n, len(steps)), func(t *testing.T) {
			dir := image(t, before)
			for _, step := range steps[:n] {
				step.apply(t, dir)
			}
			want, at := same(parts, "first"), []int64{1, 1, 1}
			if n > 0 { // from the journal on
				want, at = same(parts, "first", "second"), []int64{2, 2, 2}
			}
			s := start(t, dir)
			crashed := image(t, dir) // recovery's own work must survive a crash as well
			require.Equal(t, want, committed(t, s.Addr(), topic, parts))
			require.Equal(t, at, offsets(t, s.Addr(), group, "commands", parts))
			s = start(t, crashed)
			require.Equal(t, want, committed(t, s.Addr(), topic, parts))
			require.Equal(t, at, offsets(t, s.Addr(), group, "commands", parts))
		})
	}
}

// write is one write call: data at the end of a file, or in place of it.
type write struct {
	name    string
	data    []byte
	replace bool
}

func (w write) apply(t *testing.T, dir string) {
	path := filepath.Join(dir, w.name)
	if w.replace {
		require.NoError(t, os.WriteFile(path, w.data, 0o600))
		return
	}
	require.NoError(t, appendFile(path, w.data))
}

// commitSteps are the writes that lead from before to after, in kfake's order.
func commitSteps(t *testing.T, before, after string) []write {
	read := func(dir, name string) []byte {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		return raw
	}
	grown := func(name string) []byte { return read(after, name)[len(read(before, name)):] }
	steps := []write{{name: journalName, data: read(after, journalName), replace: true}}
	for p := range parts {
		for _, ext := range []string{".dat", ".idx"} {
			name := filepath.Join(brokerDir, "partitions", fmt.Sprintf("%s-%d", topic, p), "0"+ext)
			steps = append(steps, write{name: name, data: grown(name)})
		}
	}
	for _, name := range []string{"groups.log", "pids.log"} {
		name = filepath.Join(brokerDir, name)
		rest := grown(name)
		for _, size, ok := nextEntry(rest); ok; _, size, ok = nextEntry(rest) {
			steps = append(steps, write{name: name, data: rest[:size]})
			rest = rest[size:]
		}
		require.Empty(t, rest)
	}
	return steps
}

// A write itself may be cut short, and what is written after it must be readable after the next crash.
func TestTornWrites(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	createTopic(t, s.Addr(), "commands", parts)
	createTopic(t, s.Addr(), topic, parts)
	produce(t, client(t, s.Addr()), "commands", parts, "command")
	gs := session(t, s.Addr())
	consume(t, gs)
	require.NoError(t, gs.Begin())
	produce(t, gs.Client(), topic, parts, "first")
	end(t, gs)
	gs.Close()

	dir = image(t, dir)
	files := []string{
		"groups.log", "pids.log",
		filepath.Join("partitions", topic+"-0", "0.dat"),
		filepath.Join("partitions", topic+"-1", "0.idx"),
	}
	for _, name := range files {
		path := filepath.Join(dir, brokerDir, name)
		raw, err := os.ReadFile(path)
		require.NoError(t, err)
		require.NoError(t, appendFile(path, raw[:13])) // the beginning of something valid
	}

	s = start(t, dir)
	gs = session(t, s.Addr())
	produce(t, client(t, s.Addr()), "commands", parts, "command")
	consume(t, gs)
	require.NoError(t, gs.Begin())
	produce(t, gs.Client(), topic, parts, "second")
	end(t, gs)
	gs.Close()

	s = start(t, image(t, dir))
	require.Equal(t, same(parts, "first", "second"), committed(t, s.Addr(), topic, parts))
	require.Equal(t, []int64{2, 2, 2}, offsets(t, s.Addr(), group, "commands", parts))
}

// The end came between the write of a batch and the write of its index line.
func TestBatchWithoutIndexLine(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	createTopic(t, s.Addr(), topic, parts)
	cl := client(t, s.Addr(), kgo.TransactionalID("one"))
	require.NoError(t, cl.BeginTransaction())
	produce(t, cl, topic, parts, "lost")

	dir = image(t, dir)
	for p := range parts {
		require.NoError(t, os.Truncate(filepath.Join(dir, brokerDir, "partitions", fmt.Sprintf("%s-%d", topic, p), "0.idx"), 0))
	}
	s = start(t, dir)
	require.Equal(t, make([][]string, parts), committed(t, s.Addr(), topic, parts))
}

func TestUnknownFormatIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := Start(testContext(t), Config{Addr: "127.0.0.1:0", DataDir: dir, Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, brokerDir, "meta.json"), []byte(`{"version":2}`), 0o600))
	_, err = Start(testContext(t), Config{Addr: "127.0.0.1:0", DataDir: dir, Logger: quiet})
	require.ErrorContains(t, err, "version 2")
}
