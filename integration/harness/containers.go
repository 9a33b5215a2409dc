package harness

import (
	"testing"

	"github.com/cqrsflow/cqrsflow/integration/containers"
)

// OnContainers makes a System on servers in containers, or skips the test where Docker does not answer. TestMain says
// by containers.Main which of them the package's tests share. The settings are for every process.
func OnContainers(t testing.TB, settings ...string) *System {
	t.Helper()
	containers.Require(t)
	return NewSystem(t, Servers{
		Brokers:       containers.Kafka(t).Brokers[0],
		Postgres:      containers.Postgres(t).URL,
		Elasticsearch: containers.Elasticsearch(t).URL,
	}, settings...)
}

// AllRoles are the roles of `cqrsflow serve`.
var AllRoles = []string{"command", "query", "project-sql", "project-search", "history", "react"}
