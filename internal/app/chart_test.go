package app

import (
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/knadh/koanf/parsers/yaml"

	"github.com/cqrsflow/cqrsflow/consumers/runner"
	"github.com/cqrsflow/cqrsflow/internal/aggregates"
	"github.com/cqrsflow/cqrsflow/internal/config"
)

// KEDA looks at the consumer groups that the chart names: one that is missing would never wake its role.
func TestChartNamesTheGroups(t *testing.T) {
	b, err := os.ReadFile("../../helm/cqrsflow/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values struct {
		Roles map[string]struct {
			Autoscaling struct {
				Groups []struct{ Group, Topic string }
			}
		}
	}
	tree, err := yaml.Parser().Unmarshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = json.Marshal(tree); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &values); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, typ := range aggregates.All() {
		all = append(all, typ.Name)
	}
	want := map[string][]string{}
	for _, s := range sqlProjections() {
		role, sources := config.RoleProjectSQL, s.Sources
		if s.Raw {
			role = config.RoleHistory
		}
		if len(sources) == 0 {
			sources = []runner.Source{runner.Events}
		}
		names := s.Aggregates
		if len(names) == 0 {
			names = all
		}
		for _, source := range sources {
			for _, name := range names {
				want[role] = append(want[role], s.Model.Name()+".v1 "+name+"."+string(source))
			}
		}
	}
	for role, groups := range want {
		var got []string
		for _, g := range values.Roles[role].Autoscaling.Groups {
			got = append(got, g.Group+" "+g.Topic)
		}
		slices.Sort(got)
		slices.Sort(groups)
		if !slices.Equal(got, groups) {
			t.Errorf("%s: the chart names\n%v\nthere are\n%v", role, got, groups)
		}
	}
}
