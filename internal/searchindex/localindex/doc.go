// Package localindex is the search read model on disk, embedded: one bleve (scorch) index that holds the
// documents and how far they go, shared by the sink that writes it and the reader that searches it.
//
// A batch's documents and the progress of its partition are one index batch. It is visible to searches
// at once and durable a little later: the index is a cache of the log, so what a killed process had not
// written yet is read from the log again. Documents and progress come back from the same snapshot.
package localindex
