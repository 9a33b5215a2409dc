package integration_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/integration/harness"
)

// Requests made up from the OpenAPI document, valid and not, get through the gateway only answers that the document has: no status, content
// type or header that is not described, and no fault of the server. They are made by Schemathesis, which needs Python and the package index;
// where there is no Python the test says so, and fails where CQRSFLOW_INTEGRATION=require.
func TestSchemathesis(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes minutes")
	}
	if _, err := exec.LookPath("python3"); err != nil {
		if os.Getenv("CQRSFLOW_INTEGRATION") == "require" {
			t.Fatal("CQRSFLOW_INTEGRATION=require, but there is no python3 for Schemathesis")
		}
		t.Skip("there is no python3 for Schemathesis")
	}
	dev := harness.NewDev(t)
	target := dev.Start(t)
	dev.AwaitReady(t)
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	hooks, err := filepath.Abs("testdata/schemathesis_hooks.py")
	if err != nil {
		t.Fatal(err)
	}
	python := filepath.Join(dir, "venv", "bin", "python")
	for _, args := range [][]string{
		{"python3", "-m", "venv", filepath.Join(dir, "venv")},
		{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "schemathesis>=4.32,<5"},
		{filepath.Join(dir, "venv", "bin", "st"), "run", target.API + "/openapi.json", "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance",
			"--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--header", "Authorization: Bearer " + harness.Token, "--seed", "1", "--request-timeout", "30", "--no-color"},
	} {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir = dir // it leaves files behind
		cmd.Env = append(os.Environ(), "SCHEMATHESIS_HOOKS="+hooks, "PYTHONPATH="+filepath.Dir(hooks))
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	harness.Eventually(t, time.Minute, "dev answers as before", func() error {
		_, err := harness.Ask(ctx, "GET", target.API+"/v1/orders", "")
		return err
	})
}
