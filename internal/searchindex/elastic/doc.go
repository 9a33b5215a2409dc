// Package elastic is what the sink and the reader of the search read model share of Elasticsearch: the
// connection, the names of indexes and aliases, and the mapping. It uses no scripts, no ingest pipelines
// and no analyzer beyond "whitespace": texts are indexed as the terms of package searchindex.
//
// For one version of the read model there are an index of documents, an alias that only its sink writes
// through, an index of progress (a document a partition), and, shared by all versions, the alias that
// readers search. A document's source is the order's JSON; the fields that are only searched are indexed
// but not kept, so that documents must not be reindexed from each other: the log is their source.
package elastic
