package localindex

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

func TestNewest(t *testing.T) {
	var keys []string
	for _, nanos := range []int64{math.MaxInt64, 1 << 62, 1, 0, -1, -1 << 62, math.MinInt64} {
		for _, id := range []string{"A", "B", "a"} {
			keys = append(keys, Newest(nanos, id))
		}
	}
	require.True(t, slices.IsSorted(keys), "newest first, then by ID: %q", keys)
	require.Len(t, slices.Compact(slices.Clone(keys)), len(keys))
}

func TestAnalyzers(t *testing.T) {
	text := []byte("Blue Shirt\x1e\x1eHat")
	var terms []string
	var places []int
	for _, token := range (analyzer{}).Analyze(text) {
		terms, places = append(terms, string(token.Term)), append(places, token.Position)
	}
	require.Equal(t, []string{"blue", "shirt", "hat"}, terms)
	require.Equal(t, []int{1, 2, 2 + 2*gap + 1}, places, "no phrase spans two values")

	terms = nil
	for _, token := range (beginnings{of: analyzer{}, most: 3}).Analyze([]byte("Blue blüht 東 ab")) {
		terms = append(terms, string(token.Term))
	}
	require.Equal(t, "b bl blu 東 a ab", strings.Join(terms, " "))
}

func TestFields(t *testing.T) {
	d, err := newDocument(&searchindex.Document{ID: "o", Status: "placed"})
	require.NoError(t, err)
	var names []string
	for _, f := range d.Fields {
		names = append(names, f.Name())
	}
	require.Equal(t, []string{FieldDocument, FieldStatus, FieldCustomer, FieldNewest}, names, "what is empty is no field")
}
