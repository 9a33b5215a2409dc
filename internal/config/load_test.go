package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cqrsflow/cqrsflow/event"
)

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "settings")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaults(t *testing.T) {
	s, err := Load(Input{})
	if err != nil {
		t.Fatal(err)
	}
	if s.General.Prefix != "cqrsflow" || s.Topology.Partitions != 8 || s.Topology.Replication != 3 ||
		s.Topology.CommandRetention != 30*24*time.Hour || s.Roles.MaxBody != 1<<20 || s.Roles.HTTP != "127.0.0.1:8080" {
		t.Errorf("defaults: %+v", *s)
	}
	dev, err := Load(Input{Dev: true})
	if err != nil {
		t.Fatal(err)
	}
	if dev.Topology.Replication != 1 || dev.Topology.CommandRetention >= 0 {
		t.Errorf("dev's defaults: %+v", dev.Topology)
	}
}

func TestPrecedence(t *testing.T) {
	file := write(t, "prefix: from-file\npartitions: 3\nreplication: 1\nkafka:\n  brokers: [a:1, b:2]\n  tls:\n")
	in := Input{
		File:    file,
		Environ: []string{"CQRSFLOW_PREFIX=from-env", "CQRSFLOW_PARTITIONS=4", "CQRSFLOW_REPLICATION=", "HOME=/"},
		Flags:   map[string]string{"prefix": "from-flag"},
	}
	for _, way := range []string{"flag", "CQRSFLOW_CONFIG"} {
		if way == "CQRSFLOW_CONFIG" {
			in.File, in.Environ = "", append(in.Environ, "CQRSFLOW_CONFIG="+file)
		}
		s, err := Load(in)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]any{"prefix": s.General.Prefix, "partitions": s.Topology.Partitions, "replication": s.Topology.Replication,
			"brokers": strings.Join(s.Kafka.Brokers, " "), "level": s.General.LogLevel}
		want := map[string]any{"prefix": "from-flag", "partitions": 4, "replication": 1, "brokers": "a:1 b:2", "level": "info"}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("file by %s (-want +got):\n%s", way, d)
		}
		for key, want := range map[string]Source{"prefix": FromFlag, "partitions": FromEnv, "replication": FromFile, "log.level": FromDefault} {
			if got := s.Source(key); got != want {
				t.Errorf("source of %s = %v, want %v", key, got, want)
			}
		}
	}
}

