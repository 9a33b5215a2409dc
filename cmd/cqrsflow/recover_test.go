package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/embedded/postgres"
	"github.com/cqrsflow/cqrsflow/services/ops"
	"github.com/cqrsflow/cqrsflow/topology"
)

// startServe runs serve within the test, with what environ says, and waits until it is ready. stop ends it.
func startServe(t *testing.T, environ []string, roles string) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	errs, ended := newOutput(), make(chan int, 1)
	dir := t.TempDir()
	go func() {
		ended <- run(ctx, &environment{environ: environ, stdin: strings.NewReader(""), stdout: newOutput(), stderr: errs,
			args: []string{"serve", "--roles", roles, "--ops", "127.0.0.1:0", "--data", dir, "--log-format", "json"}})
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("serve ended with %d\n%s", code, errs)
		}
	})
	t.Cleanup(stop)
	addr := ""
	until(t, "the operations port", func() bool {
		if m := regexp.MustCompile(`"ops":"([^"]+)"`).FindStringSubmatch(errs.String()); m != nil {
			addr = m[1]
		}
		return addr != ""
	})
	until(t, "ready\n"+errs.String(), func() bool {
		resp, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		var r ops.Readiness
		err = json.NewDecoder(resp.Body).Decode(&r)
		return err == nil && r.Ready
	})
	return stop
}

