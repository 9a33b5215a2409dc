package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/producer"
	"github.com/cqrsflow/cqrsflow/topology"
)

// cqrsflow runs a command line.
func cqrsflow(t *testing.T, stdin string, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), &environment{args: args, environ: environ, stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs})
	return code, out.String(), errs.String()
}

func TestUsage(t *testing.T) {
	nowhere := t.TempDir()
	for name, c := range map[string]struct {
		args    []string
		environ []string
		code    int
		out     string
		err     string
	}{
		"help":            {args: []string{"--help"}, out: "Usage: cqrsflow <command>"},
		"help of one":     {args: []string{"topology", "apply", "--help"}, out: "--kafka-brokers=BROKERS"},
		"version":         {args: []string{"version"}, out: "cqrsflow "},
		"nothing":         {args: nil, code: 2, err: "See cqrsflow --help"},
		"no such command": {args: []string{"bogus"}, code: 2, err: "unexpected argument bogus"},
		"no such flag":    {args: []string{"version", "--bogus"}, code: 2, err: "unknown flag --bogus"},
		"bad value":       {args: []string{"topology", "plan", "--partitions", "0"}, code: 2, err: `--partitions is "0": it must be from 1 to 10000`},
		"bad variable":    {args: []string{"topology", "plan"}, environ: []string{"CQRSFLOW_KAFKA_BROKER=a:1"}, code: 2, err: "did you mean CQRSFLOW_KAFKA_BROKERS?"},
		"no server":       {args: []string{"topology", "plan", "--data", nowhere}, code: 2, err: "no `cqrsflow dev` runs on " + nowhere},
		"no broker there": {args: []string{"topology", "plan", "--kafka-brokers", "127.0.0.1:1"}, code: 1, err: "CQRSFLOW_KAFKA_BROKERS"},
		"no API there":    {args: []string{"stream", "show", "order/o-1", "--server", "http://127.0.0.1:1"}, code: 1, err: "server (--server or CQRSFLOW_SERVER)"},
		"ready, nobody":   {args: []string{"ready", "--ops-url", "http://127.0.0.1:1"}, code: 1, err: "ops.url (--ops-url or CQRSFLOW_OPS)"},
		"smoke, no API":   {args: []string{"smoke", "--server", "http://127.0.0.1:1"}, code: 1, err: "place an order"},
		"smoke, too long": {args: []string{"smoke", "--server", "http://127.0.0.1:1", "--wait", "2m"}, code: 2, err: "from 1s to 1m"},
		"no aggregate":    {args: []string{"stream", "show", "house/1"}, code: 2, err: `there is no aggregate type "house"; there are order, customer`},
		"no stream":       {args: []string{"stream", "show", "o-1"}, code: 2, err: "such as order/o-1"},
		"bad stream":      {args: []string{"stream", "show", "order/o 1"}, code: 2, err: "the stream ID"},
		"no such command of the aggregate": {args: []string{"publish", "order/o-1", "burn"}, code: 2,
			err: `order has no command "burn"; it has place, `},
		"serve, no role":      {args: []string{"serve"}, code: 2, err: "serve needs roles (--roles or CQRSFLOW_ROLES)"},
		"serve, no such role": {args: []string{"serve", "--roles", "comand"}, code: 2, err: "did you mean command?"},
		"serve, no servers": {args: []string{"serve", "--roles", "command,query,project-search"}, code: 2,
			err: "the roles query, project-search need elasticsearch.url (--elasticsearch-url or CQRSFLOW_ELASTICSEARCH_URL)"},
		"serve, no broker": {args: []string{"serve", "--roles", "command", "--ops", "127.0.0.1:0", "--kafka-brokers", "127.0.0.1:1", "--data", nowhere},
			code: 1, err: "CQRSFLOW_KAFKA_BROKERS"},
		"bad command ID": {args: []string{"publish", "order/o-1", "pay", "--id", "é"}, code: 2, err: "printable ASCII"},
		"two times":      {args: []string{"stream", "state", "order/o-1", "--version", "1", "--recorded-at", "2026-01-01T00:00:00Z"}, code: 2, err: "can't be used together"},
		"no file":        {args: []string{"import", "cdnow", "/does/not/exist", "--kafka-brokers", "a:1"}, code: 1, err: "no such file"},
		"no such data": {args: []string{"import", "cdnow", "-", "--kafka-brokers", "a:1"}, code: 1,
			err: "-: malformed: the file is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := cqrsflow(t, "", c.environ, c.args...)
			if code != c.code || !strings.Contains(stdout, c.out) || !strings.Contains(stderr, c.err) {
				t.Errorf("exit code %d, want %d\nstdout: %s\nstderr: %s", code, c.code, stdout, stderr)
			}
			if c.code == 0 && stderr != "" || c.code == 2 && stdout != "" {
				t.Errorf("stdout: %s\nstderr: %s", stdout, stderr)
			}
		})
	}
}

