// Package local is the sink of the search read model that needs no server: an index on disk, inside the
// process. Open makes the index, New the sink on it; the reader in query/search shares the same index.
//
// A batch's documents, the checkpoint and the pointers to parked events are one step of the index: after
// a kill -9 they come back as of the same moment, and the runner reads on from there.
package local

import "github.com/cqrsflow/cqrsflow/internal/searchindex/localindex"

// Index is the index on disk. One process at a time can have it open.
type Index = localindex.Index

// Config says where the index is.
type Config = localindex.Config

// Open opens the index, making it where there is none. Where another process has it open, the error wraps
// event.ErrUnavailable and says so. Close it after the sink's runner has stopped.
func Open(cfg Config) (*Index, error) { return localindex.Open(cfg) }
