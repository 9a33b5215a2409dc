package search_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/query/search"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

// testModel compares what is found with what the package's comment says, for random orders and queries.
func testModel(t *testing.T, b *backend) {
	const seed = 20260301
	r := rand.New(rand.NewPCG(seed, seed))
	vocabulary := strings.Fields("red reddish rose blue bluebell shirt shirts hat x-ray x ray a-1 a-12 Ärmel armel 東京 京 don't")
	word := func() string { return vocabulary[r.IntN(len(vocabulary))] }
	text := func(most int) string {
		words := make([]string, r.IntN(most+1))
		for i := range words {
			words[i] = word()
		}
		return strings.Join(words, " ")
	}
	s := open(t, b, 0)
	var docs []search.Order
	for i := range 300 {
		o := order{id: name("o-%03d", i), customer: word(), notes: text(4)}
		for range 1 + r.IntN(3) {
			o.lines = append(o.lines, line(word(), text(3)))
		}
		if r.IntN(4) == 0 {
			o.lines = append(o.lines, &orderv1.LineItem{Sku: word() + " " + word(), Quantity: 1})
		}
		s.place(o)
		if r.IntN(2) == 0 {
			s.annotate(o.id, text(4))
		}
	}
	s.apply()
	ids, _ := find(t, b, search.Request{Limit: 200})
	require.Len(t, ids, 200)
	for i := range 300 {
		d, err := b.reader.Get(t.Context(), event.StreamID(name("o-%03d", i)))
		require.NoError(t, err)
		docs = append(docs, d)
	}
	for range 200 {
		var q []string
		for range 1 + r.IntN(3) {
			w := word()
			switch r.IntN(6) {
			case 0:
				w = `"` + w + " " + word() + `"`
			case 1:
				w = `"` + w + `"`
			case 2:
				w = string([]rune(w)[:1+r.IntN(len([]rune(w)))]) + "*"
			case 3:
				w = string([]rune(w)[:1+r.IntN(len([]rune(w)))])
			}
			q = append(q, w)
		}
		want := map[string]bool{}
		for i := range docs {
			if modelMatches(&docs[i], q) {
				want[string(docs[i].ID)] = true
			}
		}
		got := pages(t, b, search.Request{Q: strings.Join(q, " "), Limit: 200})
		for _, id := range got {
			require.True(t, want[id], "q=%s finds %s (seed %d)", q, id, seed)
			delete(want, id)
		}
		require.Empty(t, want, "q=%s does not find these (seed %d)", q, seed)
	}
}

// modelMatches is the rule in the slowest and plainest way.
func modelMatches(d *search.Order, q []string) bool {
	for i, w := range q {
		prefix := i == len(q)-1
		if quoted := strings.Trim(w, `"`); quoted != w {
			w, prefix = quoted, false
		}
		if stem := strings.TrimSuffix(w, "*"); stem != w {
			w, prefix = stem, true
		}
		if !modelFinds(d, w, prefix) {
			return false
		}
	}
	return true
}

func modelFinds(d *search.Order, w string, prefix bool) bool {
	key := searchindex.Key(w)
	for _, k := range d.Keys() {
		if k == key || prefix && strings.HasPrefix(k, key) {
			return true
		}
	}
	terms := searchindex.Terms(w)
	last := len(terms) - 1
	inOne := func(texts []string, all bool) bool { // phrases in one text; prefixes of several terms in one field
		var field []string
		for _, text := range texts {
			has := searchindex.Terms(text)
			field = append(field, has...)
			for i := 0; i+len(terms) <= len(has); i++ {
				if slices.Equal(has[i:i+len(terms)], terms) {
					return true
				}
			}
		}
		if !all {
			return false
		}
		for i, term := range terms {
			if !slices.ContainsFunc(field, func(h string) bool { return h == term || i == last && strings.HasPrefix(h, term) }) {
				return false
			}
		}
		return len(terms) > 0
	}
	var names, notes []string
	for _, l := range d.Lines {
		names = append(names, l.Name)
	}
	for _, n := range d.Notes {
		notes = append(notes, n.Text)
	}
	return inOne(names, prefix) || inOne(notes, prefix)
}
