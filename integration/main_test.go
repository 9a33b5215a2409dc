package integration_test

import (
	"testing"

	"github.com/cqrsflow/cqrsflow/integration/containers"
	"github.com/cqrsflow/cqrsflow/integration/harness"
)

func TestMain(m *testing.M) {
	containers.Main(m, containers.WithKafka(), containers.WithPostgres(), containers.WithElasticsearch())
	harness.Clean()
}

// onBoth runs a test on dev and on real servers, where each role is a process of its own.
func onBoth(t *testing.T, test func(t *testing.T, g harness.Target)) {
	t.Run("dev", func(t *testing.T) {
		d := harness.NewDev(t)
		test(t, d.Start(t))
		d.Stop(t)
	})
	t.Run("servers", func(t *testing.T) {
		s := harness.OnContainers(t)
		var running []*harness.Role
		for _, role := range harness.AllRoles {
			running = append(running, s.Serve(t, role))
		}
		for _, r := range running {
			r.AwaitReady(t)
		}
		test(t, s.Target)
		for _, r := range running {
			r.Stop(t)
		}
	})
}
