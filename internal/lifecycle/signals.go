package lifecycle

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// moment separates a second signal from an echo of the first.
const moment = 300 * time.Millisecond

// Signals returns a context that ends at the first SIGINT or SIGTERM, with the signal as its cause; the
// second one calls exit, for somebody who does not want to wait. Some supervisors send a signal to a process and
// to its group, so what follows the first within a moment counts as the same. Call stop to go back to the default.
func Signals(parent context.Context, exit func()) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	got := make(chan os.Signal, 2)
	signal.Notify(got, os.Interrupt, syscall.SIGTERM)
	quit := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for first := (time.Time{}); ; {
			select {
			case s := <-got:
				switch {
				case first.IsZero():
					first = time.Now()
					cancel(fmt.Errorf("signal: %v", s))
				case time.Since(first) > moment:
					exit()
					return
				}
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
