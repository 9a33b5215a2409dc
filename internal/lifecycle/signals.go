package lifecycle

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Signals returns a context that ends at the first SIGINT or SIGTERM, with the signal as its cause; the
// second one calls exit, for somebody who does not want to wait. Call stop to go back to the default.
func Signals(parent context.Context, exit func()) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	got := make(chan os.Signal, 2)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	quit := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for first := true; ; first = false {
			select {
			case s := <-got:
				if !first {
					exit()
					return
				}
				cancel(fmt.Errorf("signal: %v", s))
			case <-quit:
				return
			}
		}
	})
	return ctx, func() {
		signal.Stop(got)
		close(quit)
		watching.Wait()
		cancel(nil)
	}
}
