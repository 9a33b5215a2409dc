// Package event holds the words that every part of cqrsflow shares: streams, versions, positions,
// commands, events, outcomes and the categories of errors. It imports the standard library only.
package event
