package cqrsflow_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "write README.md from values.yaml")

const readme = "README.md"

// The README is made from the values and their comments.
func TestReadme(t *testing.T) {
	want := renderReadme(t)
	if *update {
		if err := os.WriteFile(readme, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(readme)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("README.md is not what values.yaml says: in helm/, run go test ./cqrsflow -run TestReadme -update")
	}
}

func renderReadme(t *testing.T) []byte {
	t.Helper()
	head, err := os.ReadFile("files/README.head.md")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	out := bytes.NewBuffer(head)
	out.WriteString("\n## Values\n\n<!-- Made from values.yaml: go test ./cqrsflow -run TestReadme -update, in helm/ -->\n\n| value | default | |\n|---|---|---|\n")
	rows(t, out, "", doc.Content[0])
	return out.Bytes()
}

// rows writes a row for each value with a comment; one without must be a level, whose values have one each.
func rows(t *testing.T, out *bytes.Buffer, at string, m *yaml.Node) {
	t.Helper()
	for i := 0; i < len(m.Content); i += 2 {
		k, v := m.Content[i], m.Content[i+1]
		path := strings.TrimPrefix(at+"."+k.Value, ".")
		about := strings.Join(strings.Fields(strings.ReplaceAll(k.HeadComment, "#", "")), " ")
		if i == 0 && at == "" || path == "defaults" || path == "roles" {
			about = "" // of the file, of what is below
		}
		switch {
		case v.Kind == yaml.MappingNode && len(v.Content) > 0 && about == "":
			rows(t, out, path, v)
		case about == "":
			if !strings.HasPrefix(path, "roles.") {
				t.Errorf("values.yaml: %s has no comment", path)
			}
		default:
			var value any
			if err := v.Decode(&value); err != nil {
				t.Fatal(err)
			}
			def, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(out, "| `%s` | `%s` | %s |\n", path, def, strings.ReplaceAll(about, "|", "\\|"))
		}
	}
}
