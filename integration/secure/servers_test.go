package secure

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"github.com/cqrsflow/cqrsflow/integration/containers"
	"github.com/cqrsflow/cqrsflow/integration/harness"
)

// The one who is let in everywhere, and how.
const (
	user     = "cqrsflow"
	password = "seven-lamps"
	apiKey   = "c2V2ZW46bGFtcHM="
)

// kafka is a broker that wants TLS, a certificate of the authority, and a login.
func kafka(t *testing.T, ca *harness.Authority) *containers.KafkaServer {
	t.Helper()
	cert, key, certFile, keyFile := ca.Issue(t, "kafka")
	const listener = "KAFKA_LISTENER_NAME_CLIENT_"
	scram := "org.apache.kafka.common.security.scram.ScramLoginModule required;"
	opts := []containers.Option{
		containers.File("/certs/kafka.pem", append(append([]byte{}, key...), cert...)),
		containers.File("/certs/ca.pem", ca.PEM),
		containers.Env("KAFKA_LISTENER_SECURITY_PROTOCOL_MAP", "CLIENT:SASL_SSL,CONTROLLER:PLAINTEXT,BROKER:PLAINTEXT"),
		containers.Env("KAFKA_SASL_ENABLED_MECHANISMS", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"),
		containers.Env(listener+"PLAIN_SASL_JAAS_CONFIG", fmt.Sprintf(`org.apache.kafka.common.security.plain.PlainLoginModule required user_%s="%s";`, user, password)),
		containers.Env(listener+"SCRAM___SHA___256_SASL_JAAS_CONFIG", scram),
		containers.Env(listener+"SCRAM___SHA___512_SASL_JAAS_CONFIG", scram),
		containers.Env("KAFKA_SSL_KEYSTORE_TYPE", "PEM"), containers.Env("KAFKA_SSL_KEYSTORE_LOCATION", "/certs/kafka.pem"),
		containers.Env("KAFKA_SSL_TRUSTSTORE_TYPE", "PEM"), containers.Env("KAFKA_SSL_TRUSTSTORE_LOCATION", "/certs/ca.pem"),
		containers.Env("KAFKA_SSL_CLIENT_AUTH", "required"),
		containers.Env(listener+"SSL_CLIENT_AUTH", "required"),
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	connect := func(hostPort string) (*kgo.Client, error) {
		return kgo.NewClient(kgo.SeedBrokers(hostPort), kgo.DisableClientMetrics(), kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()),
			kgo.DialTLSConfig(&tls.Config{RootCAs: pool(ca), Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}))
	}
	opts = append(opts, containers.Ready(func(ctx context.Context, hostPort string) error {
		cl, err := connect(hostPort)
		if err != nil {
			return err
		}
		defer cl.Close()
		_, err = kadm.NewClient(cl).ListTopics(ctx)
		return err
	}))
	k := containers.Kafka(t, opts...)
	cl, err := connect(k.Brokers[0])
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	for _, mechanism := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} {
		made, err := kadm.NewClient(cl).AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{{User: user, Mechanism: mechanism, Iterations: 4096, Password: password}})
		if err == nil {
			err = made.Error()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return k
}

// postgres is a server that takes nobody without TLS. It returns the URL for who trusts the authority.
func postgres(t *testing.T, ca *harness.Authority) string {
	t.Helper()
	cert, key, _, _ := ca.Issue(t, "postgres")
	address := func(hostPort string) string {
		return fmt.Sprintf("postgres://%s:%s@%s/cqrsflow?sslmode=verify-full&sslrootcert=%s", user, user, hostPort, ca.File)
	}
	// The server wants the key to be its own, and nobody else to read it.
	start := "cp /certs/server.key /tmp/server.key && chmod 600 /tmp/server.key && { chown postgres /tmp/server.key || true; } && exec docker-entrypoint.sh postgres" +
		" -c ssl=on -c ssl_cert_file=/certs/server.crt -c ssl_key_file=/tmp/server.key -c hba_file=/certs/pg_hba.conf"
	s := containers.Postgres(t,
		containers.File("/certs/server.crt", cert), containers.File("/certs/server.key", key),
		containers.File("/certs/pg_hba.conf", []byte("local all all trust\nhostssl all all all scram-sha-256\n")),
		containers.Command("bash", "-c", start),
		containers.Ready(func(ctx context.Context, hostPort string) error {
			c, err := pgx.Connect(ctx, address(hostPort))
			if err != nil {
				return err
			}
			return c.Close(ctx)
		}))
	at, err := pgx.ParseConfig(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return address(fmt.Sprintf("%s:%d", at.Host, at.Port))
}

// elasticsearch is a node that wants TLS and a login, and a door before it that wants TLS and the API key. A real key can be made only where the
// node has all of its modules, which not every build has; the node refuses a wrong one all the same.
func elasticsearch(t *testing.T, ca *harness.Authority) (node, door string) {
	t.Helper()
	cert, key, _, _ := ca.Issue(t, "elasticsearch")
	const config = "/usr/share/elasticsearch/config/certs/"
	trusting := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool(ca), MinVersion: tls.VersionTLS12}}
	t.Cleanup(trusting.CloseIdleConnections)
	s := containers.Elasticsearch(t,
		containers.File(config+"http.crt", cert), containers.File(config+"http.key", key),
		containers.Env("xpack.security.enabled", "true"), containers.Env("ELASTIC_PASSWORD", password),
		containers.Env("xpack.security.http.ssl.enabled", "true"), containers.Env("xpack.security.http.ssl.certificate", config+"http.crt"), containers.Env("xpack.security.http.ssl.key", config+"http.key"),
		containers.Ready(func(ctx context.Context, hostPort string) error {
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+hostPort+"/_cluster/health?wait_for_status=yellow&timeout=2s", nil)
			if err != nil {
				return err
			}
			r.SetBasicAuth("elastic", password)
			resp, err := trusting.RoundTrip(r)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("health: %s", resp.Status)
			}
			return nil
		}))
	node = "https" + s.URL[len("http"):]
	to, err := url.Parse(node)
	if err != nil {
		t.Fatal(err)
	}
	behind := &httputil.ReverseProxy{Transport: trusting, Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.SetBasicAuth("elastic", password)
	}}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " "); !strings.EqualFold(scheme, "ApiKey") || key != apiKey {
			http.Error(w, `{"error":{"type":"security_exception","reason":"who are you?"},"status":401}`, http.StatusUnauthorized)
			return
		}
		behind.ServeHTTP(w, r)
	}))
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	front.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	front.StartTLS()
	t.Cleanup(front.Close)
	return node, front.URL
}

func pool(ca *harness.Authority) *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM(ca.PEM)
	return p
}
