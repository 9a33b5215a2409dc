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
		select {
		case <-exited:
			t.Errorf("%v: the first one exited", s)
		default:
		}
		send()
		wait(exited, "the second one did not exit")
		stop()
	}
}
