package main

import (
	"bytes"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/openapi.json and docs/asyncapi.json")

// documentsAreCurrent holds that what is served to describe the API and the topics is what is checked in.
func documentsAreCurrent(t *testing.T, d *running) {
	t.Helper()
	for _, name := range []string{"openapi.json", "asyncapi.json"} {
		resp := d.send(http.MethodGet, "/"+name, "", d.file().Token)
		served, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", name, resp.Status, err)
		}
		served = append(bytes.TrimSpace(served), '\n')
		path := filepath.Join("..", "..", "docs", name)
		if *update {
			if err := os.WriteFile(path, served, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(served, have) {
			t.Errorf("docs/%s is stale; `go test ./cmd/cqrsflow -run 'TestDev$' -update` rewrites it", name)
		}
	}
}
