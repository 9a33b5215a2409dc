// Package source is the aggregate of sources of attempts to authenticate: network addresses, each slowed
// down from its 20th consecutive failure on, whichever accounts were tried. Its stream ID is the HMAC of
// the address: no address stands anywhere in clear.
//
// What a command causes:
//
//	BeginAttempt     AttemptBegun, after an AttemptExpired for each attempt that was not completed within
//	                 60 s, and FailuresForgotten where the last attempt is a day ago;
//	                 too_many_attempts while slowed down, attempt_already_exists
//	CompleteAttempt  AttemptFailed, AttemptSucceeded, or AttemptWithdrawn, which is not counted; attempt_not_found, attempt_expired
//
// Attempts that are open, and those that expired, count as failed. When to come again stands in the
// state, retry_at, and at the end of the rejection's message, in seconds.
package source
