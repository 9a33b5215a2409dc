// Package throttle says when somebody who failed may try again: delays that grow with consecutive
// failures, and a ceiling. It is shared by the aggregates that count attempts.
package throttle

import (
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// CodeTooManyAttempts rejects an attempt for now, or for good where a ceiling is reached. The code never changes its meaning.
const CodeTooManyAttempts = "too_many_attempts"

// Open is how long an attempt may take: one that is not completed by then counts as failed.
const Open = 60 * time.Second

// Policy is how failures slow down. Attempts that are open count as failures: otherwise as many guesses
// as fit into one could be made at once.
type Policy struct {
	// From is the number of consecutive failures that the first delay follows.
	From int
	// First is the first delay; each further failure doubles it, up to Longest.
	First, Longest time.Duration
	// Ceiling is the number of consecutive failures after which no attempt is possible any more; 0 is none.
	Ceiling int
}

// Delay is how long after the last of so many consecutive failures the next attempt may begin.
func (p Policy) Delay(failures int) time.Duration {
	if failures < p.From {
		return 0
	}
	delay := p.First
	for range failures - p.From {
		if delay *= 2; delay >= p.Longest {
			return p.Longest
		}
	}
	return min(delay, p.Longest)
}

// Check rejects an attempt at now, with CodeTooManyAttempts, where too many failures, the last of them at
// last, forbid it. Who is exempt is not delayed, but kept out by the ceiling like everybody.
func (p Policy) Check(failures int, last, now time.Time, exempt bool) error {
	if p.Ceiling > 0 && failures >= p.Ceiling {
		return Refuse(p.Longest)
	}
	if wait := last.Add(p.Delay(failures)).Sub(now); wait > 0 && !exempt {
		return Refuse(wait)
	}
	return nil
}

// Refuse rejects an attempt, and says when to come again, in whole seconds. It says no more than that:
// whether an account is locked, slowed down or unknown must not be told apart.
func Refuse(wait time.Duration) error {
	return event.Reject(CodeTooManyAttempts, "too many attempts; try again in %d s", int64((wait+time.Second-1)/time.Second))
}
