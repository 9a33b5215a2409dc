// Package stats compares the versions of something that units were assigned to: whether the candidate is better than the
// control, by how much, and how sure that is. It is pure: no clock, no I/O; randomness comes with a seed.
//
// Units become Moments (streamed, merged, or made from sums that SQL computed); Compare makes of two of them a lift with
// its interval and p-value; Judge makes of a plan and all its Moments a report with a verdict, or says why there
// can be none. Design plans how many units that takes; Simulation shows that the promises hold.
//
// Each formula, with its source and what it means: docs/statistics.md. Numbers agree with GrowthBook's gbstats to 1e-6.
//
// Functions are safe for concurrent use; values that are written to (Moments) belong to one goroutine at a time.
package stats

import (
	"errors"
	"fmt"

	"github.com/cqrsflow/cqrsflow/event"
)

// Why a comparison has no answer. All are event.ErrInvalid too.
var (
	// ErrTooFew: a variant has fewer than two units.
	ErrTooFew = fmt.Errorf("%w: fewer than two units", event.ErrInvalid)
	// ErrNoVariance: the units of each variant are all alike, or the sums contradict each other.
	ErrNoVariance = fmt.Errorf("%w: no variance", event.ErrInvalid)
	// ErrBaseline: the control's mean is zero or below, so there is no lift relative to it.
	ErrBaseline = fmt.Errorf("%w: the control's mean is not above zero", event.ErrInvalid)
)

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{event.ErrInvalid}, args...)...)
}

// undecided reports whether units could not be compared, but may be when there are more of them.
func undecided(err error) bool {
	return errors.Is(err, ErrTooFew) || errors.Is(err, ErrNoVariance) || errors.Is(err, ErrBaseline)
}
