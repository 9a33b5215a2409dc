package cqrsflow_test

import (
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// The program refuses a setting that it does not know: every one that the chart gives it is in docs/configuration.md, which
// is made from the program's own definitions.
func TestSettingsExist(t *testing.T) {
	b, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	keys, variables := map[string]bool{}, map[string]bool{"GOMEMLIMIT": true}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\| `[^`]+` \\| `(CQRSFLOW_[A-Z_]+)`").FindAllStringSubmatch(string(b), -1) {
		keys[m[1]], variables[m[2]] = true, true
	}
	if len(keys) < 40 {
		t.Fatalf("only %d settings were found", len(keys))
	}
	for _, values := range []string{"", extreme, "kafka: {sasl: {mechanism: plain, username: u, existingSecret: s}}"} {
		objects := render(t, values)
		files := 0
		for _, o := range objects {
			c, ok := o.typed.(*corev1.ConfigMap)
			if !ok || c.Data["config.yaml"] == "" {
				continue
			}
			files++
			var config map[string]any
			if err := yaml.UnmarshalStrict([]byte(c.Data["config.yaml"]), &config); err != nil {
				t.Fatal(err)
			}
			for _, key := range leaves("", config) {
				if !keys[key] {
					t.Errorf("%s gives the setting %s, which does not exist", o, key)
				}
			}
		}
		if files < 7 {
			t.Errorf("there are %d files of settings", files)
		}
		for _, p := range pods(objects) {
			for _, e := range p.spec.Containers[0].Env {
				if !variables[e.Name] {
					t.Errorf("%s has the variable %s, which does not exist", p.of, e.Name)
				}
			}
		}
	}
}

// leaves are the keys with a value, dots between levels.
func leaves(at string, m map[string]any) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		path := strings.TrimPrefix(at+"."+k, ".")
		if below, ok := m[k].(map[string]any); ok {
			out = append(out, leaves(path, below)...)
			continue
		}
		out = append(out, path)
	}
	return out
}

// The roles that the values name, but for those that tests add, are those that the program has.
func TestRolesExist(t *testing.T) {
	b, err := os.ReadFile("../../internal/config/settings.go")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`key:"roles" oneof:"([^"]+)"`).FindSubmatch(b)
	if m == nil {
		t.Fatal("there is no setting roles")
	}
	want := strings.Split(string(m[1]), ",")
	slices.Sort(want)
	got := slices.Sorted(maps.Keys(load(t).Values["roles"].(map[string]any)))
	if !slices.Equal(got, want) {
		t.Errorf("the chart has the roles %v, the program %v", got, want)
	}
}
