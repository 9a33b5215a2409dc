package reactor_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/cqrsflow/cqrsflow/consumers/internal/logtest"
	"github.com/cqrsflow/cqrsflow/consumers/reactor"
)

// A reactor that has recovered is ready, also where nothing has happened since.
func TestReadyAfterARecovery(t *testing.T) {
	log := logtest.New(t, 1, "order", "customer")
	fault := log.Cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.ListOffsets}, Err: kerr.InvalidRequest, Count: 1})
	cfg := config(t, log)
	cfg.From, cfg.UnreadyAfter = reactor.Start, 300*time.Millisecond
	r, _ := start(t, cfg)
	logtest.Until(t, "the group is joined", func() bool { return r.Status().Joined })
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if s := r.Status(); s.Reason == "" && s.Failing.IsZero() {
				if fault.Hits() == 0 {
					t.Error("the fault did not happen")
				}
				return
			}
		case <-deadline:
			ok, why := r.Ready()
			t.Fatalf("five seconds after it has recovered: ready %v, %q", ok, why)
		}
	}
}
