package containers

import (
	"context"
	"fmt"
	"net/http"
	"testing"
)

const elasticsearchName = "Elasticsearch"

// ElasticsearchServer is one node without security.
type ElasticsearchServer struct {
	*Server
	URL string // http://host:port
}

// Elasticsearch returns an Elasticsearch for the test.
func Elasticsearch(t testing.TB, opts ...Option) *ElasticsearchServer {
	t.Helper()
	s := obtain(t, elasticsearchSpec(), opts)
	return &ElasticsearchServer{Server: s, URL: "http://" + s.hostPort}
}

func elasticsearchSpec() *spec {
	return &spec{
		name: elasticsearchName, image: "docker.elastic.co/elasticsearch/elasticsearch:8.19.21",
		imageEnv: "CQRSFLOW_ELASTICSEARCH_IMAGE", port: 9200,
		env: map[string]string{
			"discovery.type":         "single-node",
			"xpack.security.enabled": "false",
			"ES_JAVA_OPTS":           "-Xms512m -Xmx512m",
			// A developer's disk is often fuller than the 85 % from which on a node takes no shards.
			"cluster.routing.allocation.disk.threshold_enabled": "false",
		},
		// GET / is not answered by every build.
		ready: func(ctx context.Context, hostPort string) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+hostPort+"/_cluster/health?wait_for_status=yellow&timeout=2s", nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("health: %s", resp.Status)
			}
			return nil
		},
	}
}
