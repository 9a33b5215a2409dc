package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/internal/bench"
)

func TestBench(t *testing.T) {
	kafka := []string{"CQRSFLOW_KAFKA_BROKERS=" + brokers(t)}
	few := []string{"--commands", "300", "--streams", "20", "--partitions", "2", "--rounds", "1"}
	for name, c := range map[string]struct {
		args []string
		what string
	}{
		"commands": {args: []string{"bench", "commands", "--zipf", "--payload", "50", "--compression", "none"}, what: "commands"},
		"latency":  {args: []string{"bench", "commands", "--latency", "8"}, what: "commands-latency"},
		"rate":     {args: []string{"bench", "commands", "--rate", "500"}, what: "commands-latency"},
		"restore":  {args: []string{"bench", "restore"}, what: "restore"},
		"compare":  {args: []string{"bench", "compare"}, what: "compare"},
	} {
		t.Run(name, func(t *testing.T) {
			profile := filepath.Join(t.TempDir(), "cpu")
			code, out, errs := cqrsflow(t, "", kafka, append(append(c.args, few...), "--json", "--cpu-profile", profile)...)
			if code != 0 {
				t.Fatalf("exit code %d\n%s%s", code, out, errs)
			}
			var r bench.Report
			d := json.NewDecoder(strings.NewReader(out))
			d.DisallowUnknownFields()
			if err := d.Decode(&r); err != nil || d.More() {
				t.Fatalf("not one report: %v\n%s", err, out)
			}
			if r.Bench != c.what || r.Ratio <= 0 || r.Ours == (bench.Figures{}) || r.Bare == (bench.Figures{}) || len(r.Inputs) == 0 {
				t.Errorf("%s", out)
			}
			if f, err := os.Stat(profile); err != nil || f.Size() == 0 {
				t.Errorf("profile: %v", err)
			}
		})
	}
	code, out, errs := cqrsflow(t, "", kafka, append([]string{"bench", "commands"}, few...)...)
	if code != 0 || !strings.Contains(out, "bare loop") || !strings.Contains(out, "ratio") || strings.Contains(out, "{") {
		t.Errorf("table: %d\n%s%s", code, out, errs)
	}
}

func TestBenchUsage(t *testing.T) {
	nowhere := t.TempDir()
	for name, c := range map[string]struct {
		args []string
		code int
		err  string
	}{
		"no Kafka":          {args: []string{"commands", "--data", nowhere}, code: 2, err: "CQRSFLOW_KAFKA_BROKERS"},
		"no Postgres":       {args: []string{"sql", "--data", nowhere}, code: 2, err: "CQRSFLOW_POSTGRES_URL"},
		"no Kafka for SQL":  {args: []string{"sql", "--data", nowhere, "--rate", "10", "--postgres-url", "postgres://h/d"}, code: 2, err: "CQRSFLOW_KAFKA_BROKERS"},
		"no Elasticsearch":  {args: []string{"search", "--data", nowhere}, code: 2, err: "CQRSFLOW_ELASTICSEARCH_URL"},
		"Postgres is away":  {args: []string{"sql", "--orders", "10", "--postgres-url", "postgres://127.0.0.1:1/d"}, code: 1, err: "127.0.0.1"},
		"search is away":    {args: []string{"search", "--orders", "10", "--elasticsearch-url", "http://127.0.0.1:1"}, code: 1, err: "CQRSFLOW_ELASTICSEARCH_URL"},
		"less than none":    {args: []string{"restore", "--streams=-1", "--kafka-brokers", "a:1"}, code: 2, err: "--streams is -1"},
		"two at a time":     {args: []string{"commands", "--rate", "1", "--latency", "1", "--kafka-brokers", "a:1"}, code: 2, err: "can't be used together"},
		"other compression": {args: []string{"commands", "--compression", "rar", "--kafka-brokers", "a:1"}, code: 2, err: "rar"},
	} {
		t.Run(name, func(t *testing.T) {
			code, out, errs := cqrsflow(t, "", nil, append([]string{"bench"}, c.args...)...)
			if code != c.code || out != "" || !strings.Contains(errs, c.err) {
				t.Errorf("exit code %d, want %d\n%s%s", code, c.code, out, errs)
			}
		})
	}
}
