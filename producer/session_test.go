package producer

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"github.com/cqrsflow/cqrsflow/event"
)

// Heartbeats must come more often than the session ends, whatever its timeout: the client refuses others.
func TestShortestSession(t *testing.T) {
	l := newLab(t, 1, kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0", "group.min.session.timeout.ms": "1000"}))
	l.process(func(c *Config) { c.SessionTimeout = time.Second })
	if o := l.do(l.publisher(), command("alice", "deposit"), amount(5)); o.Kind != event.Accepted {
		t.Errorf("%+v", o)
	}
}
