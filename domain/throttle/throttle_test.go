package throttle_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/domain/throttle"
)

var policy = throttle.Policy{From: 4, First: time.Second, Longest: 15 * time.Minute, Ceiling: 100}

func TestDelaysGrowFromTheFourthFailure(t *testing.T) {
	for failures, want := range map[int]time.Duration{
		0: 0, 3: 0, 4: time.Second, 5: 2 * time.Second, 6: 4 * time.Second, 13: 512 * time.Second, 14: 15 * time.Minute, 99: 15 * time.Minute, 1 << 30: 15 * time.Minute,
	} {
		if got := policy.Delay(failures); got != want {
			t.Errorf("after %d failures: %v, want %v", failures, got, want)
		}
	}
	if got := (throttle.Policy{From: 1, First: time.Hour, Longest: time.Minute}).Delay(1); got != time.Minute {
		t.Errorf("a first delay that is longer than the longest: %v", got)
	}
}

func TestCheck(t *testing.T) {
	now := time.Date(1997, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name     string
		failures int
		ago      time.Duration
		exempt   bool
		want     string // of the message; empty: allowed
	}{
		{"none", 0, 0, false, ""},
		{"three at once", 3, 0, false, ""},
		{"the fourth a moment ago", 4, 0, false, "too many attempts; try again in 1 s"},
		{"part of a second is a second", 5, 900 * time.Millisecond, false, "too many attempts; try again in 2 s"},
		{"the delay is over", 5, 2 * time.Second, false, ""},
		{"exempt", 50, 0, true, ""},
		{"the ceiling, long ago", 100, 1000 * time.Hour, false, "too many attempts; try again in 900 s"},
		{"the ceiling, exempt", 100, 1000 * time.Hour, true, "too many attempts; try again in 900 s"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := policy.Check(tc.failures, now.Add(-tc.ago), now, tc.exempt)
			r, rejected := decider.AsRejection(err)
			switch {
			case tc.want == "" && err != nil:
				t.Error(err)
			case tc.want != "" && (!rejected || r.Code != throttle.CodeTooManyAttempts || r.Message != tc.want):
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// More failures never mean a shorter delay, and no delay is longer than the longest.
func TestDelaysNeverShrink(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := throttle.Policy{From: rapid.IntRange(0, 30).Draw(t, "from"), First: time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "first")),
			Longest: time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "longest"))}
		n := rapid.IntRange(0, 200).Draw(t, "failures")
		if a, b := p.Delay(n), p.Delay(n+1); a < 0 || a > b || b > p.Longest {
			t.Fatalf("%+v: %v after %d failures, %v after one more", p, a, n, b)
		}
	})
}
