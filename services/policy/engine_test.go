package policy

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func TestPoliciesAreReloaded(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		tmp := filepath.Join(dir, "next") // as whoever manages files does it: never half written
		if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, "a.cedar")); err != nil {
			t.Fatal(err)
		}
	}
	const all = `@id("all") permit (principal, action, resource);`
	write(all)
	reloads := make(chan bool)
	var log buffer
	e, err := New(Config{Vocabulary: vocabulary(t), Dir: dir, Every: 10 * time.Millisecond, Reloaded: func(used bool) { reloads <- used },
		Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- e.Run(ctx) }()
	reloaded := func(want bool) {
		t.Helper()
		select {
		case got := <-reloads:
			if got != want {
				t.Fatalf("reloaded: %v\n%s", got, log.String())
			}
		case <-time.After(30 * time.Second):
			t.Fatal("it was not reloaded")
		}
	}
	may := func(want bool) {
		t.Helper()
		if got := e.Command(about(nobody, "PayOrder", "ada")); got.Allowed != want {
			t.Fatalf("%+v, want %v", got, want)
		}
		if got := e.Command(about(nobody, "ShipOrder", "ada")); !got.Allowed {
			t.Fatalf("%+v", got)
		}
	}
	may(true)
	write(all + "\n" + `@id("no") forbid (principal, action == Action::"order.v1.PayOrder", resource);`)
	reloaded(true)
	may(false)
	write(all + "\npermit")
	reloaded(false)
	may(false) // those before stay
	if !strings.Contains(log.String(), "a.cedar:2: ") {
		t.Error(log.String())
	}
	write(all)
	reloaded(true)
	may(true)
	if err := os.Remove(filepath.Join(dir, "a.cedar")); err != nil {
		t.Fatal(err)
	}
	reloaded(false) // no file is no permission to deny everything, or to permit it
	may(true)
	write(all)
	reloaded(true)
	may(true)
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestEngineRefusesToStart(t *testing.T) {
	dir := t.TempDir()
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"no vocabulary": {Config{}, "Vocabulary"},
		"no folder":     {Config{Vocabulary: vocabulary(t), Dir: filepath.Join(dir, "none")}, "no such file"},
		"no file":       {Config{Vocabulary: vocabulary(t), Dir: dir}, "has no file *.cedar"},
		"a bad role":    {Config{Vocabulary: vocabulary(t), Anonymous: []string{"Ad min"}}, `the role "Ad min"`},
		"too often":     {Config{Vocabulary: vocabulary(t), Every: time.Millisecond}, "at least 10ms"},
	} {
		if _, err := New(c.cfg); !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a.cedar"), []byte("\n\npermit"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Config{Vocabulary: vocabulary(t), Dir: dir}); err == nil || !strings.Contains(err.Error(), "a.cedar:3: ") {
		t.Error(err)
	}
}
