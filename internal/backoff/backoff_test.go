package backoff

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"
)

func TestPause(t *testing.T) {
	for attempt, want := range []time.Duration{10 * time.Millisecond, 20 * time.Millisecond, 40 * time.Millisecond, 50 * time.Millisecond} {
		if d := pause(10*time.Millisecond, 50*time.Millisecond, attempt); d != want {
			t.Errorf("after attempt %d it is %v, want %v", attempt, d, want)
		}
	}
	for _, attempt := range []int{20, 63, 1 << 30} { // none of them may overflow
		if d := pause(1<<50, time.Minute, attempt); d != time.Minute {
			t.Errorf("after attempt %d it is %v", attempt, d)
		}
	}
	if d := pause(time.Hour, math.MaxInt64, 24); d != time.Hour<<20 { // 24 doublings wrap around
		t.Errorf("after 24 attempts it is %v", d)
	}
	for range 1000 {
		if d := jittered(time.Second); d < time.Second/2 || d > time.Second {
			t.Fatalf("%v of a second", d)
		}
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Wait(ctx, time.Hour, time.Hour, 0); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := Wait(t.Context(), 1, 1, 0); err != nil {
		t.Error(err)
	}
}
