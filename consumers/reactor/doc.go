// Package reactor turns events into commands: a consumer group on events topics that produces commands
// and commits its offsets in one Kafka transaction.
//
// What is not obvious: a transaction commits everything that was polled, so a worker polls one batch,
// produces what it causes, checks every record's result, ends the transaction, and only then polls again.
// Any error from ending a transaction leaves its outcome unknown; the session is closed and a new one
// starts from the offsets that are committed. That a command is sent twice then does no harm: its ID is
// made from the event, and the processor answers a repeat as it answered the first time.
//
// # Parked events
//
// An event that cannot be decoded, or that the reaction refuses or panics over, is set aside with everything
// that follows in its stream: pointers go to the parked topic of its aggregate type, to the partition of the
// event's number, in the transaction that commits the offset past it (parking.go, pointer.go). What is parked of
// a partition is the fold of that topic's partition, read when the partition is assigned, behind the same barrier
// as the processor's restore (restore.go).
//
// Operators write marks beside the pointers, outside transactions (operator.go). The partition's owner looks for
// them between batches, reads the marked streams' events again and reacts to them in order; pointers, marks and
// commands change in one transaction (drain.go). As that commits no new offset, it commits the old one once more:
// a member that the group has given up is fenced by it (fence.go).
//
// Replays must not react. A reactor never starts from a log's start by itself: without a committed offset
// it refuses to start unless it is told From.
package reactor
