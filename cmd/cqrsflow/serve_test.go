package main

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/cqrsflow/cqrsflow/services/ops"
)

// A role that may wait is there before its servers and topics are, says what it lacks, and goes on by itself.
func TestServeWaits(t *testing.T) {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	_ = free.Close()
	kafka := "127.0.0.1:" + strconv.Itoa(port)

	ctx, cancel := context.WithCancel(context.Background())
	dir, errs, ended := t.TempDir(), newOutput(), make(chan int, 1)
	go func() {
		ended <- run(ctx, &environment{stdin: strings.NewReader(""), stdout: newOutput(), stderr: errs, args: []string{"serve", "--roles", "command",
			"--kafka-brokers", kafka, "--start-wait", "5m", "--ops", "127.0.0.1:0", "--data", dir, "--log-format", "json"}})
	}()
	stop := sync.OnceFunc(func() { // before its Kafka ends
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("serve ended with %d\n%s", code, errs)
		}
	})
	t.Cleanup(stop)
	opsAddr := ""
	until(t, "the operations port", func() bool {
		m := regexp.MustCompile(`"ops":"([^"]+)"`).FindStringSubmatch(errs.String())
		if m != nil {
			opsAddr = m[1]
		}
		return m != nil
	})
	get := func(path string) (status int, r ops.Readiness) {
		resp, err := http.Get("http://" + opsAddr + path)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&r); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, r
	}
	says := func(words ...string) {
		t.Helper()
		until(t, "readiness that says "+strings.Join(words, ", "), func() bool {
			status, r := get("/readyz")
			for _, w := range words {
				if status != http.StatusServiceUnavailable || len(r.Parts) == 0 || !strings.Contains(r.Parts[0].Reason, w) {
					return false
				}
			}
			return true
		})
		code, out, _ := cqrsflow(t, "", nil, "ready", "--ops-url", "http://"+opsAddr)
		if code != 1 || !strings.Contains(out, "start  not ready  waiting: ") {
			t.Errorf("ready: %d\n%s", code, out)
		}
		if status, _ := get("/livez"); status != http.StatusOK {
			t.Errorf("/livez answers %d while it waits", status)
		}
		if status, _ := get("/startupz"); status != http.StatusServiceUnavailable {
			t.Errorf("/startupz answers %d while it waits", status)
		}
	}
	says("waiting: ", kafka, "CQRSFLOW_KAFKA_BROKERS")

	c, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.Ports(port), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	says("waiting: ", "missing topics: cqrsflow.order.commands", "topology apply")

	if code, out, errs := cqrsflow(t, "", nil, "topology", "apply", "--replication", "1", "--partitions", "2", "--kafka-brokers", kafka); code != 0 {
		t.Fatalf("apply: %d\n%s%s", code, out, errs)
	}
	until(t, "ready", func() bool { status, r := get("/readyz"); return status == http.StatusOK && r.Ready })
	stop()
}
