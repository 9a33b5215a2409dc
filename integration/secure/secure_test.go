package secure

import (
	"slices"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/integration/harness"
)

func TestMain(m *testing.M) {
	defer harness.Clean()
	m.Run()
}

// Kafka with TLS, a client's certificate and each way to log in; PostgreSQL and Elasticsearch with TLS: everything works together, and whoever
// is not let in is told which setting to look at.
func TestServersThatWantTLSAndALogin(t *testing.T) {
	ca, stranger := harness.NewAuthority(t), harness.NewAuthority(t)
	broker, sql := kafka(t, ca), postgres(t, ca)
	node, search := elasticsearch(t, ca)
	_, _, cert, key := ca.Issue(t, "cqrsflow")
	good := []string{
		"CQRSFLOW_KAFKA_BROKERS=" + broker.Brokers[0], "CQRSFLOW_KAFKA_TLS_CA_FILE=" + ca.File, "CQRSFLOW_KAFKA_TLS_CERT_FILE=" + cert, "CQRSFLOW_KAFKA_TLS_KEY_FILE=" + key,
		"CQRSFLOW_KAFKA_SASL_MECHANISM=scram-sha-512", "CQRSFLOW_KAFKA_SASL_USERNAME=" + user, "CQRSFLOW_KAFKA_SASL_PASSWORD=" + password,
		"CQRSFLOW_REPLICATION=1", "CQRSFLOW_PARTITIONS=2",
	}
	stores := []string{"CQRSFLOW_POSTGRES_URL=" + sql, "CQRSFLOW_ELASTICSEARCH_URL=" + search, "CQRSFLOW_ELASTICSEARCH_API_KEY=" + apiKey,
		"CQRSFLOW_ELASTICSEARCH_CA_FILE=" + ca.File, "CQRSFLOW_REACT_FROM=start", "CQRSFLOW_TOKEN=" + harness.Token}
	for _, mechanism := range []string{"plain", "scram-sha-256", "scram-sha-512"} {
		if r := harness.Run(t, with(good, "KAFKA_SASL_MECHANISM", mechanism), "", "topology", "apply"); r.Code != 0 {
			t.Fatalf("%s: %s", mechanism, r)
		}
	}

	t.Run("everything works together", func(t *testing.T) {
		web, ops := harness.FreeAddr(t), harness.FreeAddr(t)
		p := harness.Start(t, "serve", append(slices.Clone(good), stores...), "serve", "--roles", "command,query,project-sql,project-search,history,react", "--data", t.TempDir(), "--http", web, "--ops", ops)
		harness.AwaitReady(t, p, "http://"+ops)
		if r := harness.Run(t, []string{"CQRSFLOW_TOKEN=" + harness.Token}, "", "smoke", "--server", "http://"+web); r.Code != 0 {
			t.Error(r)
		}
		p.Stop(t)
	})

	_, _, theirCert, theirKey := stranger.Issue(t, "cqrsflow")
	for name, c := range map[string]struct {
		settings []string
		says     []string
	}{
		"Kafka: an authority that did not sign the broker": {with(good, "KAFKA_TLS_CA_FILE", stranger.File), []string{"kafka.tls.ca_file", "unknown authority"}},
		"Kafka: no TLS":                                    {without(good, "KAFKA_TLS_CA_FILE", "KAFKA_TLS_CERT_FILE", "KAFKA_TLS_KEY_FILE"), []string{"kafka.tls"}},
		"Kafka: no certificate":                            {without(good, "KAFKA_TLS_CERT_FILE", "KAFKA_TLS_KEY_FILE"), []string{"kafka.tls.cert_file"}},
		"Kafka: a certificate of somebody else":            {with(with(good, "KAFKA_TLS_CERT_FILE", theirCert), "KAFKA_TLS_KEY_FILE", theirKey), []string{"kafka.tls.cert_file"}},
		"Kafka: a wrong password":                          {with(good, "KAFKA_SASL_PASSWORD", "guess"), []string{"kafka.sasl.password", "kafka.sasl.username"}},
		"Kafka: a wrong password, plain":                   {with(with(good, "KAFKA_SASL_MECHANISM", "plain"), "KAFKA_SASL_PASSWORD", "guess"), []string{"kafka.sasl.password"}},
		"Kafka: no login":                                  {without(good, "KAFKA_SASL_MECHANISM", "KAFKA_SASL_USERNAME", "KAFKA_SASL_PASSWORD"), []string{"kafka.sasl"}},
		"PostgreSQL: an authority that did not sign it":    {append(slices.Clone(good), with(stores, "POSTGRES_URL", strings.Replace(sql, ca.File, stranger.File, 1))...), []string{"CQRSFLOW_POSTGRES_URL", "unknown authority"}},
		"PostgreSQL: no TLS":                               {append(slices.Clone(good), with(stores, "POSTGRES_URL", strings.Split(sql, "?")[0]+"?sslmode=disable")...), []string{"CQRSFLOW_POSTGRES_URL"}},
		"Elasticsearch: an authority that did not sign it": {append(slices.Clone(good), with(with(stores, "ELASTICSEARCH_URL", node), "ELASTICSEARCH_CA_FILE", stranger.File)...), []string{"elasticsearch.ca_file", "unknown authority"}},
		"Elasticsearch: a wrong API key":                   {append(slices.Clone(good), with(with(stores, "ELASTICSEARCH_URL", node), "ELASTICSEARCH_API_KEY", "bm9ib2R5Om5vYm9keQ==")...), []string{"elasticsearch.api_key"}},
		"Elasticsearch: no TLS":                            {append(slices.Clone(good), with(stores, "ELASTICSEARCH_URL", "http"+node[len("https"):])...), []string{"CQRSFLOW_ELASTICSEARCH_URL"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"topology", "plan"}
			switch {
			case strings.HasPrefix(name, "PostgreSQL"):
				args = []string{"serve", "--roles", "project-sql", "--ops", harness.FreeAddr(t), "--data", t.TempDir()}
			case strings.HasPrefix(name, "Elasticsearch"):
				args = []string{"serve", "--roles", "project-search", "--ops", harness.FreeAddr(t), "--data", t.TempDir()}
			}
			r := harness.Run(t, c.settings, "", args...)
			if r.Code == 0 {
				t.Fatalf("it is let in: %s", r)
			}
			for _, want := range c.says {
				if !strings.Contains(r.Stderr, want) {
					t.Errorf("it does not say %q: %s", want, r)
				}
			}
			if strings.Contains(r.Stderr, password) || strings.Contains(r.Stderr, apiKey) {
				t.Errorf("it tells a secret: %s", r)
			}
		})
	}
}

// with sets a variable, without takes some away.
func with(settings []string, name, value string) []string {
	return append(without(settings, name), "CQRSFLOW_"+name+"="+value)
}

func without(settings []string, names ...string) []string {
	return slices.DeleteFunc(slices.Clone(settings), func(s string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(s, "CQRSFLOW_"+name+"=") })
	})
}
