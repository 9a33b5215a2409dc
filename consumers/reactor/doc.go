// Package reactor turns events into commands: a consumer group on events topics that produces commands
// and commits its offsets in one Kafka transaction.
//
// What is not obvious: a transaction commits everything that was polled, so a worker polls one batch,
// produces what it causes, checks every record's result, ends the transaction, and only then polls again.
// Any error from ending a transaction leaves its outcome unknown; the session is closed and a new one
// starts from the offsets that are committed. That a command is sent twice then does no harm: its ID is
// made from the event, and the processor answers a repeat as it answered the first time.
//
// Replays must not react. A reactor never starts from a log's start by itself: without a committed offset
// it refuses to start unless it is told From.
package reactor
