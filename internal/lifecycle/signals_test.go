//go:build unix

package lifecycle

import (
	"syscall"
	"testing"
	"time"
)

func TestSignals(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		exited := make(chan struct{})
		ctx, stop := Signals(t.Context(), func() { close(exited) })
		send := func() {
			if err := syscall.Kill(syscall.Getpid(), s); err != nil {
				t.Fatal(err)
			}
		}
		wait := func(c <-chan struct{}, what string) {
			select {
			case <-c:
			case <-time.After(10 * time.Second):
				t.Fatalf("%v: %s", s, what)
			}
		}
		send()
		wait(ctx.Done(), "the context did not end")
		send() // an echo
		again := time.NewTicker(moment / 4)
		deadline := time.After(10 * time.Second)
		began := time.Now()
		for exiting := false; !exiting; {
			select {
			case <-exited:
				exiting = true
			case <-again.C:
				send()
			case <-deadline:
				t.Fatalf("%v: the second one did not exit", s)
			}
		}
		again.Stop()
		if took := time.Since(began); took < moment/2 {
			t.Errorf("%v: it exited after %v, by an echo of the first", s, took)
		}
		stop()
	}
}
