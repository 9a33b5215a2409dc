// Package backoff is the wait between attempts at something that failed.
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Wait waits before the next attempt, or until ctx ends, whose error it returns then: least after attempt 0,
// twice as long after each further one, at most most, and of that, at random, between half and all.
func Wait(ctx context.Context, least, most time.Duration, attempt int) error {
	t := time.NewTimer(jittered(pause(least, most, attempt)))
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func pause(least, most time.Duration, attempt int) time.Duration {
	d := least << min(attempt, 20)
	if d <= 0 || d > most {
		return most
	}
	return d
}

func jittered(d time.Duration) time.Duration { return d/2 + rand.N(d/2+1) }
