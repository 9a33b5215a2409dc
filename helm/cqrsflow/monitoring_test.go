package cqrsflow_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

var metricName = regexp.MustCompile(`\bcqrsflow_[a-z_]+`)

// metrics are the names that the program registers.
func metrics(t *testing.T) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, file := range []string{"internal/app/metrics.go", "services/ops/health.go"} {
		b, err := os.ReadFile(filepath.Join("../..", file))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`"(cqrsflow_[a-z_]+)"`).FindAllSubmatch(b, -1) {
			name := string(m[1])
			out[name] = true
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				out[name+suffix] = true
			}
		}
	}
	if len(out) < 20 {
		t.Fatalf("only %d metrics were found", len(out))
	}
	return out
}

// An alert about a metric that does not exist never fires; one without a runbook wakes somebody who then does not know what to do.
func TestAlerts(t *testing.T) {
	known := metrics(t)
	r := find[prometheusRule](t, render(t, extreme, "fullnameOverride: x"), "x")
	rules := r.Spec.Groups[0].Rules
	if len(rules) < 9 {
		t.Errorf("there are %d alerts", len(rules))
	}
	for _, a := range rules {
		names := metricName.FindAllString(a.Expr, -1)
		if len(names) == 0 {
			t.Errorf("%s looks at nothing", a.Alert)
		}
		for _, n := range names {
			if !known[n] {
				t.Errorf("%s looks at %s, which does not exist", a.Alert, n)
			}
		}
		if a.Labels["severity"] == "" || a.Annotations["summary"] == "" || strings.Contains(a.Annotations["summary"], "<no value>") {
			t.Errorf("%s: %v %v", a.Alert, a.Labels, a.Annotations)
		}
		page := filepath.Base(a.Annotations["runbook_url"])
		b, err := os.ReadFile(filepath.Join("../../docs/runbook", page))
		if err != nil {
			t.Errorf("%s has no runbook: %v", a.Alert, err)
		} else if !strings.Contains(string(b), a.Alert) {
			t.Errorf("docs/runbook/%s does not name %s", page, a.Alert)
		}
	}
}

func TestDashboard(t *testing.T) {
	known := metrics(t)
	c := find[corev1.ConfigMap](t, render(t, "monitoring: {dashboard: {enabled: true}}"), "shop-cqrsflow-dashboard")
	if c.Labels["grafana_dashboard"] != "1" {
		t.Errorf("Grafana does not find it: %v", c.Labels)
	}
	var d struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(c.Data["cqrsflow.json"]), &d); err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, n := range metricName.FindAllString(target.Expr, -1) {
				shown[n] = true
				if !known[n] {
					t.Errorf("%s shows %s, which does not exist", p.Title, n)
				}
			}
		}
	}
	if len(shown) < 12 {
		t.Errorf("only %d metrics are shown", len(shown))
	}
}

func TestServiceMonitor(t *testing.T) {
	objects := render(t, extreme, "fullnameOverride: x")
	m := find[serviceMonitor](t, objects, "x")
	found := 0
	for _, o := range objects {
		if s, ok := o.typed.(*corev1.Service); ok && matches(m.Spec.Selector, s.Labels) {
			found++
			if s.Spec.Ports[0].Name != m.Spec.Endpoints[0].Port {
				t.Errorf("%s has no port %s", o, m.Spec.Endpoints[0].Port)
			}
		}
	}
	if found != 9 {
		t.Errorf("it finds %d Services; each of 9 roles has one", found)
	}
}
