package app

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/services/identity/token"
)

// What is made is what the settings take, nobody else can read it, and a second call changes nothing.
func TestMakeKeys(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	if _, err := MakeKeys(dir, time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	if _, err := token.OpenFolder(filepath.Join(dir, "token-keys"), nil); err != nil {
		t.Error(err)
	}
	before := map[string]string{}
	for name, head := range map[string]string{"keks": "", "index-key": "index:", "principal-keys": ""} {
		path := filepath.Join(dir, name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		before[path] = string(b)
		keys, err := secret.ParseKeys(head + string(b))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if id, _ := keys.Current(); head == "" && id != "2026-05" {
			t.Errorf("%s: the key's ID is %q", name, id)
		}
		if i, err := os.Stat(path); err != nil || i.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v", name, i.Mode(), err)
		}
	}
	if _, err := MakeKeys(dir, time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	for path, was := range before {
		if b, err := os.ReadFile(path); err != nil || string(b) != was {
			t.Errorf("%s has changed: %v", path, err)
		}
	}
}
