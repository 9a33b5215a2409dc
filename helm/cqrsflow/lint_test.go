package cqrsflow_test

import (
	"testing"

	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
	"sigs.k8s.io/yaml"
)

// What `helm lint --strict` says.
func TestLint(t *testing.T) {
	var values map[string]any
	if err := yaml.Unmarshal([]byte(least), &values); err != nil {
		t.Fatal(err)
	}
	for _, m := range lint.AllWithKubeVersion(".", values, "prod", nil).Messages {
		if m.Severity >= support.WarningSev {
			t.Error(m)
		}
	}
}