func TestFallback(t *testing.T) {
	in := Input{Fallback: map[string]string{"server": "http://dev:1", "ops.url": "http://dev:2"}, Environ: []string{"CQRSFLOW_OPS=http://env:3"}}
	s, err := Load(in)
	if err != nil || s.Client.Server != "http://dev:1" || s.Client.OpsURL != "http://env:3" || s.Source("server") != FromDev {
		t.Errorf("%+v, %v", s.Client, err)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	const url = "postgres://u:hunter2@db/x"
	path := write(t, url+"\n")
	for name, in := range map[string]Input{
		"flag": {Flags: map[string]string{"postgres-url-file": path}},
		"env":  {Environ: []string{"CQRSFLOW_POSTGRES_URL_FILE=" + path}},
		"file": {File: write(t, "postgres: {url_file: "+path+"}")},
		"flag over env": {Flags: map[string]string{"postgres-url-file": path},
			Environ: []string{"CQRSFLOW_POSTGRES_URL=postgres://other/x"}},
	} {
		s, err := Load(in)
		if err != nil || s.Postgres.URL != url {
			t.Errorf("%s: %q, %v", name, s.Postgres.URL, err)
		}
	}
}

func TestErrors(t *testing.T) {
	secret := write(t, "mysql://u:hunter2@db/x")
	for name, c := range map[string]struct {
		in   Input
		want []string
	}{
		"unknown variable": {Input{Environ: []string{"CQRSFLOW_KAKFA_BROKERS=x:1"}},
			[]string{"CQRSFLOW_KAKFA_BROKERS is no setting; did you mean CQRSFLOW_KAFKA_BROKERS?"}},
		"unknown variable, nothing near": {Input{Environ: []string{"CQRSFLOW_QWERTZUIOP=1"}},
			[]string{"CQRSFLOW_QWERTZUIOP is no setting"}},
		"unknown key": {Input{File: write(t, "kafka:\n  broker: a:1\n")},
			[]string{"the key kafka.broker in ", "did you mean kafka.brokers?"}},
		"key of a level": {Input{File: write(t, "kafka: a:1\n")}, []string{"the key kafka in "}},
		"map for a value": {Input{File: write(t, "kafka: {brokers: {a: 1}}\n")},
			[]string{"the key kafka.brokers.a in "}},
		"no YAML":          {Input{File: write(t, "a: [")}, []string{"the file ", "yaml"}},
		"key twice":        {Input{File: write(t, "prefix: a\nprefix: b\n")}, []string{"already defined"}},
		"no file":          {Input{File: "/does/not/exist.yaml"}, []string{"/does/not/exist.yaml", "no such file"}},
		"below the bound":  {Input{Flags: map[string]string{"partitions": "0"}}, []string{`--partitions is "0": it must be from 1 to 10000`}},
		"above the bound":  {Input{Environ: []string{"CQRSFLOW_PROCESSOR_WORKERS=65"}}, []string{`CQRSFLOW_PROCESSOR_WORKERS is "65": it must be from 1 to 64`}},
		"no number":        {Input{File: write(t, "partitions: many")}, []string{`partitions in `, `is "many": it must be a whole number from 1 to 10000`}},
		"no duration":      {Input{Flags: map[string]string{"command-retention": "30d"}}, []string{"must be a duration such as"}},
		"no size":          {Input{Flags: map[string]string{"http-max-body": "1MB"}}, []string{"must be a size such as 512KiB"}},
		"size too small":   {Input{Flags: map[string]string{"http-max-body": "1"}}, []string{"must be from 1KiB to 64MiB"}},
		"no bool":          {Input{Environ: []string{"CQRSFLOW_KAFKA_TLS_ENABLED=yes please"}}, []string{"must be true or false"}},
		"no such role":     {Input{Flags: map[string]string{"roles": "command,projct-sql"}}, []string{"must be one of command, ", "did you mean project-sql?"}},
		"broker, no port":  {Input{Environ: []string{"CQRSFLOW_KAFKA_BROKERS=localhost"}}, []string{`CQRSFLOW_KAFKA_BROKERS is "localhost": it must be host:port`}},
		"port too high":    {Input{Flags: map[string]string{"http": "127.0.0.1:70000"}}, []string{"--http", "from 0 to 65535"}},
		"URL, no scheme":   {Input{Flags: map[string]string{"server": "localhost:8080"}}, []string{"--server", "http:// or https://"}},
		"URL, password":    {Input{Environ: []string{"CQRSFLOW_ELASTICSEARCH_URL=ftp://u:hunter2@es:9200"}}, []string{"ftp://***@es:9200"}},
		"retention":        {Input{Flags: map[string]string{"command-retention": "1h"}}, []string{"command_retention is 1h0m0s: it must be at least 24h"}},
		"zero replication": {Input{Flags: map[string]string{"replication": "0"}}, []string{"replication is 0"}},
		"half of mTLS":     {Input{Flags: map[string]string{"kafka-tls-cert-file": "x"}}, []string{"kafka.tls.key_file", "belong together"}},
		"SASL, no user":    {Input{Environ: []string{"CQRSFLOW_KAFKA_SASL_MECHANISM=plain"}}, []string{"CQRSFLOW_KAFKA_SASL_USERNAME", "CQRSFLOW_KAFKA_SASL_PASSWORD_FILE"}},
		"SASL, no token":   {Input{Environ: []string{"CQRSFLOW_KAFKA_SASL_MECHANISM=oauthbearer"}}, []string{"CQRSFLOW_KAFKA_SASL_TOKEN_FILE"}},
		"secret, bad":      {Input{Flags: map[string]string{"postgres-url-file": secret}}, []string{`--postgres-url-file is "***": it must be a URL that starts with postgres://`}},
		"secret twice":     {Input{Environ: []string{"CQRSFLOW_POSTGRES_URL=postgres://a/b", "CQRSFLOW_POSTGRES_URL_FILE=" + secret}}, []string{"both CQRSFLOW_POSTGRES_URL and CQRSFLOW_POSTGRES_URL_FILE"}},
		"secret, no file":  {Input{Environ: []string{"CQRSFLOW_TOKEN_FILE=/does/not/exist"}}, []string{"CQRSFLOW_TOKEN_FILE", "no such file"}},
		"all at once": {Input{Flags: map[string]string{"partitions": "x", "http": "y"}, Environ: []string{"CQRSFLOW_NOPE=1"}},
			[]string{"--partitions", "--http", "CQRSFLOW_NOPE"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(c.in)
			if !errors.Is(err, event.ErrConfig) {
				t.Fatalf("error %v is no event.ErrConfig", err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("the error lacks %q:\n%v", w, err)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error tells a secret:\n%v", err)
			}
		})
	}
}

func TestVariablesOfOthers(t *testing.T) {
	environ := []string{"CQRSFLOW_INTEGRATION=require", "CQRSFLOW_KAFKA_IMAGE=x",
		// What Kubernetes sets beside services called cqrsflow, cqrsflow-gateway.
		"CQRSFLOW_SERVICE_HOST=10.0.0.1", "CQRSFLOW_SERVICE_PORT=80", "CQRSFLOW_SERVICE_PORT_HTTP=80", "CQRSFLOW_PORT=tcp://10.0.0.1:80",
		"CQRSFLOW_PORT_80_TCP=tcp://10.0.0.1:80", "CQRSFLOW_PORT_80_TCP_ADDR=10.0.0.1", "CQRSFLOW_GATEWAY_SERVICE_HOST=10.0.0.1",
		"CQRSFLOW_GATEWAY_PORT_8080_TCP_PROTO=tcp"}
	if _, err := Load(Input{Environ: environ}); err != nil {
		t.Error(err)
	}
}

func TestNoSettingLooksLikeAServiceLink(t *testing.T) {
	for _, d := range Definitions() {
		if short := strings.TrimPrefix(d.Env, EnvPrefix); serviceLinks.MatchString(short) {
			t.Errorf("%s would be taken for a variable that Kubernetes sets", d.Env)
		}
	}
}

func TestRequire(t *testing.T) {
	s, err := Load(Input{Flags: map[string]string{"kafka-brokers": "a:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Require(RoleCommand, RoleReact); err != nil {
		t.Error(err)
	}
	err = s.Require(RoleCommand, RoleQuery, RoleHistory, RoleProjectSearch)
	if !errors.Is(err, event.ErrConfig) {
		t.Fatalf("error %v is no event.ErrConfig", err)
	}
	for _, w := range []string{
		"the roles query, history need postgres.url (--postgres-url or CQRSFLOW_POSTGRES_URL)",
		"the roles query, project-search need elasticsearch.url (--elasticsearch-url or CQRSFLOW_ELASTICSEARCH_URL)",
	} {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("the error lacks %q:\n%v", w, err)
		}
	}
	if err := s.RequireKeys("stream verify", "kafka.brokers", "postgres.url"); err == nil || !strings.Contains(err.Error(), "stream verify needs postgres.url") {
		t.Errorf("RequireKeys: %v", err)
	}
}

func TestSize(t *testing.T) {
	for text, want := range map[string]Size{"0": 0, "7": 7, "1KiB": 1 << 10, "1536KiB": 1536 << 10, "2 MiB": 2 << 20, "3GiB": 3 << 30} {
		got, err := ParseSize(text)
		if err != nil || got != want {
			t.Errorf("%q = %d, %v, want %d", text, got, err, want)
		}
		if again, err := ParseSize(got.String()); err != nil || again != got {
			t.Errorf("%q comes back from %q as %d, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "KiB", "-1", "1.5MiB", "1MB", "9223372036854775807KiB"} {
		if n, err := ParseSize(text); err == nil {
			t.Errorf("%q = %d, want an error", text, n)
		}
	}
}
