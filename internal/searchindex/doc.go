// Package searchindex is what the sinks and the readers of the search read model share, so that neither
// imports the other: the document of an order, the fold that makes it from the order's events, how text
// becomes terms, and how far a partition has been indexed. It does no I/O.
//
// Text is analyzed here, in Go, and not by the search engines: what goes into Elasticsearch and into the
// embedded index are the same terms, and what is asked of them is made of the same terms, so both find
// the same documents for the same words. The engines only look terms up, count and rank.
package searchindex

import "fmt"

const (
	// Name is the projection's name.
	Name = "orders_search"
	// Shape numbers what is stored. Raise it whenever Fold, Document or the analysis changes that: a new
	// version is built, from the start of the log into an index of its own, before readers see it.
	Shape = 1
	// Aggregate is the only aggregate type that the projection reads.
	Aggregate = "order"
)

// IndexName names one version of the read model, such as "orders_search-v1".
func IndexName(version int) string { return fmt.Sprintf("%s-v%d", Name, version) }
