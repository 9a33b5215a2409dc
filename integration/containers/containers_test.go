package containers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/elastic/go-elasticsearch/v8"
	"github.com/elastic/go-elasticsearch/v8/typedapi/types"
	"github.com/jackc/pgx/v5"
	"github.com/moby/moby/client"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// The test binary is also another process.
const (
	leaveEnv = "CONTAINERS_TEST_LEAVE" // set: one that makes a container and ends without cleaning up
	noneEnv  = "CONTAINERS_TEST_NONE"  // set: one where Docker does not answer
)

func TestMain(m *testing.M) {
	if os.Getenv(leaveEnv) != "" {
		s, err := run(context.Background(), postgresSpec(), "leftover")
		if err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		fmt.Println(s.id)
		os.Exit(0)
	}
	if os.Getenv(noneEnv) != "" {
		docker.once.Do(func() { docker.err = errors.New("nobody there") })
	}
	Main(m, WithPostgres())
}

func kafkaClient(t *testing.T, k *KafkaServer, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	cl, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(k.Brokers...), kgo.DisableClientMetrics()}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(cl.Close)
	return cl
}

func commit(t *testing.T, k *KafkaServer, topic, value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := kafkaClient(t, k, kgo.TransactionalID("test"), kgo.ProducerLinger(0))
	require.NoError(t, cl.BeginTransaction())
	require.NoError(t, cl.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr())
	require.NoError(t, cl.EndTransaction(ctx, kgo.TryCommit))
}

func read(t *testing.T, k *KafkaServer, topic string, n int) (values []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cl := kafkaClient(t, k, kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	for len(values) < n {
		f := cl.PollFetches(ctx)
		require.NoError(t, f.Err())
		f.EachRecord(func(r *kgo.Record) { values = append(values, string(r.Value)) })
	}
	return values
}

// One test a server, since starting one takes seconds: a transaction, then each fault.
func TestKafka(t *testing.T) {
	k := Kafka(t)
	ctx := t.Context()
	_, err := kadm.NewClient(kafkaClient(t, k)).CreateTopic(ctx, 1, 1, nil, "events")
	require.NoError(t, err)
	commit(t, k, "events", "one")
	require.Equal(t, []string{"one"}, read(t, k, "events", 1))

	t.Run("kill and restart keep address and data", func(t *testing.T) {
		require.NoError(t, k.Kill(ctx))
		require.Error(t, kafkaReady(ctx, k.hostPort))
		require.NoError(t, k.Restart(ctx))
		commit(t, k, "events", "two")
		require.Equal(t, []string{"one", "two"}, read(t, k, "events", 2))
	})
	t.Run("pause freezes it", func(t *testing.T) {
		require.NoError(t, k.Pause(ctx))
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		require.ErrorIs(t, kafkaReady(short, k.hostPort), context.DeadlineExceeded)
		require.NoError(t, k.Unpause(ctx))
		commit(t, k, "events", "three")
		require.Equal(t, []string{"one", "two", "three"}, read(t, k, "events", 3))
	})
	t.Run("the log is at hand", func(t *testing.T) {
		require.Contains(t, k.Logs(ctx), "INFO")
	})
}

func TestPostgresIsShared(t *testing.T) {
	a := Postgres(t)
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, a.URL)
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, "CREATE TABLE orders (id text); INSERT INTO orders VALUES ('1')")
	require.NoError(t, err)

	require.Equal(t, a.id, Postgres(t).id, "a second test would get the same")
	var id string
	require.NoError(t, conn.QueryRow(ctx, "SELECT id FROM orders").Scan(&id))
	require.Equal(t, "1", id)
}

func TestOwnPostgres(t *testing.T) {
	var own *PostgresServer
	t.Run("test", func(t *testing.T) {
		own = Postgres(t, Env("POSTGRES_INITDB_ARGS", ""))
		ctx := t.Context()
		require.NotEqual(t, Postgres(t).id, own.id, "one with options is not shared")

		conn, err := pgx.Connect(ctx, own.URL)
		require.NoError(t, err)
		_, err = conn.Exec(ctx, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)")
		require.NoError(t, err)
		require.NoError(t, own.Kill(ctx))
		require.Error(t, conn.Ping(ctx))
		require.NoError(t, own.Restart(ctx))
		conn, err = pgx.Connect(ctx, own.URL)
		require.NoError(t, err)
		var n int
		require.NoError(t, conn.QueryRow(ctx, "SELECT count(*) FROM t").Scan(&n))
		require.Equal(t, 1, n)
		require.NoError(t, conn.Close(ctx))

		state, err := own.docker.ContainerInspect(ctx, own.id, client.ContainerInspectOptions{})
		require.NoError(t, err)
		require.Equal(t, t.Name(), state.Container.Config.Labels[labelTest])
	})
	if own == nil {
		t.Skip("the test itself was skipped or failed")
	}
	_, err := own.docker.ContainerInspect(t.Context(), own.id, client.ContainerInspectOptions{})
	require.ErrorContains(t, err, "No such container", "it is removed with its test")
}

