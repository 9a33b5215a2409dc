package main

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/producer"
)

// The price of shipping on real purchases: as a table, as JSON, as a page, and as an exit code.
func TestCompare(t *testing.T) {
	address := brokers(t)
	kafka := []string{"CQRSFLOW_KAFKA_BROKERS=" + address}
	if code, out, errs := cqrsflow(t, "", kafka, "topology", "apply", "--replication", "1", "--partitions", "3"); code != 0 {
		t.Fatal(out, errs)
	}
	ctx, stop := context.WithCancel(t.Context())
	p, err := producer.NewProcessor(producer.Config{Kafka: []kgo.Opt{kgo.SeedBrokers(address)}, Types: aggregates.All(), Dir: t.TempDir(), Instance: "test",
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	if code, out, errs := cqrsflow(t, "", kafka, "import", "cdnow", "--no-wait", cdnowFile(t, 200)); code != 0 {
		t.Fatal(out, errs)
	}
	page := filepath.Join(t.TempDir(), "report.html")
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"no threshold":       {nil, 0, "v1 is deterministic: all 400 decisions"},
		"within":             {[]string{"--max-diff", "60%"}, 0, "Passed."},
		"too different":      {[]string{"--max-diff", "0.1"}, 1, "of the commands are decided differently; at most 10 % may be"},
		"not at all":         {[]string{"--max-diff", "0"}, 1, "Failed: "},
		"as fast":            {[]string{"--max-slowdown", "100"}, 0, "Passed."},
		"too slow":           {[]string{"--max-slowdown", "0.01"}, 1, "times as long as v1"},
		"too slow, in words": {[]string{"--max-slowdown=-99%"}, 1, "times as long as v1"},
		"the other way":      {[]string{"--control", "v2", "--candidate", "v1"}, 0, "v2 did not serve live"},
		"the same":           {[]string{"--candidate", "v1", "--max-diff", "0"}, 0, "Passed."},
		"diverge":            {[]string{"--diverge", "--streams", "50"}, 0, "100 commands of 50 streams"},
		"one metric":         {[]string{"--metric", "orders"}, 0, "Orders placed"},
		"a page":             {[]string{"--html", page}, 0, "Revenue (paid)"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := cqrsflow(t, "", kafka, append([]string{"compare", "order"}, c.args...)...)
			if code != c.code || !strings.Contains(out, c.says) || errs != "" {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, out, errs)
			}
		})
	}
	b, err := os.ReadFile(page)
	if err != nil || !strings.Contains(string(b), "<svg") || !strings.Contains(string(b), "Revenue (paid)") {
		t.Errorf("the page: %v\n%.300s", err, b)
	}
	code, out, errs := cqrsflow(t, "", kafka, "compare", "orders", "--json", "--max-diff", "1")
	var r map[string]any
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		t.Fatalf("%d %v\n%s%s", code, err, out, errs)
	}
	for _, key := range []string{"commands", "agree", "differ", "deterministic", "differences", "metrics", "speed", "verdict"} {
		if r[key] == nil {
			t.Errorf("there is no %s in\n%s", key, out)
		}
	}
	if r["commands"] != 400.0 || r["deterministic"] != true || r["agree"].(float64)+r["differ"].(float64) != 400 {
		t.Errorf("%s", out)
	}
}

func TestCompareUsage(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		code int
		err  string
	}{
		"no aggregate":      {[]string{"house"}, 2, `there is no aggregate type "house"`},
		"no variant":        {[]string{"order", "--candidate", "v9"}, 2, `order has no variant "v9"; it has v1, v2`},
		"one variant":       {[]string{"customer"}, 2, "customer has one variant only"},
		"no metric":         {[]string{"order", "--metric", "profit"}, 2, `order has no metric "profit"; it has revenue, orders, rejection_rate`},
		"no share":          {[]string{"order", "--max-diff", "2"}, 2, `--max-diff is "2"; it must be a share such as 0.01 or 1%`},
		"no ratio":          {[]string{"order", "--max-slowdown", "fast"}, 2, `--max-slowdown is "fast"; it must be a ratio`},
		"an empty range":    {[]string{"order", "--from", "1998-01-01T00:00:00Z", "--to", "1997-01-01T00:00:00Z"}, 2, "From must be before To"},
		"no time":           {[]string{"order", "--from", "yesterday"}, 2, "yesterday"},
		"no broker answers": {[]string{"order"}, 1, "CQRSFLOW_KAFKA_BROKERS"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := cqrsflow(t, "", []string{"CQRSFLOW_KAFKA_BROKERS=127.0.0.1:1"}, append([]string{"compare"}, c.args...)...)
			if code != c.code || out != "" || !strings.Contains(errs, c.err) {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, out, errs)
			}
		})
	}
}
