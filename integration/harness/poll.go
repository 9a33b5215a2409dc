package harness

import (
	"testing"
	"time"
)

// Patience is how long a test waits for what must happen: long enough for a machine with other work to do.
const Patience = 2 * time.Minute

// lookEvery is how often Eventually asks.
const lookEvery = 50 * time.Millisecond

// Eventually asks until check returns nil, or fails the test with check's last error.
func Eventually(t testing.TB, within time.Duration, what string, check func() error) {
	t.Helper()
	if err := Until(within, check); err != nil {
		t.Fatalf("%s: not within %v: %v", what, within, err)
	}
}

// Until is Eventually for goroutines that may not end the test: it returns check's last error.
func Until(within time.Duration, check func() error) error {
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-deadline.C:
			return err
		case <-tick.C:
		}
	}
}
