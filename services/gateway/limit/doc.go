// Package limit counts what callers take of their limits: Local in one process, Leased for several gateways together, which lease
// tokens in blocks from Postgres. Both hold the same promise: never more than a limit's requests in any window of its length,
// wherever the window begins, and whatever happens at once.
//
// A bucket that is refilled evenly would not: full, and refilled while it is emptied, it gives out twice as much. Here every
// request is counted in the slot of time in which it came, and comes back when the slot is a whole window old. The price is that
// it comes back up to a slot late.
package limit
