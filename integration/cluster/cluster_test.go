package cluster

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/integration/harness"
	"github.com/cqrsflow/cqrsflow/integration/robustness/model"
	"github.com/cqrsflow/cqrsflow/integration/robustness/traffic"
	"github.com/cqrsflow/cqrsflow/integration/robustness/validate"
)

func TestMain(m *testing.M) {
	defer harness.Clean()
	m.Run()
}

// load is orders over HTTP for as long as something else goes on.
type load struct {
	*traffic.HTTP
	stop func()
	shop model.Shop
}

func (r *release) load(t *testing.T) *load {
	t.Helper()
	stopped, done := make(chan struct{}), make(chan error, 1)
	// A command whose partition moves is waited for, as long as the API lets a caller.
	l := &load{HTTP: &traffic.HTTP{API: r.API, Orders: math.MaxInt32, Stop: stopped, Clients: 4, Name: "web", Wait: 60, Patience: 3 * time.Minute}}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		shop, err := l.Run(ctx)
		l.shop = shop
		done <- err
	}()
	ended := false
	l.stop = func() {
		if ended {
			return
		}
		ended = true
		close(stopped)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(func() { cancel(); l.stop() })
	return l
}

// finish ends the load and compares the log, SQL, history and search with what must have come about.
func (r *release) finish(t *testing.T, l *load) {
	t.Helper()
	l.stop()
	harness.Eventually(t, 2*harness.Patience, "everything completes", func() error { return validate.Complete(t.Context(), r.Target, l.shop) })
	if err := validate.Everything(t.Context(), r.Target, l.shop); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"projection", "verify"}, {"stream", "verify", "order/web-0"}, {"topology", "verify"}} {
		r.Must(t, args...)
	}
	t.Logf("%d orders, %d commands answered; sent again: %d answered 503, %d answered 504, %d connections broken; the slowest answer took %v",
		len(l.shop), l.Acknowledged(), l.Unavailable(), l.TimedOut(), l.Broken(), l.Slowest().Round(10*time.Millisecond))
}

// An install ends ready. A rolling update of every role under load loses and repeats nothing, and no request fails but with a 503 that says so.
// Then the chart's own test passes.
func TestUpgrade(t *testing.T) {
	r := install(t)
	l := r.load(t)
	harness.Eventually(t, harness.Patience, "orders are placed", func() error { return l.AtLeast(100) })
	before := map[string]bool{}
	for _, pod := range r.pods(t) {
		before[pod] = true
	}
	began := time.Now()
	r.must(t, "helm", append([]string{"upgrade", r.name, "--set", "image.tag=cluster-2"}, r.args...)...)
	t.Logf("helm upgrade --wait took %.0f s", time.Since(began).Seconds())
	for _, pod := range r.pods(t) {
		if image := r.must(t, "kubectl", "get", "pod", pod, "-o", "jsonpath={.spec.containers[0].image}"); image != "cqrsflow:cluster-2" {
			t.Errorf("%s runs %s", pod, image)
		}
	}
	more := l.Acknowledged() + 100 // with the new pods everything goes on
	harness.Eventually(t, harness.Patience, "more orders are placed", func() error { return l.AtLeast(more) })
	r.finish(t, l)
	if l.TimedOut() > 0 || l.Broken() > 0 {
		t.Errorf("%d requests had no outcome in time, %d connections broke", l.TimedOut(), l.Broken())
	}
	if out := r.must(t, "helm", "test", r.name); !strings.Contains(out, "Succeeded") {
		t.Error(out)
	}
}

// killFor is how long pods are killed, one every killEvery.
const (
	killFor   = 5 * time.Minute
	killEvery = 10 * time.Second
)

// Pods of all roles are killed at random for five minutes, in turns by SIGKILL and by a forced deletion, which moves them: nothing is lost or repeated.
func TestKills(t *testing.T) {
	r := install(t)
	l := r.load(t)
	harness.Eventually(t, harness.Patience, "orders are placed", func() error { return l.AtLeast(100) })
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, seed))
	kills := 0
	end := time.After(killFor)
	tick := time.NewTicker(killEvery)
	defer tick.Stop()
	for again := true; again; {
		pods := r.pods(t)
		if len(pods) == 0 {
			t.Fatal("there is no pod")
		}
		victim := pods[random.IntN(len(pods))]
		if kills++; kills%2 == 0 {
			r.must(t, "kubectl", "delete", "pod", victim, "--grace-period=0", "--force")
		} else if err := kill9(victim); err != nil {
			t.Fatal(err)
		}
		select {
		case <-tick.C:
		case <-end:
			again = false
		}
	}
	for _, workload := range []string{"statefulset/" + r.name + "-cqrsflow-command", "deployment/" + r.name + "-cqrsflow-query"} {
		r.must(t, "kubectl", "rollout", "status", workload, "--timeout=180s")
	}
	t.Logf("%d pods were killed", kills)
	r.finish(t, l)
}
