package harness

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// environ is this process's environment without settings of cqrsflow, and with those given.
func environ(settings ...string) []string {
	mine := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "CQRSFLOW_") })
	return append(mine, settings...)
}

// Output is what a process has written so far; it is safe for concurrent use.
type Output struct {
	mu struct {
		sync.Mutex
		b bytes.Buffer
	}
}

// Write adds to it.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.b.Write(p)
}

// String is all of it.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mu.b.String()
}

// tail is the last of s that a failure shows.
func tail(s string) string {
	const most = 8 << 10
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// Process is a running cqrsflow.
type Process struct {
	Name   string
	Stdout Output
	Stderr Output

	cmd   *exec.Cmd
	ended chan struct{}
	// err is Wait's; read it once ended is closed.
	err error
}

// Start starts the binary. It is killed when the test ends, if it still runs; a test that failed shows what it
// wrote last.
func Start(t testing.TB, name string, settings []string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: name, cmd: exec.Command(Binary(t), args...), ended: make(chan struct{})}
	p.cmd.Env = environ(settings...)
	p.cmd.SysProcAttr = dieWithTest()
	p.cmd.Stdout, p.cmd.Stderr = &p.Stdout, &p.Stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("%s (%s)\nstdout: %s\nstderr: %s", name, p.state(), tail(p.Stdout.String()), tail(p.Stderr.String()))
		}
	})
	return p
}

// PID is the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Running reports whether the process has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *Process) state() string {
	if p.Running() {
		return "running"
	}
	return p.cmd.ProcessState.String()
}

// Kill9 ends the process with SIGKILL. It is an error if it was not running then.
func (p *Process) Kill9() error {
	if !p.Running() {
		return fmt.Errorf("%s had ended before it was killed: %s\n%s", p.Name, p.state(), tail(p.Stderr.String()))
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill %s: %w", p.Name, err)
	}
	<-p.ended
	if ws, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() || ws.Signal() != syscall.SIGKILL {
		return fmt.Errorf("%s was not killed: %s", p.Name, p.state())
	}
	return nil
}

// Stop asks the process to end, as Ctrl-C does, and expects exit code 0.
func (p *Process) Stop(t testing.TB) {
	t.Helper()
	if code := p.Interrupt(t); code != 0 {
		t.Fatalf("%s ended with code %d\n%s", p.Name, code, tail(p.Stderr.String()))
	}
}

// Terminate asks the process to end, as Kubernetes does, and expects exit code 0.
func (p *Process) Terminate(t testing.TB) {
	t.Helper()
	if !p.Running() {
		t.Fatalf("%s has ended by itself: %s\n%s", p.Name, p.state(), tail(p.Stderr.String()))
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatalf("terminate %s: %v", p.Name, err)
	}
	if code := p.Exit(t); code != 0 {
		t.Fatalf("%s ended with code %d\n%s", p.Name, code, tail(p.Stderr.String()))
	}
}

// Interrupt asks the process to end and returns its exit code.
func (p *Process) Interrupt(t testing.TB) int {
	t.Helper()
	if !p.Running() {
		t.Fatalf("%s has ended by itself: %s\n%s", p.Name, p.state(), tail(p.Stderr.String()))
	}
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatalf("interrupt %s: %v", p.Name, err)
	}
	return p.Exit(t)
}

// Exit waits for the process to end and returns its exit code.
func (p *Process) Exit(t testing.TB) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(Patience):
		t.Fatalf("%s does not end\n%s", p.Name, tail(p.Stderr.String()))
		return 0
	}
}

// Result is how a command ended.
type Result struct {
	Code   int
	Stdout string
	Stderr string
}

// String shows all of it, for failures.
func (r Result) String() string {
	return fmt.Sprintf("exit code %d\nstdout: %s\nstderr: %s", r.Code, tail(r.Stdout), tail(r.Stderr))
}

// Run runs a command to its end.
func Run(t testing.TB, settings []string, stdin string, args ...string) Result {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), Binary(t), args...)
	cmd.Env = environ(settings...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("run %v: %v", args, err)
	}
	return Result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}
