package app

import (
	"slices"
	"testing"

	"github.com/cqrsflow/cqrsflow/query"
)

// Whoever waits for the read model experiments waits for what its projection reads, and for nothing else, which would never come.
func TestExperimentsAreReadAndWaitedFor(t *testing.T) {
	read, waited := slices.Sorted(slices.Values(experimentsProjection().Aggregates)), slices.Sorted(slices.Values(query.ExperimentsModel.Aggregates))
	if !slices.Equal(read, waited) {
		t.Errorf("the projection reads %v, and is waited for by positions of %v", read, waited)
	}
}
