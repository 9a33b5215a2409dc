// Package search holds the conformance suite of the search read model: one set of tests for the sinks and
// the readers, run on the embedded index always and on Elasticsearch where Docker answers.
package search
