package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite generated files and golden answers")

// TestCommentsAreCurrent fails when a comment of a schema has changed and comments.json has not.
func TestCommentsAreCurrent(t *testing.T) {
	found := map[string]string{}
	err := filepath.WalkDir("../../schemas", func(path string, e fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".proto" {
			return err
		}
		text, err := os.ReadFile(path)
		if err == nil {
			readComments(string(text), found)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(found); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("comments.json", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile("comments.json")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(b.String(), string(have)); diff != "" {
		t.Errorf("comments.json is stale; `go test ./services/api -update` rewrites it (-schemas +file):\n%s", diff)
	}
	if found["order.v1.PlaceOrder.lines"] == "" || found["order.v1.PlaceOrder"] == "" {
		t.Errorf("no comments of order.v1.PlaceOrder were found: the reader of .proto files is broken")
	}
}

var (
	protoPackage = regexp.MustCompile(`^package ([\w.]+);`)
	protoMessage = regexp.MustCompile(`^(?:message|enum) (\w+) \{`)
	protoField   = regexp.MustCompile(`^(?:repeated |optional )?(?:map<[^>]+>|[\w.]+) (\w+) = \d+`)
	protoString  = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'`)
)

// readComments is enough of a parser for files that buf has formatted: the comment above a message or field.
func readComments(text string, out map[string]string) {
	pkg := ""
	var scopes []string // of messages; empty for other braces
	var pending []string
	for line := range strings.SplitSeq(text, "\n") {
		line = strings.TrimSpace(line)
		if c, ok := strings.CutPrefix(line, "//"); ok {
			pending = append(pending, strings.TrimSpace(c))
			continue
		}
		bare := protoString.ReplaceAllString(line, `""`)
		name := ""
		inMessage := len(scopes) == 0 || scopes[len(scopes)-1] != ""
		if m := protoPackage.FindStringSubmatch(bare); m != nil {
			pkg = m[1]
		} else if m := protoMessage.FindStringSubmatch(bare); m != nil {
			name = qualified(pkg, scopes, m[1])
		} else if m := protoField.FindStringSubmatch(bare); m != nil && inMessage && len(scopes) > 0 {
			name = qualified(pkg, scopes, m[1])
		}
		if name != "" && len(pending) > 0 {
			out[name] = strings.Join(pending, " ")
		}
		pending = nil
		for _, r := range bare {
			switch r {
			case '{':
				scope := ""
				if m := protoMessage.FindStringSubmatch(bare); m != nil {
					scope = m[1]
				}
				scopes = append(scopes, scope)
			case '}':
				if len(scopes) > 0 {
					scopes = scopes[:len(scopes)-1]
				}
			}
		}
	}
}

func qualified(pkg string, scopes []string, name string) string {
	parts := []string{pkg}
	for _, s := range scopes {
		if s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(append(parts, name), ".")
}
