package integration_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/integration/harness"
)

// A program in another language reads the events with nothing but the AsyncAPI document, as docs/examples/python does: every
// event once, in its stream's order, and none of a transaction that was rolled back.
func TestPythonConsumer(t *testing.T) {
	s := harness.OnContainers(t)
	r := s.Serve(t, "command,query")
	r.AwaitReady(t)
	f := &flow{t: t, Target: s.Target}
	const orders = 12
	for i := range orders {
		path := fmt.Sprintf("/v1/orders/py-%d/", i)
		f.post(200, path+"place", placeByAda)
		f.post(200, path+"pay", `{}`)
	}

	python := virtualenv(t)
	run := func(args ...string) (string, error) {
		args = append([]string{"../docs/examples/python/consume.py", "--brokers", s.Brokers, "--asyncapi", s.API + "/asyncapi.json"}, args...)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, python, args...)
		var said bytes.Buffer
		cmd.Env = append(os.Environ(), "CQRSFLOW_TOKEN="+harness.Token)
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil {
			err = fmt.Errorf("%w: %s", err, said.String())
		}
		return string(out), err
	}
	out, err := run("order", "--until-end")
	if err != nil {
		t.Fatal(err)
	}
	type event struct {
		ID, Stream, Type string
		Sequence         int
		Data             struct {
			Customer string
			Lines    []struct {
				Sku      string
				Quantity int
			}
			Total struct{ Amount, Currency string }
		}
	}
	next := map[string]int{}
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		next[e.Stream]++
		if e.Sequence != next[e.Stream] || e.ID != fmt.Sprintf("%s/%d", e.Stream, e.Sequence) {
			t.Errorf("%s is read after %d others of its stream", e.ID, next[e.Stream]-1)
		}
		if placed := e.Sequence == 1; placed != strings.HasSuffix(e.Type, ".OrderPlaced") ||
			placed && (e.Data.Customer != "ada" || len(e.Data.Lines) != 1 || e.Data.Lines[0].Quantity != 2) {
			t.Errorf("%s", lines.Text())
		}
	}
	for i := range orders {
		if n := next[fmt.Sprintf("py-%d", i)]; n != 2 {
			t.Errorf("py-%d: %d events were read, want 2", i, n)
		}
	}
	if len(next) != orders {
		t.Errorf("events of %d streams were read, want %d", len(next), orders)
	}

	if _, err := run("ordre"); err == nil || !strings.Contains(err.Error(), "there is no aggregate 'ordre'") {
		t.Errorf("an aggregate that is not there: %v", err)
	}
	r.Stop(t)
}

// virtualenv has what the example asks for, from the package index; the path is that of its interpreter. Python with venv is
// needed where the containers are.
func virtualenv(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	python := filepath.Join(dir, "bin", "python")
	for _, args := range [][]string{
		{"python3", "-m", "venv", dir},
		{python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", "../docs/examples/python/requirements.txt"},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Env = os.Environ()
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	return python
}
