package cqrsflow_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// extreme turns on whatever there is.
const extreme = `
fullnameOverride: a-name-that-is-much-longer-than-anybody-would-choose-it
prefix: Shop.prod
image: {repository: registry.example:5000/cqrsflow, tag: "", digest: "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", pullSecrets: [reg]}
kafka:
  tls: {enabled: true, serverName: kafka, existingSecret: kafka-tls, certKey: tls.crt, keyKey: tls.key}
  sasl: {mechanism: oauthbearer, existingSecret: kafka-token}
postgres: {existingSecret: pg, port: 6432}
elasticsearch: {urls: ["https://es-0:9243", "https://es-1"], existingSecret: es, caSecret: es-ca}
ops: {existingSecret: ops}
topics: {partitions: 1000, replication: -1, commandRetention: -1s}
logLevel: debug
config: {processor: {batch_records: 100000, workers: 4}}
serviceAccount: {annotations: {a: b}}
defaults:
  replicas: 1000
  nodeSelector: {disk: ssd}
  tolerations: [{key: a, operator: Exists}]
  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: k, operator: In, values: [v]}]}]}}}
  priorityClassName: high
  podAnnotations: {c: d}
  podLabels: {e: f}
  extraEnv: [{name: GOMEMLIMIT, value: 900MiB}]
  maxUnavailable: 10%
roles:
  command: {storage: {className: fast}, config: {processor: {workers: 8}}}
  query:
    service: {type: LoadBalancer, port: 8443, annotations: {g: h}}
    ingress: {enabled: true, className: nginx, annotations: {i: j}, hosts: [shop.example], tls: [{hosts: [shop.example], secretName: shop-tls}]}
    autoscaling: {type: hpa, maxReplicas: 1000}
  project-sql: {autoscaling: {type: keda, minReplicas: 0, maxReplicas: 1000, authenticationRef: kafka}}
  project-search: {autoscaling: {type: keda}}
  history: {autoscaling: {type: keda}}
  identity: {enabled: true, config: {identity: {hashing: 4}}}
  gateway: {kind: Deployment, needs: [kafka], http: true}
principals: {existingSecret: who}
identity:
  issuer: https://shop.example
  publicURL: https://shop.example
  existingSecret: users
  tokenKeysSecret: signing
  mailFrom: Shop <shop@example.com>
  smtp: {addr: "mail:587", username: shop, existingSecret: smtp}
networkPolicy:
  httpFrom: [{podSelector: {matchLabels: {app: nginx}}}]
  opsFrom: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}}]
  kafkaTo: [{ipBlock: {cidr: 10.0.0.0/8}}]
  postgresTo: [{ipBlock: {cidr: 10.0.0.0/8}}]
  elasticsearchTo: [{ipBlock: {cidr: 10.0.0.0/8}}]
  smtpTo: [{ipBlock: {cidr: 10.0.0.0/8}}]
  extraEgress: [{ports: [{port: 4317}]}]
monitoring:
  serviceMonitor: {enabled: true, labels: {release: prom}}
  rules: {enabled: true, labels: {release: prom}}
  dashboard: {enabled: true}
`

// users is what the role identity needs.
const users = `
roles: {identity: {enabled: true}}
identity:
  issuer: https://shop.example
  publicURL: https://shop.example
  existingSecret: us
  tokenKeysSecret: signing
  mailFrom: Shop <shop@example.com>
  smtp: {addr: "mail:25"}
`