func TestVersionJSON(t *testing.T) {
	_, out, _ := cqrsflow(t, "", nil, "version", "--json")
	var v versionInfo
	if err := json.Unmarshal([]byte(out), &v); err != nil || v.Version == "" || v.Go == "" {
		t.Errorf("%s: %v", out, err)
	}
}

// The linker's word counts: the image is built where there may be no repository.
func TestVersionOfTheLinker(t *testing.T) {
	linkedVersion, linkedCommit, linkedDate = "v1.2.3", "0123456789abcdef", "2026-01-02T03:04:05Z"
	defer func() { linkedVersion, linkedCommit, linkedDate = "", "", "" }()
	if _, out, _ := cqrsflow(t, "", nil, "version"); !strings.Contains(out, "cqrsflow v1.2.3 ") || !strings.Contains(out, " 0123456789ab 2026-01-02T03:04:05Z") {
		t.Error(out)
	}
}

// brokers starts a Kafka and returns the flag that finds it.
func brokers(t *testing.T) string {
	t.Helper()
	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return strings.Join(c.ListenAddrs(), ",")
}

func TestTopology(t *testing.T) {
	kafka := []string{"CQRSFLOW_KAFKA_BROKERS=" + brokers(t)}
	flags := []string{"--replication", "1", "--partitions", "2"}
	on := func(words ...string) []string { return append(append([]string{"topology"}, words...), flags...) }
	code, out, errs := cqrsflow(t, "", kafka, on("plan")...)
	if code != 0 || !strings.Contains(out, "create topic cqrsflow.order.events: 2 partitions, 1 replicas") {
		t.Fatalf("plan: %d\n%s%s", code, out, errs)
	}
	if code, out, _ = cqrsflow(t, "", kafka, on("verify")...); code != 1 || !strings.Contains(out, "topic cqrsflow.order.commands does not exist") {
		t.Errorf("verify before: %d\n%s", code, out)
	}
	if code, out, errs = cqrsflow(t, "", kafka, on("apply")...); code != 0 {
		t.Fatalf("apply: %d\n%s%s", code, out, errs)
	}
	if code, out, _ = cqrsflow(t, "", kafka, on("apply")...); code != 0 || !strings.Contains(out, "nothing to change") {
		t.Errorf("apply again: %d\n%s", code, out)
	}
	if code, out, _ = cqrsflow(t, "", kafka, on("verify")...); code != 0 || !strings.Contains(out, "all is well") {
		t.Errorf("verify: %d\n%s", code, out)
	}
	var plan topology.Plan
	code, out, _ = cqrsflow(t, "", kafka, on("plan", "--json", "--prefix", "other")...)
	if err := json.Unmarshal([]byte(out), &plan); code != 0 || err != nil || len(plan.Changes) != 6*len(aggregates.Names()) {
		t.Errorf("plan --json: %d, %v\n%s", code, err, out)
	}
	if code, out, _ = cqrsflow(t, "", kafka, on("accept-loss")...); code != 0 || !strings.Contains(out, "nothing was lost") {
		t.Errorf("accept-loss: %d\n%s", code, out)
	}
	var lost []topology.Loss
	code, out, _ = cqrsflow(t, "", kafka, on("accept-loss", "--json")...)
	if err := json.Unmarshal([]byte(out), &lost); code != 0 || err != nil || lost == nil || len(lost) > 0 {
		t.Errorf("accept-loss --json: %d, %v\n%s", code, err, out)
	}
	code, out, _ = cqrsflow(t, "", kafka, on("accept-loss", "--lost", "cqrsflow.order.events/1")...)
	for _, want := range []string{"accepted: cqrsflow.order.events/1 has lost records", "cqrsflow projection rebuild NAME", "--from start"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("accept-loss --lost: %d, without %q\n%s", code, want, out)
		}
	}
	if code, _, errs = cqrsflow(t, "", kafka, on("accept-loss", "--lost", "order/1")...); code == 0 || !strings.Contains(errs, "write TOPIC or TOPIC/PARTITION") {
		t.Errorf("accept-loss of nonsense: %d\n%s", code, errs)
	}
}

