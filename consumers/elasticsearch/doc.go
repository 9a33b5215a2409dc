// Package elasticsearch is the sink of the search read model on Elasticsearch 8.
//
// A batch is folded onto the stored documents, which are read in real time, and written in bulk, each
// with its stream's version as external version: what a batch that is delivered again, or a worker that
// has lost the partition, writes once more is refused document by document and changes nothing. When all
// documents are there, the partition's progress (checkpoint and pointers to parked events, one document
// a partition in an index of its own) is replaced, on condition that nobody else has replaced it since.
//
// Taking a partition over marks its progress with the new owner, which fences the one before it. While
// readers are switched to another version, a mark of the same kind holds the sessions of the old one.
package elasticsearch

import "github.com/cqrsflow/cqrsflow/internal/searchindex/elastic"

// Client is a connection to Elasticsearch, which the sink and the reader in query/search can share.
type Client = elastic.Client

// ClientConfig says which Elasticsearch to use.
type ClientConfig = elastic.Config

// Connect makes a client; it does not talk to the server yet. Its error wraps event.ErrConfig.
func Connect(cfg ClientConfig) (*Client, error) { return elastic.Connect(cfg) }