// The role identity has its settings, and its keys where they say.
func TestIdentity(t *testing.T) {
	objects := render(t, users)
	got := settings(t, objects, "shop-cqrsflow-identity")["identity"].(map[string]any)
	for key, want := range map[string]any{"issuer": "https://shop.example", "public_url": "https://shop.example", "audience": "cqrsflow",
		"token_keys": "/etc/cqrsflow/token-keys", "mail_from": "Shop <shop@example.com>"} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if s := got["smtp"].(map[string]any); s["addr"] != "mail:25" || s["encryption"] != "starttls" {
		t.Errorf("%v", s)
	}
	spec := find[appsv1.Deployment](t, objects, "shop-cqrsflow-identity").Spec.Template.Spec
	if i := slices.IndexFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == "token-keys" && v.Secret.SecretName == "signing" }); i < 0 {
		t.Errorf("no signing keys among %+v", spec.Volumes)
	}
	if i := slices.IndexFunc(spec.Containers[0].VolumeMounts, func(m corev1.VolumeMount) bool { return m.MountPath == got["token_keys"] && m.ReadOnly }); i < 0 {
		t.Errorf("no signing keys among %+v", spec.Containers[0].VolumeMounts)
	}
	find[corev1.Service](t, objects, "shop-cqrsflow-identity")
	verifies := map[string]any{"issuer": "https://shop.example", "audience": "cqrsflow", "jwks_url": "https://shop.example/.well-known/jwks.json"}
	if got := settings(t, objects, "shop-cqrsflow-query")["identity"]; !reflect.DeepEqual(got, verifies) {
		t.Errorf("query verifies tokens with %v, want %v", got, verifies)
	}
	if settings(t, objects, "shop-cqrsflow-history")["identity"] != nil {
		t.Error("others have settings of identity, too")
	}
	for _, o := range render(t) {
		if strings.Contains(o.name, "identity") {
			t.Errorf("%s is there, though it is off", o)
		}
	}
}

// Whatever the values are, what is rendered are objects that their types know, and the promises of every pod hold.
func TestEveryPod(t *testing.T) {
	for name, values := range map[string]string{"defaults": "", "extreme": extreme} {
		t.Run(name, func(t *testing.T) {
			for _, p := range pods(render(t, values)) {
				checkPod(t, p)
			}
		})
	}
}

func checkPod(t *testing.T, p pod) {
	t.Helper()
	s := p.spec
	if s.AutomountServiceAccountToken == nil || *s.AutomountServiceAccountToken {
		t.Errorf("%s mounts a token", p.of)
	}
	if s.EnableServiceLinks == nil || *s.EnableServiceLinks {
		t.Errorf("%s has the variables of other Services", p.of)
	}
	c := s.SecurityContext
	if c == nil || c.RunAsNonRoot == nil || !*c.RunAsNonRoot || c.RunAsUser == nil || *c.RunAsUser == 0 || c.FSGroup == nil ||
		c.SeccompProfile == nil || c.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Errorf("%s: %+v", p.of, c)
	}
	if s.HostNetwork || s.HostPID || s.HostIPC || len(s.Containers) != 1 || len(s.InitContainers) != 0 {
		t.Errorf("%s: host namespaces, or other containers than one", p.of)
	}
	x := s.Containers[0]
	sc := x.SecurityContext
	if sc == nil || *sc.AllowPrivilegeEscalation || *sc.Privileged || !*sc.ReadOnlyRootFilesystem || !slices.Equal(sc.Capabilities.Drop, []corev1.Capability{"ALL"}) ||
		len(sc.Capabilities.Add) > 0 {
		t.Errorf("%s: %+v", p.of, sc)
	}
	if x.Resources.Requests.Cpu().IsZero() || x.Resources.Limits.Memory().IsZero() {
		t.Errorf("%s has no resources", p.of)
	}
	volumes := map[string]corev1.Volume{"data": {}} // where it is a claim, it is no volume of the template
	for _, v := range s.Volumes {
		volumes[v.Name] = v
		if v.HostPath != nil || v.EmptyDir != nil && v.EmptyDir.SizeLimit == nil {
			t.Errorf("%s: volume %s is the host's, or has no limit", p.of, v.Name)
		}
	}
	var mounted []string
	for _, m := range x.VolumeMounts {
		if _, ok := volumes[m.Name]; !ok {
			t.Errorf("%s mounts %s, which is no volume", p.of, m.Name)
		}
		if !m.ReadOnly {
			mounted = append(mounted, m.MountPath)
		}
	}
	// The image's own volumes: what is not mounted there would be one on the node.
	slices.Sort(mounted)
	if !slices.Equal(mounted, []string{"/data", "/tmp"}) {
		t.Errorf("%s writes to %v", p.of, mounted)
	}
	for _, e := range x.Env {
		if e.Value != "" && e.Name != "GOMEMLIMIT" {
			t.Errorf("%s has %s in clear", p.of, e.Name)
		}
	}
	if !p.role {
		return
	}
	if x.LivenessProbe.HTTPGet.Path != "/livez" || x.ReadinessProbe.HTTPGet.Path != "/readyz" || x.StartupProbe.HTTPGet.Path != "/startupz" {
		t.Errorf("%s: probes", p.of)
	}
	if budget := x.StartupProbe.PeriodSeconds * x.StartupProbe.FailureThreshold; budget < 3600+300 {
		t.Errorf("%s is killed after %d s of starting, while it may wait an hour", p.of, budget)
	}
	if len(s.TopologySpreadConstraints) != 2 || s.TopologySpreadConstraints[0].LabelSelector.MatchLabels["app.kubernetes.io/component"] != p.labels["app.kubernetes.io/component"] {
		t.Errorf("%s: %+v", p.of, s.TopologySpreadConstraints)
	}
	if p.notes["checksum/config"] == "" {
		t.Errorf("%s does not restart when its configuration changes", p.of)
	}
}

