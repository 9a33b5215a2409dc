package cqrsflow_test

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"
)

// The image's user is the one that the chart runs it as, and there is nothing under it to patch.
func TestImage(t *testing.T) {
	b, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	c := find[appsv1.Deployment](t, render(t), "shop-cqrsflow-query").Spec.Template.Spec.SecurityContext
	for _, want := range []string{"\nFROM scratch\n", fmt.Sprintf("\nUSER %d:%d\n", *c.RunAsUser, *c.RunAsGroup), "\nENTRYPOINT [\"/cqrsflow\"]\n", `VOLUME ["/data", "/tmp"]`} {
		if !strings.Contains(string(b), want) {
			t.Errorf("the Dockerfile lacks %q", want)
		}
	}
}

// compose.yaml has every role that the chart has, as little privileged, on the servers' stock images.
func TestCompose(t *testing.T) {
	b, err := os.ReadFile("../../compose.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Services map[string]struct {
			Image    string   `json:"image"`
			Command  []string `json:"command"`
			ReadOnly bool     `json:"read_only"`
			CapDrop  []string `json:"cap_drop"`
			Health   struct {
				Test []string `json:"test"`
			} `json:"healthcheck"`
		} `json:"services"`
	}
	if err := yaml.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	for _, role := range slices.Sorted(maps.Keys(load(t).Values["roles"].(map[string]any))) {
		s := file.Services[role]
		if len(s.Command) < 3 || !slices.Equal(s.Command[:3], []string{"serve", "--roles", role}) || !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) ||
			!slices.Equal(s.Health.Test, []string{"CMD", "/cqrsflow", "ready"}) {
			t.Errorf("%s: %+v", role, s)
		}
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, server := range []string{"kafka", "postgres", "elasticsearch"} {
		s := file.Services[server]
		if !strings.Contains(string(readme), "`"+s.Image+"`") || len(s.Health.Test) == 0 {
			t.Errorf("%s: %+v; the README names the images that are tested", server, s)
		}
	}
}
