// Package elastic is what the sink and the reader of the search read model share of Elasticsearch: the
// connection, the names of indexes and aliases, and the mapping. It uses no scripts, no ingest pipelines
// and no analyzer beyond "whitespace": texts are indexed as the terms of package searchindex.
//
// For one version of the read model there are an index of documents, an alias that only its sink writes
// through, and an index of progress (a document a partition). Shared by all versions are the two aliases
// by which readers see documents and progress, and an index with one document that says which versions
// there are. A document's source is the order's JSON; the fields that are only searched are indexed
// but not kept, so that documents must not be reindexed from each other: the log is their source.
package elastic
