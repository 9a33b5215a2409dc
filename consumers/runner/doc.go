// Package runner runs projections: it reads the events (or outcomes) of aggregate types as a consumer
// group and hands them, partition by partition, to a Sink that keeps a read model and its checkpoint.
//
// # Data flow
//
//	Kafka → poll loop (runner.go) → a queue a partition (worker.go) → decode, wanted? parked? (batch.go, reader.go)
//	      → Sink session: changes, pointers and checkpoint in one step (apply.go) → group offset (commit.go)
//
// The poll loop only hands records over and never blocks. Each partition has a worker goroutine from its
// assignment (assign.go, open.go) to its revocation; it decodes and applies, so partitions do not wait
// for each other. A partition whose queue is full, or whose sink fails, is paused.
//
// # Not obvious
//
// The sink's checkpoint says where to read, and the group's offset is only written, never read: the
// client's offsets are replaced as soon as they are fetched, and an offset that is out of range is an
// error, not a reset. A record that comes with a lower offset than the one before means that the topic
// was made anew or truncated under the reader.
//
// Transaction markers take offsets. The client keeps them in what it returns, so a checkpoint passes
// them and lag becomes 0. Offsets that leave nothing to store move the checkpoint only with the next
// batch that does.
//
// Rebalances are blocked from poll to hand-over. Otherwise a record could be handed to the worker of a
// later assignment, whose checkpoint is before it, and what lies between would be lost.
//
// A batch whose outcome is unknown is tried again; if it had been applied after all, the sink's
// compare-and-set says event.ErrFenced, and the partition is opened again at the checkpoint that is there.
//
// Lock order: Runner.mu and worker.mu are never held at the same time; commits.sending is taken before
// commits.mu.
package runner
