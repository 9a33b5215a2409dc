package lifecycle

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// journal records what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, s)
}

// until blocks as a component does and takes a moment to stop.
func (j *journal) until(name string, takes time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		j.add(name + " told")
		<-time.After(takes)
		j.add(name + " ended")
		return ctx.Err()
	}
}

func TestStopsStageByStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		g := New(Config{})
		g.OnClose("server", func() error { j.add("server closed"); return nil })
		g.OnClose("client", func() error { j.add("client closed"); return nil })
		g.Go(Last, "ops", j.until("ops", time.Second))
		g.Go(Checkpoint, "projection", j.until("projection", time.Second))
		g.Go(Intake, "http", j.until("http", 2*time.Second))
		g.Go(Drain, "processor", j.until("processor", time.Second))
		g.Task(Intake, "import", func(context.Context) error { j.add("import done"); return nil })
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := g.Wait(ctx); err != nil {
			t.Error(err)
		}
		g.Go(Intake, "late", func(context.Context) error { j.add("late"); return nil })
		synctest.Wait()
		want := []string{"import done", "http told", "http ended", "processor told", "processor ended", "projection told", "projection ended",
			"ops told", "ops ended", "client closed", "server closed"}
		if d := cmp.Diff(want, j.lines); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	})
}

func TestFirstFailureStopsTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		g := New(Config{})
		boom, bang := errors.New("boom"), errors.New("bang")
		g.OnClose("store", func() error { return bang })
		g.Go(Intake, "http", j.until("http", 0))
		g.Go(Checkpoint, "projection", func(context.Context) error { return boom })
		err := g.Wait(t.Context())
		if !errors.Is(err, boom) || !errors.Is(err, bang) {
			t.Errorf("error %v, want boom and bang", err)
		}
		if want := "projection: boom\nclose store: bang"; err.Error() != want {
			t.Errorf("error %q, want %q", err, want)
		}
		if !slices.Contains(j.lines, "http ended") {
			t.Errorf("http was not stopped: %v", j.lines)
		}
	})
}

func TestEndingByItselfIsAFailure(t *testing.T) {
	g := New(Config{})
	g.Go(Drain, "processor", func(context.Context) error { return nil })
	if err := g.Wait(t.Context()); !errors.Is(err, ErrEnded) || !strings.Contains(err.Error(), "processor") {
		t.Errorf("error %v, want that the processor ended by itself", err)
	}
}

func TestFailingTask(t *testing.T) {
	boom := errors.New("boom")
	g := New(Config{})
	g.Task(Intake, "import", func(context.Context) error { return boom })
	if err := g.Wait(t.Context()); !errors.Is(err, boom) {
		t.Errorf("error %v, want boom", err)
	}
}

// A component that does not stop is named, and what comes after it is stopped nevertheless.
func TestStopTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		release := make(chan struct{})
		g := New(Config{StopTimeout: time.Second})
		g.OnClose("store", func() error { <-release; return nil })
		g.Go(Intake, "stubborn", func(context.Context) error { <-release; return nil })
		g.Go(Intake, "http", j.until("http", 0))
		g.Go(Drain, "processor", j.until("processor", 0))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		start := time.Now()
		err := g.Wait(ctx)
		if want := "not stopped within 1s: stubborn\nstore not closed within 1s"; err == nil || err.Error() != want {
			t.Errorf("error %v, want %q", err, want)
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("took %v, want 2s", took)
		}
		if !slices.Contains(j.lines, "processor ended") {
			t.Errorf("the processor was not stopped: %v", j.lines)
		}
		close(release)
	})
}
