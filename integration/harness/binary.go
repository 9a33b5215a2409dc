package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// BinaryEnv names a binary to test instead of one that is built from this source.
const BinaryEnv = "CQRSFLOW_BINARY"

const command = "github.com/cqrsflow/cqrsflow/cmd/cqrsflow"

// Clean removes what Binary has built; TestMain calls it when all tests have run.
func Clean() {
	if built.dir != "" {
		_ = os.RemoveAll(built.dir)
	}
}

var built struct {
	once sync.Once
	dir  string
	path string
	err  error
}

// Binary is the path of the binary, built once a test process. TestMain must call Clean.
func Binary(t testing.TB) string {
	t.Helper()
	built.once.Do(func() {
		if built.path = os.Getenv(BinaryEnv); built.path != "" {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "cqrsflow-test-"); built.err != nil {
			return
		}
		built.path = filepath.Join(built.dir, "cqrsflow")
		if out, err := exec.Command("go", "build", "-o", built.path, command).CombinedOutput(); err != nil {
			built.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}