// processing starts a Kafka with topics and a processor.
func processing(t *testing.T) []string {
	t.Helper()
	addr := brokers(t)
	environ := []string{"CQRSFLOW_KAFKA_BROKERS=" + addr}
	if code, out, errs := cqrsflow(t, "", environ, "topology", "apply", "--replication", "1", "--partitions", "2"); code != 0 {
		t.Fatalf("apply: %d\n%s%s", code, out, errs)
	}
	p, err := producer.NewProcessor(producer.Config{Kafka: []kgo.Opt{kgo.SeedBrokers(addr)}, Types: aggregates.All(), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { stop(); running.Wait() })
	return environ
}

func TestPublish(t *testing.T) {
	environ := processing(t)
	const body = `{"customer":"ada","lines":[{"sku":"a","quantity":2,"price":{"amount":"1.50","currency":"EUR"}}]}`
	publish := func(stdin string, args ...string) (int, published, string) {
		t.Helper()
		code, out, errs := cqrsflow(t, stdin, environ, append([]string{"publish", "--json"}, args...)...)
		var p published
		if err := json.Unmarshal([]byte(out), &p); err != nil {
			t.Fatalf("%v: %v\n%s%s", args, err, out, errs)
		}
		return code, p, errs
	}
	code, p, errs := publish("", "order/o-1", "place", body, "--id", "one", "--time", "1997-01-01T00:00:00Z")
	if code != 0 || p.Outcome != "accepted" || *p.Version != 1 || p.CommandID != "one" || len(p.Events) != 1 || p.Events[0].Type != "order.v1.OrderPlaced" ||
		!strings.Contains(string(p.State), "1997-01-01T00:00:00Z") || p.Position == "" {
		t.Errorf("place: %d, %+v, %s\n%s", code, p, p.State, errs)
	}
	if code, p, _ = publish(body, "order/o-1", "place", "-", "--id", "one", "--time", "1997-01-01T00:00:00Z"); code != 0 || !p.Replayed {
		t.Errorf("repeated: %d, %+v", code, p)
	}
	if code, p, _ = publish("", "orders/o-1", "ship"); code != 1 || p.Outcome != "rejected" || p.Code != "order_not_paid" || p.State == nil {
		t.Errorf("ship: %d, %+v", code, p)
	}
	if code, p, _ = publish("", "order/o-1", "pay", "--expected-version", "0"); code != 1 || p.Outcome != "conflict" {
		t.Errorf("pay: %d, %+v", code, p)
	}
	file := filepath.Join(t.TempDir(), "body.json")
	if err := os.WriteFile(file, []byte(`{"customer":"","lines":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, p, _ = publish("", "order/o-2", "order.v1.PlaceOrder", "@"+file); code != 1 || p.Outcome != "invalid" || len(p.Errors) < 2 {
		t.Errorf("invalid: %d, %+v", code, p)
	}
	if code, p, _ = publish("", "order/o-1", "pay", "--wait", "0"); code != 0 || p.Offset == nil || p.CommandID == "" {
		t.Errorf("without waiting: %d, %+v", code, p)
	}
	code, out, _ := cqrsflow(t, "", environ, "publish", "order/o-3", "pay")
	if code != 1 || !strings.Contains(out, "rejected  order_not_found: ") {
		t.Errorf("for people: %d\n%s", code, out)
	}
}

func TestImportCDNOW(t *testing.T) {
	environ := processing(t)
	file := filepath.Join(t.TempDir(), "cdnow.txt")
	if err := os.WriteFile(file, []byte("customer_id date number_of_cds dollar_value\n00001 19970101 1 11.77\n00002 19970112 5 77.00\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, errs := cqrsflow(t, "", environ, "import", "cdnow", file)
	if want := "2 purchases of 2 customers, 6 CDs, $88.77: 4 commands accepted\n"; code != 0 || out != want || errs != "" {
		t.Errorf("%d: %q, want %q\n%s", code, out, want, errs)
	}
	code, out, _ = cqrsflow(t, "", environ, "import", "cdnow", file)
	if code != 0 || !strings.Contains(out, "all there already, nothing changed") {
		t.Errorf("second: %d: %s", code, out)
	}
	code, out, _ = cqrsflow(t, "", environ, "import", "cdnow", "--json", file)
	if code != 0 || !strings.Contains(out, `"replayed": 4`) {
		t.Errorf("JSON: %d: %s", code, out)
	}
}