func TestCommand(t *testing.T) {
	objects := render(t)
	s := find[appsv1.StatefulSet](t, objects, "shop-cqrsflow-command")
	if *s.Spec.Replicas != 2 || len(s.Spec.VolumeClaimTemplates) != 1 || s.Spec.VolumeClaimTemplates[0].Name != "data" ||
		s.Spec.ServiceName != "shop-cqrsflow-command-ops" || s.Spec.PodManagementPolicy != appsv1.ParallelPodManagement {
		t.Errorf("%+v", s.Spec)
	}
	config := settings(t, objects, "shop-cqrsflow-command")
	p := config["processor"].(map[string]any)
	if p["static"] != true || p["session_timeout"] != "180s" {
		t.Errorf("static membership: %v", p)
	}
	env := s.Spec.Template.Spec.Containers[0].Env
	if i := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == "CQRSFLOW_PROCESSOR_INSTANCE" }); i < 0 || env[i].ValueFrom.FieldRef.FieldPath != "metadata.name" {
		t.Errorf("its name in the group is not the pod's: %v", env)
	}
	if find[corev1.Service](t, objects, s.Spec.ServiceName).Spec.ClusterIP != "None" {
		t.Error("its Service is not headless")
	}
}

// settings are a role's, as the program reads them.
func settings(t *testing.T, objects []object, name string) (out map[string]any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(find[corev1.ConfigMap](t, objects, name).Data["config.yaml"]), &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestOthersAreDeployments(t *testing.T) {
	objects := render(t)
	for _, role := range []string{"query", "project-sql", "project-search", "history", "react"} {
		name := "shop-cqrsflow-" + role
		d := find[appsv1.Deployment](t, objects, name)
		if *d.Spec.Replicas != 2 || d.Spec.Strategy.RollingUpdate.MaxUnavailable.IntValue() != 0 {
			t.Errorf("%s: %+v", name, d.Spec)
		}
		config := settings(t, objects, name)
		if config["processor"] != nil || !slices.Equal(config["roles"].([]any), []any{role}) || config["start_wait"] != "3600s" {
			t.Errorf("%s: %v", name, config)
		}
		if b := find[policyv1.PodDisruptionBudget](t, objects, name); b.Spec.MaxUnavailable.IntValue() != 1 {
			t.Errorf("%s: %+v", name, b.Spec)
		}
	}
	if s := find[corev1.Service](t, objects, "shop-cqrsflow-query"); s.Spec.Ports[0].Port != 80 || s.Spec.Ports[0].TargetPort.String() != "http" {
		t.Errorf("%+v", s.Spec)
	}
	if count[networkingv1.Ingress](objects)+count[autoscalingv2.HorizontalPodAutoscaler](objects)+count[scaledObject](objects)+count[serviceMonitor](objects) > 0 {
		t.Error("something is on that nobody asked for")
	}
}

// A role that comes later is a key of the values.
func TestRolesAreData(t *testing.T) {
	objects := render(t, "roles: {gateway: {kind: Deployment, needs: [kafka], http: true, replicas: 3}, history: {enabled: false}}")
	if d := find[appsv1.Deployment](t, objects, "shop-cqrsflow-gateway"); *d.Spec.Replicas != 3 {
		t.Errorf("%+v", d.Spec)
	}
	find[corev1.Service](t, objects, "shop-cqrsflow-gateway")
	for _, o := range objects {
		if strings.Contains(o.name, "history") {
			t.Errorf("%s is there, though it is off", o)
		}
	}
}

// Only what a role needs: its secrets, and where they come from.
func TestSecrets(t *testing.T) {
	objects := render(t, "kafka: {sasl: {mechanism: scram-sha-512, username: u, existingSecret: ks}}", "elasticsearch: {existingSecret: es}", "ops: {existingSecret: op}",
		"principals: {existingSecret: pr}", users)
	want := map[string][]string{
		"shop-cqrsflow-command":        {"ks/password", "op/token", "pr/keys"},
		"shop-cqrsflow-query":          {"es/api-key", "ks/password", "op/token", "pg/url", "pr/keys"},
		"shop-cqrsflow-project-sql":    {"ks/password", "op/token", "pg/url"},
		"shop-cqrsflow-project-search": {"es/api-key", "ks/password", "op/token"},
		"shop-cqrsflow-history":        {"ks/password", "op/token", "pg/url"},
		"shop-cqrsflow-react":          {"ks/password", "op/token", "pr/keys"},
		"shop-cqrsflow-identity":       {"ks/password", "op/token", "pg/url", "pr/keys", "us/index-key", "us/keks"},
		"shop-cqrsflow-topics":         {"ks/password"},
		"shop-cqrsflow-test":           {"op/token"},
	}
	for _, p := range pods(objects) {
		var got []string
		for _, e := range p.spec.Containers[0].Env {
			if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
				if r := e.ValueFrom.SecretKeyRef; r.Optional == nil { // so that the kubelet names it where it is missing
					got = append(got, r.Name+"/"+r.Key)
				}
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want[p.of.name]) {
			t.Errorf("%s has %v, want %v", p.of, got, want[p.of.name])
		}
	}
}

func TestConfigurationRestartsItsPods(t *testing.T) {
	sums := func(values string) map[string]string {
		out := map[string]string{}
		for _, p := range pods(render(t, values)) {
			out[p.labels["app.kubernetes.io/component"]] = p.notes["checksum/config"]
		}
		return out
	}
	before, after := sums(""), sums("roles: {command: {config: {processor: {workers: 4}}}}")
	if before["command"] == after["command"] || before["query"] != after["query"] {
		t.Errorf("%v, then %v", before, after)
	}
}

func TestAutoscalersOwnReplicas(t *testing.T) {
	objects := render(t, extreme)
	const name = "a-name-that-is-much-longer-than-anyb"
	if h := find[autoscalingv2.HorizontalPodAutoscaler](t, objects, name+"-query"); h.Spec.ScaleTargetRef.Name != name+"-query" || h.Spec.MaxReplicas != 1000 {
		t.Errorf("%+v", h.Spec)
	}
	for _, role := range []string{"query", "project-sql", "project-search", "history"} {
		if d := find[appsv1.Deployment](t, objects, name+"-"+role); d.Spec.Replicas != nil {
			t.Errorf("%s has %d replicas and an autoscaler", role, *d.Spec.Replicas)
		}
	}
	s := find[scaledObject](t, objects, name+"-project-sql")
	if s.Spec.MinReplicaCount != 0 || len(s.Spec.Triggers) != 6 || s.Spec.Triggers[0].AuthenticationRef.Name != "kafka" {
		t.Errorf("%+v", s.Spec)
	}
	for k, want := range map[string]string{"bootstrapServers": "kafka-0:9092,kafka-1:9093", "consumerGroup": "Shop.prod.orders.v1", "topic": "Shop.prod.order.events",
		"lagThreshold": "5000", "activationLagThreshold": "1000"} {
		if got := s.Spec.Triggers[0].Metadata[k]; got != want {
			t.Errorf("%s is %q, want %q", k, got, want)
		}
	}
}

func TestTopicsHook(t *testing.T) {
	objects := render(t, "topics: {partitions: 12, replication: 2}")
	j := find[batchv1.Job](t, objects, "shop-cqrsflow-topics")
	if j.Annotations["helm.sh/hook"] != "pre-install,pre-upgrade" || !slices.Equal(j.Spec.Template.Spec.Containers[0].Args[:2], []string{"topology", "apply"}) ||
		j.Spec.ActiveDeadlineSeconds == nil || j.Spec.Template.Spec.ServiceAccountName != "" {
		t.Errorf("%+v", j)
	}
	c := find[corev1.ConfigMap](t, objects, "shop-cqrsflow-topics")
	config := settings(t, objects, "shop-cqrsflow-topics")
	if c.Annotations["helm.sh/hook"] != "pre-install,pre-upgrade" || c.Annotations["helm.sh/hook-weight"] >= j.Annotations["helm.sh/hook-weight"] {
		t.Errorf("the Job's configuration is not there before it: %v", c.Annotations)
	}
	if config["partitions"] != 12.0 || config["replication"] != 2.0 || config["command_retention"] != "720h" {
		t.Errorf("%v", config)
	}
	if objects := render(t, "topics: {apply: false}"); count[batchv1.Job](objects) > 0 {
		t.Error("there is a Job, though it is off")
	}
}

func TestHelmTest(t *testing.T) {
	p := find[corev1.Pod](t, render(t), "shop-cqrsflow-test")
	if p.Annotations["helm.sh/hook"] != "test" || !slices.Equal(p.Spec.Containers[0].Args, []string{"smoke", "--server", "http://shop-cqrsflow-query:80"}) {
		t.Errorf("%v %v", p.Annotations, p.Spec.Containers[0].Args)
	}
}

// Nothing gets in or out but for what is named.
func TestNetworkPolicy(t *testing.T) {
	objects := render(t, extreme, "fullnameOverride: x")
	deny := find[networkingv1.NetworkPolicy](t, objects, "x-deny")
	if len(deny.Spec.PolicyTypes) != 2 || deny.Spec.Ingress != nil || deny.Spec.Egress != nil {
		t.Errorf("%+v", deny.Spec)
	}
	for _, p := range pods(objects) {
		if !matches(deny.Spec.PodSelector, p.labels) {
			t.Errorf("%s is not denied anything", p.of)
		}
	}
	ports := func(name string) (in, out []string) {
		p := find[networkingv1.NetworkPolicy](t, objects, name)
		for _, r := range p.Spec.Ingress {
			for _, port := range r.Ports {
				in = append(in, port.Port.String())
			}
			if len(r.From) == 0 {
				t.Errorf("%s lets everybody in", name)
			}
		}
		for _, r := range p.Spec.Egress {
			for _, port := range r.Ports {
				out = append(out, port.Port.String())
			}
		}
		return in, out
	}
	for name, want := range map[string][2]string{
		"x-common":         {"ops", "53 53 9092 9093 4317"},
		"x-query":          {"http", "6432 443 9243"},
		"x-project-sql":    {"", "6432"},
		"x-project-search": {"", "443 9243"},
		"x-identity":       {"http", "6432 587"},
		"x-test":           {"", "http"},
	} {
		if in, out := ports(name); strings.Join(in, " ") != want[0] || strings.Join(out, " ") != want[1] {
			t.Errorf("%s lets in %v and out %v, want %v", name, in, out, want)
		}
	}
	if objects := render(t, "networkPolicy: {enabled: false}"); count[networkingv1.NetworkPolicy](objects) > 0 {
		t.Error("there is a policy, though they are off")
	}
}

func matches(s metav1.LabelSelector, labels map[string]string) bool {
	for k, v := range s.MatchLabels {
		if labels[k] != v {
			return false
		}
	}
	return len(s.MatchExpressions) == 0
}

// Every selector finds its pods, and no others.
func TestSelectors(t *testing.T) {
	objects := render(t, extreme, "fullnameOverride: x")
	all := pods(objects)
	for _, o := range objects {
		var s map[string]string
		switch x := o.typed.(type) {
		case *corev1.Service:
			s = x.Spec.Selector
		case *policyv1.PodDisruptionBudget:
			s = x.Spec.Selector.MatchLabels
		case *appsv1.Deployment:
			s = x.Spec.Selector.MatchLabels
		case *appsv1.StatefulSet:
			s = x.Spec.Selector.MatchLabels
		default:
			continue
		}
		var found []string
		for _, p := range all {
			if matches(metav1.LabelSelector{MatchLabels: s}, p.labels) {
				found = append(found, p.of.name)
			}
		}
		if want := strings.TrimSuffix(o.name, "-ops"); !slices.Equal(found, []string{want}) {
			t.Errorf("%s selects %v", o, found)
		}
	}
}
