// Package kafka runs a Kafka broker inside the process: franz-go's kfake, on disk, on a fixed address. It
// is for `cqrsflow dev` and tests, where nothing should have to be installed. It speaks the real protocol,
// with Kafka 4's transactions (transaction.version 2), but is one broker without replication.
//
// # What survives
//
// Everything acknowledged survives the end of the process in whatever way, kill -9 included, because it was
// handed to the operating system before the answer. It does not survive a power cut: kfake's SyncWrites,
// two fsyncs a batch on its only goroutine, would cost more than a development machine's last second is
// worth. Close, and kfake's small state files, do sync.
//
// kfake by itself does not survive kill -9 well. Left alone,
//   - it takes a transaction without an end marker for aborted, but writes no marker: the next transaction of
//     the same producer is then hidden from read-committed clients together with it, and after a second
//     crash the marker of that one makes the aborted records readable;
//   - a commit is many writes (a marker a partition, an offset a partition, the producer), and a kill between
//     them leaves a part of it;
//   - a batch and its index line are two writes, and a batch without its line counts as not transactional;
//   - what follows a line that was cut short in pids.log or groups.log is lost at the next start;
//   - a client that outlived the broker can go on with the second half of a transaction.
//
// So Start first looks whether the last server was closed (the file "clean-shutdown"), and if not, repairs
// the files before kfake opens them (recover.go): it cuts off torn tails, rewrites indexes, finishes the
// commit that was under way, aborts every other open transaction with a marker, and gives each transactional
// producer a new epoch. For the commit under way there is a journal: each commit's intent is written before
// kfake sees the request (journal.go). That makes commits atomic for clients that bump the epoch with each
// transaction (KIP-890: franz-go and others, on a broker with transaction.version 2); for older ones, a
// commit that was cut short is as kfake leaves it, aborted where no marker had been written.
//
// The repair depends on kfake's file format, version 1: Start refuses another one.
//
// # What is not like Kafka
//
//   - Nothing is ever deleted: retention and compaction are off, and committed offsets do not expire, whatever
//     the topic's configuration says. (kfake compacts by deleting a partition's files and writing them anew,
//     which a kill -9 in between would turn into loss.) Disk use grows until the directory is removed.
//   - message.timestamp.type is stored and reported, not acted on: records keep their producer's timestamp.
//   - Its API versions resemble no release, since a broker's internal requests are missing: ask for the
//     finalized feature transaction.version, do not guess a version.
//   - A write that fails (disk full) is answered as an error for produced records, but a commit whose marker
//     cannot be written is answered as a success: kfake only logs it.
//   - Idempotent producers that are not transactional lose their sequence numbers in a crash: a retry across
//     it may be written twice.
//   - Group members are forgotten in a crash, and there is no initial rebalance delay: groups form at once.
//
// Clients should be closed before the server; a franz-go client whose metrics are not disabled
// (kgo.DisableClientMetrics) spends two seconds in Close trying to push them to a broker that is gone.
package kafka
