// Package robustness holds the tests that end processes and servers in the middle of their work: kill -9 of `dev` and of
// each role, restarts and pauses of real servers. Afterwards everything must be as if nothing had happened:
// nothing lost, no gap, nothing twice.
//
// The parts: traffic asks for things, faults disturbs, model says what must have come about, validate compares.
package robustness
