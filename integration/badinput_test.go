package integration_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/integration/harness"
)

// A command that cannot do what it was asked to says why, and what to change: the exit code is 2 where it was called wrongly
// and 1 where something else is in the way.
func TestRefusals(t *testing.T) {
	dev := harness.NewDev(t)
	running := dev.Start(t)
	taken := takenAddr(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// Ports of its own, and a directory of its own, for whatever is not what the case is about.
	apart := func(t *testing.T, args ...string) []string {
		return append(args, "--ops", harness.FreeAddr(t), "--data", t.TempDir())
	}
	const nobody = "127.0.0.1:1"
	for name, c := range map[string]struct {
		args func(t *testing.T) []string
		code int
		says []string
	}{
		"dev: HTTP port taken": {func(t *testing.T) []string {
			return apart(t, "dev", "--http", taken, "--kafka", harness.FreeAddr(t))
		}, 1, []string{taken, "--http"}},
		"dev: operations port taken": {func(t *testing.T) []string {
			return []string{"dev", "--ops", taken, "--http", harness.FreeAddr(t), "--kafka", harness.FreeAddr(t), "--data", t.TempDir()}
		}, 1, []string{taken, "--ops"}},
		"dev: Kafka port taken": {func(t *testing.T) []string {
			return apart(t, "dev", "--kafka", taken, "--http", harness.FreeAddr(t))
		}, 1, []string{taken, "--kafka"}},
		"dev: directory in use": {func(t *testing.T) []string {
			return []string{"dev", "--data", dev.Dir, "--http", harness.FreeAddr(t), "--ops", harness.FreeAddr(t), "--kafka", harness.FreeAddr(t)}
		}, 1, []string{dev.Dir, "another cqrsflow dev", "--data"}},
		"dev: directory cannot be made": {func(t *testing.T) []string {
			return []string{"dev", "--data", filepath.Join(file, "below"), "--http", harness.FreeAddr(t), "--ops", harness.FreeAddr(t), "--kafka", harness.FreeAddr(t)}
		}, 1, []string{file, "--data"}},
		"dev: no such file to import": {func(t *testing.T) []string {
			return apart(t, "dev", "--http", harness.FreeAddr(t), "--kafka", harness.FreeAddr(t), "--import", filepath.Join(file, "none"))
		}, 1, []string{"none"}},
		"serve: operations port taken": {func(t *testing.T) []string {
			return []string{"serve", "--roles", "command", "--kafka-brokers", running.Brokers, "--ops", taken, "--data", t.TempDir()}
		}, 1, []string{taken, "--ops"}},
		"serve: HTTP port taken": {func(t *testing.T) []string {
			return apart(t, "serve", "--roles", "query", "--kafka-brokers", running.Brokers, "--postgres-url", running.Postgres,
				"--elasticsearch-url", "http://"+nobody, "--http", taken)
		}, 1, []string{taken, "--http"}},
		"serve: directory cannot be made": {func(t *testing.T) []string {
			return []string{"serve", "--roles", "command", "--kafka-brokers", running.Brokers, "--ops", harness.FreeAddr(t), "--data", filepath.Join(file, "below")}
		}, 1, []string{file, "--data"}},
		"serve: no Kafka": {func(t *testing.T) []string {
			return apart(t, "serve", "--roles", "command", "--kafka-brokers", nobody)
		}, 1, []string{nobody, "CQRSFLOW_KAFKA_BROKERS"}},
		"serve: no PostgreSQL": {func(t *testing.T) []string {
			return apart(t, "serve", "--roles", "project-sql", "--kafka-brokers", running.Brokers, "--postgres-url", "postgres://"+nobody+"/none")
		}, 1, []string{nobody, "PostgreSQL", "CQRSFLOW_POSTGRES_URL"}},
		"serve: no Elasticsearch": {func(t *testing.T) []string {
			return apart(t, "serve", "--roles", "project-search", "--kafka-brokers", running.Brokers, "--elasticsearch-url", "http://"+nobody)
		}, 1, []string{nobody, "Elasticsearch", "CQRSFLOW_ELASTICSEARCH_URL"}},
		"serve: no topics": {func(t *testing.T) []string {
			return apart(t, "serve", "--roles", "command", "--kafka-brokers", running.Brokers, "--prefix", "other")
		}, 1, []string{"other.order.", "topology apply"}},
		"serve: a setting is missing": {func(t *testing.T) []string {
			return apart(t, "serve", "--roles", "project-sql", "--kafka-brokers", running.Brokers)
		}, 2, []string{"project-sql", "CQRSFLOW_POSTGRES_URL"}},
		"serve: no roles": {func(t *testing.T) []string { return []string{"serve"} }, 2, []string{"--roles"}},
		"serve: unknown role": {func(t *testing.T) []string {
			return []string{"serve", "--roles", "dance"}
		}, 2, []string{"dance", "project-sql"}},
		"dev: unknown flag": {func(t *testing.T) []string { return []string{"dev", "--port", "1"} }, 2, []string{"--port"}},
		"dev: bad address":  {func(t *testing.T) []string { return []string{"dev", "--http", "8080"} }, 2, []string{"--http", "8080"}},
		"publish: no Kafka": {func(t *testing.T) []string {
			return []string{"publish", "order/o-1", "pay", "--kafka-brokers", nobody}
		}, 1, []string{nobody, "CQRSFLOW_KAFKA_BROKERS"}},
		"publish: no server given": {func(t *testing.T) []string {
			return []string{"publish", "order/o-1", "pay", "--data", t.TempDir()}
		}, 2, []string{"CQRSFLOW_KAFKA_BROKERS", "--data"}},
		"publish: malformed body": {func(t *testing.T) []string {
			return []string{"publish", "order/o-1", "annotate", `{"text":`, "--data", dev.Dir}
		}, 1, []string{"malformed"}},
		"import: no Kafka": {func(t *testing.T) []string {
			return []string{"import", "cdnow", "testdata/cdnow.txt.gz", "--kafka-brokers", nobody}
		}, 1, []string{nobody, "CQRSFLOW_KAFKA_BROKERS"}},
		"import: not such a file": {func(t *testing.T) []string {
			return []string{"import", "cdnow", "main_test.go", "--data", dev.Dir}
		}, 1, []string{"main_test.go", "line "}},
		"projection list: no operations port": {func(t *testing.T) []string {
			return []string{"projection", "list", "--data", dev.Dir, "--ops-url", "http://" + nobody}
		}, 1, []string{nobody, "CQRSFLOW_OPS"}},
		"rebuild: no such projection": {func(t *testing.T) []string {
			return []string{"rebuild", "invoices", "--data", dev.Dir}
		}, 1, []string{"invoices", "orders, customers, daily_sales, users, sessions, claims, experiments, history, orders_search"}},
		"rebuild: nothing named": {func(t *testing.T) []string {
			return []string{"rebuild", "--data", dev.Dir}
		}, 2, []string{"--all"}},
		"projection drop: the active version": {func(t *testing.T) []string {
			return []string{"projection", "drop", "orders", "--version", "1", "--data", dev.Dir}
		}, 1, []string{"version 1", "active"}},
		"topology: no Kafka": {func(t *testing.T) []string {
			return []string{"topology", "verify", "--kafka-brokers", nobody}
		}, 1, []string{nobody, "CQRSFLOW_KAFKA_BROKERS"}},
		"stream verify: no PostgreSQL": {func(t *testing.T) []string {
			return []string{"stream", "verify", "order/o-1", "--kafka-brokers", running.Brokers, "--postgres-url", "postgres://" + nobody + "/none"}
		}, 1, []string{nobody, "CQRSFLOW_POSTGRES_URL"}},
		"parked: no operations port": {func(t *testing.T) []string {
			return []string{"parked", "list", "--data", dev.Dir, "--ops-url", "http://" + nobody}
		}, 1, []string{nobody, "CQRSFLOW_OPS"}},
		"stream: no API": {func(t *testing.T) []string {
			return []string{"stream", "show", "order/o-1", "--server", "http://" + nobody}
		}, 1, []string{nobody, "CQRSFLOW_SERVER"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			r := harness.Run(t, nil, "", c.args(t)...)
			if r.Code != c.code {
				t.Errorf("want exit code %d: %s", c.code, r)
			}
			for _, s := range c.says {
				if !strings.Contains(r.Stdout+r.Stderr, s) {
					t.Errorf("it does not say %q: %s", s, r)
				}
			}
			if took := time.Since(began); took > time.Minute {
				t.Errorf("it took %v to say so", took)
			}
		})
	}
	t.Cleanup(func() { // when the parallel cases are done
		if !dev.Running() {
			t.Errorf("the running dev was disturbed: %s", dev.Stderr.String())
		}
	})
}

// takenAddr is an address on which this test listens.
func takenAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}
