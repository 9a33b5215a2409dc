// Package producer is the write side. A Publisher puts commands on their topics and brings outcomes
// back. A Processor owns partitions of those topics: it loads the aggregate, replays its events,
// decides, and appends events, outcome and the command's offset in one Kafka transaction.
//
// The log is the truth; the local store is a cache of it. docs/adr/0001 says why this is sound,
// docs/format/records.md what is written.
package producer
