// Package history keeps every event and every outcome in PostgreSQL, one row each, for reading streams
// and what became of commands.
//
// Rows are appended with COPY in the transaction that moves the checkpoint, so that a redelivery, whose
// checkpoint does not fit, appends nothing. Bodies are kept as they are on the log, and are not decoded:
// events of types that this program does not know are kept as well.
//
// Events and outcomes of a partition have a checkpoint each. How far history is, for a caller that wants
// to read its own writes, is the one of the events.
package history