// mirror copies logs as a mirror does that keeps transactions: records, headers and partitions are the same, offsets are not. Markers stand
// elsewhere, and of the commands the first ones have been dropped by retention. It returns how many events there are.
func mirror(t *testing.T, cl *kgo.Client, from, to string) (events int) {
	t.Helper()
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	read := func(topic string) (out []*kgo.Record) {
		starts := map[string]map[int32]kgo.Offset{topic: {}}
		left := map[int32]int64{}
		for n, end := range ends[topic] {
			if end.Offset > 0 {
				starts[topic][n], left[n] = kgo.NewOffset().AtStart(), end.Offset
			}
		}
		if len(left) == 0 {
			return nil
		}
		reader, err := kgo.NewClient(kgo.SeedBrokers(cl.OptValue(kgo.SeedBrokers).([]string)...), kgo.ConsumePartitions(starts), kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.KeepControlRecords())
		if err != nil {
			t.Fatal(err)
		}
		defer reader.Close()
		for len(left) > 0 {
			reader.PollFetches(t.Context()).EachRecord(func(r *kgo.Record) {
				if r.Offset+1 >= left[r.Partition] {
					delete(left, r.Partition)
				}
				if !r.Attrs.IsControl() {
					out = append(out, r)
				}
			})
			if t.Context().Err() != nil {
				t.Fatal("the log cannot be read")
			}
		}
		return out
	}
	writer, err := kgo.NewClient(kgo.SeedBrokers(cl.OptValue(kgo.SeedBrokers).([]string)...), kgo.TransactionalID("mirror"), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	for _, name := range aggregates.Names() {
		source, target := topology.TopicsOf(from, name), topology.TopicsOf(to, name)
		for _, pair := range [][2]string{{source.Commands, target.Commands}, {source.Events, target.Events}, {source.Outcomes, target.Outcomes}} {
			recs := read(pair[0])
			if pair[0] == source.Commands {
				recs = recs[len(recs)/2:]
			}
			for _, r := range recs {
				if err := writer.BeginTransaction(); err != nil {
					t.Fatal(err)
				}
				copied := &kgo.Record{Topic: pair[1], Partition: r.Partition, Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp}
				err := writer.ProduceSync(t.Context(), copied).FirstErr()
				if err = errors.Join(err, writer.EndTransaction(t.Context(), kgo.TryCommit)); err != nil {
					t.Fatal(err)
				}
			}
			if pair[1] == target.Events {
				events += len(recs)
			}
		}
	}
	return events
}

// On logs that a mirror has copied under other offsets, recover has every stream go on where it was, decides nothing twice, and makes
// the read models anew. While anything runs it refuses.
func TestRecover(t *testing.T) {
	sql, err := postgres.Start(t.Context(), postgres.Config{DataDir: t.TempDir(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if errors.Is(err, postgres.ErrNoBinaries) && os.Getenv("CQRSFLOW_INTEGRATION") != "require" {
		t.Skipf("there is no PostgreSQL on this machine and none could be fetched: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sql.Close() })
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	settings := func(prefix string) []string {
		return []string{"CQRSFLOW_PREFIX=" + prefix, "CQRSFLOW_KAFKA_BROKERS=" + strings.Join(c.ListenAddrs(), ","), "CQRSFLOW_POSTGRES_URL=" + sql.URL(),
			"CQRSFLOW_PARTITIONS=2", "CQRSFLOW_REPLICATION=1"}
	}
	must := func(environ []string, args ...string) string {
		t.Helper()
		code, out, errs := cqrsflow(t, "", environ, args...)
		if code != 0 {
			t.Fatalf("%v: %d\n%s%s", args, code, out, errs)
		}
		return out
	}
	original, copied := settings("original"), settings("copied")
	const roles = "command,project-sql,history"
	must(original, "topology", "apply")
	stop := startServe(t, original, roles)
	for i := range 10 {
		order := fmt.Sprintf("order/o-%d", i)
		must(original, "publish", order, "place", `{"customer":"ada","lines":[{"sku":"cd","name":"CD","quantity":1,"total":{"amount":"11.77","currency":"USD"}}]}`, "--id", fmt.Sprintf("place-%d", i))
		must(original, "publish", order, "annotate", `{"text":"a gift"}`, "--id", fmt.Sprintf("annotate-%d", i))
	}
	must(original, "stream", "verify", "order/o-9")
	if code, _, errs := cqrsflow(t, "", original, "recover", "--yes"); code == 0 || !strings.Contains(errs, "stop every role first") {
		t.Errorf("recover while roles run: %d, %s", code, errs)
	}
	stop()

	cl, err := kgo.NewClient(kgo.SeedBrokers(c.ListenAddrs()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	must(copied, "topology", "apply")
	events := mirror(t, cl, "original", "copied")
	if code, _, errs := cqrsflow(t, "", copied, "recover"); code != 2 || !strings.Contains(errs, "add --yes") {
		t.Errorf("recover without --yes: %d, %s", code, errs)
	}
	out := must(copied, "recover", "--yes")
	for _, want := range []string{"copied: copied.order.events\n", "copied: copied.user.commands\n", "emptied: orders version 1\n", "emptied: history version 1\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("recover does not say %q:\n%s", want, out)
		}
	}
	must(copied, "recover", "--yes") // again does no harm
	stop = startServe(t, copied, roles)
	defer stop()
	for i := range 10 {
		order := fmt.Sprintf("order/o-%d", i)
		var p published
		if err := json.Unmarshal([]byte(must(copied, "publish", "--json", order, "annotate", `{"text":"wrapped"}`)), &p); err != nil || p.Version == nil || *p.Version != 3 {
			t.Errorf("%s goes on with version %v (%v), want 3", order, p.Version, err)
		}
		if err := json.Unmarshal([]byte(must(copied, "publish", "--json", order, "annotate", `{"text":"a gift"}`, "--id", fmt.Sprintf("annotate-%d", i))), &p); err != nil || !p.Replayed {
			t.Errorf("%s: a command that was decided before the copy is decided again: %+v, %v", order, p, err)
		}
		must(copied, "stream", "verify", order)
	}
	ends, err := kadm.NewClient(cl).ListCommittedOffsets(t.Context(), "copied.order.events")
	if err != nil {
		t.Fatal(err)
	}
	var now int64
	ends.Each(func(o kadm.ListedOffset) { now += o.Offset })
	if want := int64(2 * (events + 10)); now != want { // each with the marker of its transaction
		t.Errorf("the events end at %d, want %d: the %d that were copied and ten more", now, want, events)
	}
	must(copied, "topology", "verify")
}
