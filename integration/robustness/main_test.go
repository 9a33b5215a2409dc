package robustness_test

import (
	"testing"

	"github.com/cqrsflow/cqrsflow/integration/containers"
	"github.com/cqrsflow/cqrsflow/integration/harness"
)

// cdnow is the whole file of real purchases.
const cdnow = "../testdata/cdnow.txt.gz"

func TestMain(m *testing.M) {
	containers.Main(m, containers.WithKafka(), containers.WithPostgres(), containers.WithElasticsearch())
	harness.Clean()
}
