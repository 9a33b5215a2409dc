package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/integration/harness"
)

// scriptsEnv names the folder of up.sh, load.sh and down.sh.
const scriptsEnv = "CQRSFLOW_CLUSTER"

// requiredEnv is how CI says that nothing may be skipped.
const requiredEnv = "CQRSFLOW_CLUSTER_REQUIRED"

// kubernetes is a cluster that is up and has the images and the servers.
type kubernetes struct {
	env []string
	// kafka, postgres and elasticsearch are addresses that the machine reaches, too.
	kafka, postgres, elasticsearch string
}

var started = sync.OnceValues(func() (*kubernetes, error) { return start(os.Getenv(scriptsEnv)) })

// up returns the cluster, bringing it up where it is not.
func up(t *testing.T) *kubernetes {
	t.Helper()
	if os.Getenv(scriptsEnv) == "" {
		if os.Getenv(requiredEnv) != "" {
			t.Fatalf("%s is not set, which names the folder of up.sh, load.sh and down.sh", scriptsEnv)
		}
		t.Skipf("needs a Kubernetes: %s names the folder of up.sh, load.sh and down.sh", scriptsEnv)
	}
	k, err := started()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func start(scripts string) (*kubernetes, error) {
	k := &kubernetes{env: os.Environ()}
	out, err := k.run("", filepath.Join(scripts, "up.sh"))
	if err != nil {
		return nil, err
	}
	m := regexp.MustCompile(`export KUBECONFIG=(\S+)(?: PATH=(\S+):\$PATH)?`).FindStringSubmatch(out)
	if m == nil {
		return nil, fmt.Errorf("up.sh does not say where the kubeconfig is: %s", out)
	}
	k.env = append(k.env, "KUBECONFIG="+m[1])
	if m[2] != "" {
		k.env = append(k.env, "PATH="+m[2]+":"+os.Getenv("PATH"))
		if err := os.Setenv("PATH", m[2]+":"+os.Getenv("PATH")); err != nil { // where exec looks for programs
			return nil, err
		}
	}
	// Two names of one image: what an upgrade goes from, and to.
	if _, err := k.run("", "make", "-s", "-C", "../..", "image", "VERSION=cluster-1"); err != nil {
		return nil, err
	}
	if _, err := k.run("", "docker", "tag", "cqrsflow:cluster-1", "cqrsflow:cluster-2"); err != nil {
		return nil, err
	}
	if _, err := k.run("", filepath.Join(scripts, "load.sh"), "cqrsflow:cluster-1", "cqrsflow:cluster-2", "apache/kafka:4.3.1", "postgres:18",
		"docker.elastic.co/elasticsearch/elasticsearch:8.19.21"); err != nil {
		return nil, err
	}
	return k, k.servers()
}

// servers starts Kafka, PostgreSQL and Elasticsearch, and waits until they are ready.
func (k *kubernetes) servers() error {
	if _, err := k.run("", "kubectl", "apply", "-f", "testdata/services.yaml"); err != nil {
		return err
	}
	for service, into := range map[string]*string{"kafka": &k.kafka, "postgres": &k.postgres, "elasticsearch": &k.elasticsearch} {
		ip, err := k.run("", "kubectl", "get", "service", service, "-o", "jsonpath={.spec.clusterIP}")
		if err != nil {
			return err
		}
		*into = ip
	}
	manifest, err := os.ReadFile("testdata/servers.yaml")
	if err != nil {
		return err
	}
	if _, err := k.run(strings.ReplaceAll(string(manifest), "KAFKA_ADDRESS", k.kafka), "kubectl", "apply", "-f", "-"); err != nil {
		return err
	}
	for _, name := range []string{"kafka", "postgres", "elasticsearch"} {
		if _, err := k.run("", "kubectl", "rollout", "status", "deployment/"+name, "--timeout=300s"); err != nil {
			return err
		}
	}
	return nil
}

// run runs a program with the cluster's environment and returns what it prints.
func (k *kubernetes) run(stdin string, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env, cmd.Stdin = k.env, strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, out.String(), errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

func (k *kubernetes) must(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := k.run("", name, args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// release is an install of the chart with a database, topics, indexes and a namespace of its own.
type release struct {
	*kubernetes
	harness.Target
	name string
	args []string
}

// install installs the chart with --wait: when it returns, every pod is ready.
func install(t *testing.T) *release {
	t.Helper()
	k := up(t)
	name := fmt.Sprintf("t%08x", rand.Uint32())
	r := &release{kubernetes: k, name: name}
	r.Postgres = harness.Database(t, "postgres://cqrsflow:cqrsflow@"+k.postgres+":5432/cqrsflow?sslmode=disable", name)
	r.Brokers, r.Prefix = k.kafka+":9092", name
	r.secrets(t)
	r.args = []string{"../../helm/cqrsflow", "--values", "testdata/values.yaml", "--wait", "--timeout", "8m",
		"--set", "prefix=" + name, "--set", "kafka.brokers={" + r.Brokers + "}"}
	began := time.Now()
	t.Cleanup(func() {
		if t.Failed() {
			r.explain(t)
		}
		if out, err := k.run("", "helm", "uninstall", name, "--wait"); err != nil {
			t.Log(out, err)
		}
		if out, err := k.run("", "kubectl", "delete", "secret,persistentvolumeclaim", "-l", "app.kubernetes.io/instance="+name); err != nil {
			t.Log(out, err)
		}
	})
	k.must(t, "helm", append([]string{"install", name, "--set", "image.tag=cluster-1"}, r.args...)...)
	t.Logf("helm install --wait took %.0f s", time.Since(began).Seconds())
	r.API = "http://" + k.must(t, "kubectl", "get", "service", name+"-cqrsflow-gateway", "-o", "jsonpath={.spec.clusterIP}")
	r.Settings = []string{"CQRSFLOW_PREFIX=" + name, "CQRSFLOW_KAFKA_BROKERS=" + r.Brokers, "CQRSFLOW_POSTGRES_URL=" + r.Postgres,
		"CQRSFLOW_SERVER=" + r.API, "CQRSFLOW_TOKEN=" + harness.Token, "CQRSFLOW_REPLICATION=1", "CQRSFLOW_PARTITIONS=4", "CQRSFLOW_COMMAND_RETENTION=24h"}
	return r
}

// secrets makes what the values name, each with the release's label, so that it goes with it.
func (r *release) secrets(t *testing.T) {
	t.Helper()
	keys := t.TempDir()
	if made := harness.Run(t, nil, "", "keys", keys); made.Code != 0 {
		t.Fatal(made)
	}
	pem, err := filepath.Glob(filepath.Join(keys, "token-keys", "*.pem"))
	if err != nil || len(pem) != 1 {
		t.Fatalf("%v %v", pem, err)
	}
	// Within the cluster, PostgreSQL has a name.
	url := strings.Replace(r.Postgres, "@"+r.postgres+":", "@postgres:", 1)
	for name, from := range map[string][]string{
		"cqrsflow-postgres":   {"--from-literal=url=" + url},
		"cqrsflow-operator":   {"--from-literal=token=" + harness.Token},
		"cqrsflow-principals": {"--from-file=keys=" + keys + "/principal-keys"},
		"cqrsflow-users":      {"--from-file=keks=" + keys + "/keks", "--from-file=index-key=" + keys + "/index-key"},
		"cqrsflow-token-keys": {"--from-file=" + pem[0]},
	} {
		r.must(t, "kubectl", "delete", "secret", name, "--ignore-not-found")
		r.must(t, "kubectl", append([]string{"create", "secret", "generic", name}, from...)...)
		r.must(t, "kubectl", "label", "secret", name, "app.kubernetes.io/instance="+r.name)
	}
}

// pods are the names of the release's pods of roles.
func (r *release) pods(t *testing.T) []string {
	t.Helper()
	out := r.must(t, "kubectl", "get", "pods", "-l", "app.kubernetes.io/instance="+r.name, "-o", "json")
	var list struct {
		Items []struct {
			Metadata struct {
				Name              string
				DeletionTimestamp string
			}
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range list.Items {
		if p.Metadata.DeletionTimestamp == "" {
			names = append(names, p.Metadata.Name)
		}
	}
	return names
}

// kill9 kills the process of a pod, which runs on this machine as everything of the cluster does. The kubelet starts it again in its place.
func kill9(pod string) error {
	found, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return err
	}
	for _, path := range found {
		environ, err := os.ReadFile(path)
		if err != nil || !strings.Contains("\x00"+string(environ), "\x00HOSTNAME="+pod+"\x00") {
			continue // most have ended, or are others'
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			return err
		}
		if exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)); err != nil || filepath.Base(exe) != "cqrsflow" {
			continue
		}
		return syscall.Kill(pid, syscall.SIGKILL)
	}
	return nil // it has just been killed, and has not been started yet
}

// explain shows what a failure needs.
func (r *release) explain(t *testing.T) {
	for _, args := range [][]string{{"get", "pods,jobs", "-o", "wide"}, {"get", "events", "--sort-by=.lastTimestamp"},
		{"logs", "-l", "app.kubernetes.io/instance=" + r.name, "--tail=30", "--prefix"}} {
		out, err := r.run("", "kubectl", args...)
		if len(out) > 12<<10 {
			out = out[len(out)-12<<10:]
		}
		t.Logf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