func TestElasticsearch(t *testing.T) {
	s := Elasticsearch(t)
	ctx := t.Context()
	es, err := elasticsearch.NewTypedClient(elasticsearch.Config{Addresses: []string{s.URL}})
	require.NoError(t, err)
	_, err = es.Index("orders").Id("1").Document(map[string]any{"customer": "Grace Hopper", "cents": 1250}).Do(ctx)
	require.NoError(t, err)
	_, err = es.Indices.Refresh().Index("orders").Do(ctx)
	require.NoError(t, err)
	found, err := es.Search().Index("orders").Query(&types.Query{Match: map[string]types.MatchQuery{"customer": {Query: "hopper"}}}).Do(ctx)
	require.NoError(t, err)
	require.Len(t, found.Hits.Hits, 1)
	require.Equal(t, "1", *found.Hits.Hits[0].Id_)

	require.NoError(t, s.Restart(ctx))
	got, err := es.Get("orders", "1").Do(ctx)
	require.NoError(t, err)
	require.True(t, got.Found)
}

func TestServerThatEndsIsReported(t *testing.T) {
	Require(t)
	sp := postgresSpec()
	sp.cmd = []string{"postgres", "-c", "shared_buffers=nonsense"}
	_, err := run(t.Context(), sp, t.Name())
	require.ErrorContains(t, err, "ended with exit code")
	require.ErrorContains(t, err, "shared_buffers", "the server's own words")
	requireNoneLeft(t)
}

func TestMissingImageIsReported(t *testing.T) {
	Require(t)
	t.Setenv("CQRSFLOW_POSTGRES_IMAGE", "cqrsflow.invalid/none:1")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // testcontainers tries for long
	defer cancel()
	_, err := run(ctx, postgresSpec(), t.Name())
	require.ErrorContains(t, err, "cqrsflow.invalid/none:1")
	require.ErrorContains(t, err, "CQRSFLOW_POSTGRES_IMAGE")
	requireNoneLeft(t)
}

// requireNoneLeft looks for a container of this test.
func requireNoneLeft(t *testing.T) {
	t.Helper()
	cli, err := connect()
	require.NoError(t, err)
	found, err := cli.ContainerList(t.Context(), client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", labelTest+"="+t.Name())})
	require.NoError(t, err)
	require.Empty(t, found.Items)
}

// The containers of a process that could not clean up are removed by the next one.
func TestLeftoversAreRemoved(t *testing.T) {
	Require(t)
	child := exec.CommandContext(t.Context(), os.Args[0])
	child.Env = append(os.Environ(), leaveEnv+"=1")
	out, err := child.Output()
	require.NoError(t, err, "%s", out)
	id := strings.TrimSpace(string(out))
	cli, err := connect()
	require.NoError(t, err)
	_, err = cli.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
	require.NoError(t, err, "it was left")

	removeLeftovers(cli)
	_, err = cli.ContainerInspect(t.Context(), id, client.ContainerInspectOptions{})
	require.ErrorContains(t, err, "No such container")
}

// verdict records what a test was told.
type verdict struct{ skipped, failed string }

func (v *verdict) Helper()                      {}
func (v *verdict) Skipf(f string, args ...any)  { v.skipped = fmt.Sprintf(f, args...) }
func (v *verdict) Fatalf(f string, args ...any) { v.failed = fmt.Sprintf(f, args...) }

func TestDemand(t *testing.T) {
	gone := errors.New("connection refused")
	var v verdict
	demand(&v, nil, "require")
	require.Equal(t, verdict{}, v)
	demand(&v, gone, "")
	require.Equal(t, verdict{skipped: "needs Docker, and Docker does not answer: connection refused"}, v)
	v = verdict{}
	demand(&v, gone, "require")
	require.Equal(t, verdict{failed: "CQRSFLOW_INTEGRATION=require, but Docker does not answer: connection refused"}, v)
}

// Without Docker, tests are skipped, or fail where it is required.
func TestWithoutDocker(t *testing.T) {
	for mode, want := range map[string]string{"": "--- SKIP: TestPostgresIsShared", "require": "--- FAIL: TestPostgresIsShared"} {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestPostgresIsShared$", "-test.v")
		child.Env = append(os.Environ(), noneEnv+"=1", "CQRSFLOW_INTEGRATION="+mode)
		out, _ := child.CombinedOutput() // fails in one of the cases
		require.Contains(t, string(out), want)
		require.Contains(t, string(out), "Docker does not answer: nobody there")
	}
}

func TestDemultiplex(t *testing.T) {
	raw := "\x01\x00\x00\x00\x00\x00\x00\x03abc\x02\x00\x00\x00\x00\x00\x00\x02de\x01\x00\x00\x00\x00\x00\x00\x09cut"
	require.Equal(t, "abcdecut", demultiplex([]byte(raw)))
}
