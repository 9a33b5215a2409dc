package search_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/query/search"
	orderv1 "github.com/cqrsflow/cqrsflow/schemas/order/v1"
)

var equateEmpty = cmpopts.EquateEmpty()

func testEmpty(t *testing.T, b *backend) {
	open(t, b, 0)
	for _, q := range []string{"", "word", `"a phrase"`, "pre*"} {
		ids, found := find(t, b, search.Request{Q: q, Facets: []string{search.FacetStatus, search.FacetCustomer}})
		require.Empty(t, ids)
		require.Zero(t, found.Total)
		require.Empty(t, found.Cursor)
		require.Equal(t, map[string][]search.FacetCount{"status": {}, "customer": {}}, found.Facets)
	}
}

// found says which orders a query finds, whatever their order.
type expectation struct{ q, want string }

func expect(t *testing.T, b *backend, cases []expectation) {
	t.Helper()
	for _, c := range cases {
		ids, found := find(t, b, search.Request{Q: c.q, Limit: 200})
		slices.Sort(ids)
		require.Equal(t, c.want, strings.Join(ids, " "), "q=%s", c.q)
		require.EqualValues(t, len(ids), found.Total, "q=%s", c.q)
	}
}

func testWords(t *testing.T, b *backend) {
	s := open(t, b, 0)
	s.place(order{id: "1", customer: "acme", notes: "Deliver to the back door, please. Gift wrapping!", lines: []*orderv1.LineItem{line("SKU-1001", "Blue Cotton Shirt")}})
	s.place(order{id: "2", customer: "acme-2", notes: "gift", lines: []*orderv1.LineItem{line("SKU-1002", "Red Cotton Shirt"), line("SKU-2001", "Blue Hat")}})
	s.place(order{id: "3", customer: "bob", notes: "door\nback\nwrapping gift", lines: []*orderv1.LineItem{line("x 9", "Shirt, blue")}})
	s.place(order{id: "4", customer: "carol", lines: []*orderv1.LineItem{line("AB/12-c", "AT&T cable 11.77m (well-known)")}})
	s.annotate("4", "O'Brien's order; don't ring")
	s.annotate("4", "the second note")
	s.apply()
	expect(t, b, []expectation{
		{"", "1 2 3 4"},
		{"   ", "1 2 3 4"},
		{"*", "1 2 3 4"},
		{`""`, "1 2 3 4"},
		{"gift", "1 2 3"},
		{"GIFT", "1 2 3"},
		{"gift blue", "1 2 3"},
		{"gift bob", "3"},
		{"gift wrapping door", "1 3"},
		{"nothing gift", ""},
		// Phrases keep their order, and do not span lines or notes.
		{`"blue cotton shirt"`, "1"},
		{`"cotton shirt"`, "1 2"},
		{`"shirt blue"`, "3"},
		{`"shirt blue hat"`, ""},
		{`"gift wrapping"`, "1"},
		{`"wrapping gift"`, "3"},
		{`"back door"`, "1"},
		{`"ring the second"`, ""},
		{`"second note"`, "4"},
		{`"cotton shirt" gift`, "1 2"},
		{`"back door" "gift wrapping"`, "1"},
		{`"not closed shirt`, ""},
		{`"cotton shirt`, "1 2"},
		{`“cotton shirt”`, "1 2"},
		// A quoted word is no prefix.
		{`"shir"`, ""},
		{"shir", "1 2 3"},
		// The last word is a prefix, and others where they say so.
		{"shir gift", ""},
		{"shir* gift", "1 2 3"},
		{"gift shir", "1 2 3"},
		{"g", "1 2 3"},
		{"w* g*", "1 3"},
		{"wrap", "1 3"},
		{"wrappings", ""},
		// Exact terms: skus and customers as a whole, and their beginnings.
		{"sku-1001", "1"},
		{`"sku-1001"`, "1"},
		{"SKU-1", "1 2"},
		{"SKU-1*", "1 2"},
		{"sku-1 gift", ""},
		{"sku-1* gift", "1 2"},
		{"1001", ""},
		{`"acme"`, "1"},
		{"acme", "1 2"},
		{"acme-2", "2"},
		{`"x 9"`, "3"},
		{"ab/12-c", "4"},
		{"ab/12", "4"},
		{"ab", "4"},
		// Punctuation inside a word.
		{"at&t", "4"},
		{"well-known", "4"},
		{"known-well", "4"},     // the last word: a prefix needs its parts only
		{"known-well acme", ""}, // not the last: as a phrase
		{"11.77m", "4"},
		{"11.7", "4"},
		{"o'brien's", "4"},
		{"o’brien’s", "4"},
		{"obriens", "4"},
		{"dont", "4"},
		{"& shirt - red", "2"},
		{"!!!", ""},
		{"shirt !!!", "1 2 3"},
		{"(cable)", "4"},
		{"cable AND nothing", ""},
		{"door OR", ""}, // no operators
		{"-gift", "1 2 3"},
		{"name:blue", ""},
		{"sh?rt", ""},
		{"shirt~", "1 2 3"},
		{"/shirt/", "1 2 3"},
		{"*irt", ""},
		{"[a TO z]", ""},
	})
}

func testUnicode(t *testing.T, b *backend) {
	s := open(t, b, 0)
	s.place(order{id: "mueller", customer: "c1", notes: "Für Frau Müller, Straße 5", lines: []*orderv1.LineItem{line("Ä-1", "Crème brûlée")}})
	s.place(order{id: "nfd", customer: "c2", notes: "Mu\u0308ller nfd"})
	s.place(order{id: "greek", customer: "c3", notes: "ΟΔΥΣΣΕΥΣ Οδυσσεύς"})
	s.place(order{id: "cyrillic", customer: "c4", notes: "Ещё одна Ёлка"})
	s.place(order{id: "japanese", customer: "c5", notes: "東京都に届けてください コーヒー"})
	s.place(order{id: "wide", customer: "c6", notes: "ＡＢＣ１２３ ｶﾀｶﾅ"})
	s.place(order{id: "emoji", customer: "c7", notes: "thanks 🎉🎁 ❤️ soft\u00adhyphen"})
	s.place(order{id: "thai", customer: "c8", notes: "สวัสดีครับ"})
	s.place(order{id: "arabic", customer: "c9", notes: "مرحبا بالعالم"})
	s.place(order{id: "hindi", customer: "c10", notes: "नमस्ते दुनिया"})
	s.place(order{id: "korean", customer: "c11", notes: "서울 배송"})
	s.place(order{id: "turkish", customer: "c12", notes: "İstanbul DIYARBAKIR"})
	s.place(order{id: "long", customer: "c13", notes: strings.Repeat("x", 5000) + " " + strings.Repeat("長", 300)})
	s.place(order{id: "odd", customer: "c14", notes: "zero\x00byte \x1e separator <b>&amp; \\ \" \u2028"})
	s.apply()
	expect(t, b, []expectation{
		{"müller", "mueller nfd"},
		{"MULLER", "mueller nfd"},
		{"Mu\u0308ller", "mueller nfd"},
		{"strasse", "mueller"},
		{"STRASSE", "mueller"},
		{"straße*", "mueller"},
		{"creme brulee", "mueller"},
		{`"crème brûlée"`, "mueller"},
		{"ä-1", "mueller"},
		{"a-1", "mueller"},
		{`"οδυσσευς οδυσσευσ"`, "greek"},
		{"елка", "cyrillic"},
		{"ёлка", "cyrillic"},
		{"東京", "japanese"},
		{"京都", "japanese"},
		{`"京東"`, ""},
		{`"東京都"`, "japanese"},
		{"コーヒー", "japanese"},
		{"abc123", "wide"},
		{"カタカナ", "wide"},
		{"🎉", "emoji"},
		{`"🎉🎁"`, "emoji"},
		{`"🎁🎉"`, ""},
		{"❤", "emoji"},
		{"softhyphen", "emoji"},
		{"สวัสดี", "thai"},
		{"مرحبا", "arabic"},
		{"नमस्ते", "hindi"},
		{"नमस", "hindi"},
		{"서울", "korean"},
		{"\u1109\u1165\u110b\u116e\u11af", "korean"}, // decomposed
		{"istanbul", "turkish"},
		{"diyarbakir", "turkish"},
		{strings.Repeat("x", 500), "long"},
		{strings.Repeat("長", 200), "long"},
		{"separator", "odd"},
		{"byte", "odd"},
	})
	got, err := b.reader.Get(t.Context(), "odd")
	require.NoError(t, err)
	require.Equal(t, "zero\x00byte \x1e separator <b>&amp; \\ \" \u2028", got.Notes[0].Text, "kept as it was")
}

// testRanking: a better place counts for more than any statistics; within one, they decide.
func testRanking(t *testing.T, b *backend) {
	s := open(t, b, 0)
	// The rarer place of a word, by far, is the worse one.
	for i := range 50 {
		s.place(order{id: name("filler-%02d", i), customer: "gift", lines: []*orderv1.LineItem{line("f", "Gift"), line("g", "Filler")}, notes: "filler"})
	}
	s.place(order{id: "sku", customer: "c", lines: []*orderv1.LineItem{line("drum", "x")}})
	s.place(order{id: "sku-prefix", customer: "c", lines: []*orderv1.LineItem{line("drumset", "x")}})
	s.place(order{id: "customer", customer: "drum"})
	s.place(order{id: "name", customer: "c", lines: []*orderv1.LineItem{line("y", "Snare drum")}})
	s.place(order{id: "name-prefix", customer: "c", lines: []*orderv1.LineItem{line("y", "Drumsticks")}})
	s.place(order{id: "notes-often", customer: "c", notes: "drum drum drum, and a drum"})
	s.place(order{id: "notes-once", customer: "c", notes: "one drum between a lot of other words that nobody has asked for, at all"})
	s.place(order{id: "notes-prefix", customer: "c", notes: "drums"})
	s.place(order{id: "both", customer: "drum", notes: "gift"})
	s.apply()
	ids, found := find(t, b, search.Request{Q: "drum"})
	require.Equal(t, []string{"both", "customer", "sku", "sku-prefix", "name", "name-prefix", "notes-often", "notes-once", "notes-prefix"}, ids)
	scores := func(i int) float64 { return found.Hits[i].Score }
	require.Equal(t, scores(0), scores(2), "a whole customer and a whole sku are worth the same")
	for i := range len(ids) - 1 {
		require.GreaterOrEqual(t, scores(i), scores(i+1))
		require.Positive(t, scores(i+1))
	}
	ids, _ = find(t, b, search.Request{Q: "gift", Limit: 60})
	require.Equal(t, "both", ids[len(ids)-1], "the only note comes after fifty customers, however rare it is")
	ids, _ = find(t, b, search.Request{Q: "drum gift"})
	require.Equal(t, []string{"both"}, ids)
}

func testHighlights(t *testing.T, b *backend) {
	s := open(t, b, 0)
	far := strings.Repeat("padding words come first. ", 40)
	s.place(order{id: "o", customer: "Acme", notes: "Gift <wrap> & a gift card", lines: []*orderv1.LineItem{line("A-1", "Gift Box"), line("B-1", "Plain Box")}})
	s.annotate("o", far+"Then the needle, “Müller”, and the end."+strings.Repeat(" more words.", 40))
	s.apply()
	for _, c := range []struct {
		q    string
		want map[string][]string
	}{
		{"gift", map[string][]string{"notes": {"<em>Gift</em> &lt;wrap&gt; &amp; a <em>gift</em> card"}, "name": {"<em>Gift</em> Box"}}},
		{`"gift box"`, map[string][]string{"name": {"<em>Gift</em> <em>Box</em>"}}},
		{"box", map[string][]string{"name": {"Gift <em>Box</em>", "Plain <em>Box</em>"}}},
		{"a-1 car", map[string][]string{"sku": {"<em>A-1</em>"}, "notes": {"Gift &lt;wrap&gt; &amp; a gift <em>card</em>"}}},
		{"acm", map[string][]string{"customer": {"<em>Acme</em>"}}},
		{"", nil},
	} {
		_, found := find(t, b, search.Request{Q: c.q})
		require.Len(t, found.Hits, 1, c.q)
		require.Empty(t, cmp.Diff(c.want, found.Hits[0].Highlights, equateEmpty), c.q)
	}
	_, found := find(t, b, search.Request{Q: "muller needle"})
	require.Len(t, found.Hits, 1)
	got := found.Hits[0].Highlights["notes"]
	require.Len(t, got, 1)
	require.Contains(t, got[0], "Then the <em>needle</em>, “<em>Müller</em>”, and")
	require.True(t, strings.HasPrefix(got[0], "… ") && strings.HasSuffix(got[0], " …"), "%q is a part", got[0])
	require.Less(t, len(got[0]), 300)
}

func testFacets(t *testing.T, b *backend) {
	s := open(t, b, 0)
	for c := range 12 {
		for i := range 12 - c/2 { // pairs of customers have as many
			id := name("o-%02d-%02d", c, i)
			s.place(order{id: id, customer: name("Customer-%02d", c), notes: "thing"})
			if i < 3 {
				s.pay(id)
			}
		}
	}
	s.place(order{id: "cancelled", customer: "Customer-00"})
	s.add("cancelled", &orderv1.OrderCancelled{})
	s.apply()
	total := 0
	var customers []search.FacetCount
	for c := range 12 {
		n := 12 - c/2
		total += n
		if c < 10 {
			customers = append(customers, search.FacetCount{Value: name("Customer-%02d", c), Count: int64(n)})
		}
	}
	both := []string{search.FacetStatus, search.FacetCustomer}
	_, found := find(t, b, search.Request{Q: "thing", Facets: both, Limit: 1})
	require.EqualValues(t, total, found.Total)
	want := map[string][]search.FacetCount{
		"status":   {{Value: "placed", Count: int64(total - 36)}, {Value: "paid", Count: 36}},
		"customer": customers, // the ten most frequent, ties by value
	}
	require.Empty(t, cmp.Diff(want, found.Facets))
	_, next := find(t, b, search.Request{Q: "thing", Facets: both, Limit: 1, Cursor: found.Cursor})
	require.Empty(t, cmp.Diff(want, next.Facets), "facets are of all pages")

	_, found = find(t, b, search.Request{Status: "paid", Facets: both, Customer: "Customer-03"})
	require.EqualValues(t, 3, found.Total)
	require.Empty(t, cmp.Diff(map[string][]search.FacetCount{"status": {{Value: "paid", Count: 3}}, "customer": {{Value: "Customer-03", Count: 3}}}, found.Facets))
	_, found = find(t, b, search.Request{Facets: []string{search.FacetStatus}})
	require.EqualValues(t, total+1, found.Total)
	require.Empty(t, cmp.Diff([]search.FacetCount{{Value: "placed", Count: int64(total - 36)}, {Value: "paid", Count: 36}, {Value: "cancelled", Count: 1}}, found.Facets["status"]))
	require.NotContains(t, found.Facets, "customer")

	for _, c := range []struct {
		r    search.Request
		want int64
	}{
		{search.Request{Status: "cancelled"}, 1},
		{search.Request{Status: "delivered"}, 0},
		{search.Request{Customer: "customer-03"}, 0}, // filters are exact
		{search.Request{Customer: "Customer-0"}, 0},
		{search.Request{Q: "thing", Customer: "Customer-00"}, 12},
		{search.Request{Customer: "Customer-00"}, 13},
		{search.Request{Q: "thing", Customer: "Customer-00", Status: "paid"}, 3},
		{search.Request{Q: "thing", Status: "cancelled"}, 0},
	} {
		_, found := find(t, b, c.r)
		require.Equal(t, c.want, found.Total, "%+v", c.r)
	}
}

// testOrder: without words, newest first, at any time that a timestamp can hold; then by ID.
func testOrder(t *testing.T, b *backend) {
	s := open(t, b, 0)
	at := func(text string) time.Time {
		v, err := time.Parse(time.RFC3339Nano, text)
		require.NoError(t, err)
		return v
	}
	for id, when := range map[string]string{
		"b": "1997-06-01T00:00:00Z", "a": "1997-06-01T00:00:00Z", "Z": "1997-06-01T00:00:00Z", "a.1": "1997-06-01T00:00:00Z",
		"later": "1997-06-01T00:00:00.000000001Z", "earlier": "1997-05-31T23:59:59.999999999Z",
		"before-1970": "1969-12-31T23:59:59.5Z", "old": "1700-01-01T00:00:00Z", "future": "2200-01-01T00:00:00Z",
		"ancient": "0001-01-02T00:00:00Z", "far": "9999-12-31T23:59:59Z",
	} {
		s.place(order{id: id, customer: "c", at: at(when), notes: "same"})
	}
	s.apply()
	want := []string{"far", "future", "later", "Z", "a", "a.1", "b", "earlier", "before-1970", "old", "ancient"}
	ids, found := find(t, b, search.Request{})
	require.Equal(t, want, ids)
	require.Zero(t, found.Hits[0].Score)
	require.Equal(t, want, pages(t, b, search.Request{Limit: 2}))
	require.Equal(t, want, pages(t, b, search.Request{Q: "same", Limit: 3}), "ties are newest first, too")
}

func testCursorTies(t *testing.T, b *backend) {
	s := open(t, b, 0)
	var want []string
	for i := range 57 {
		id := name("o-%02d", i)
		want = append(want, id)
		s.place(order{id: id, customer: name("c%d", i%2), notes: "tie", at: epoch})
	}
	s.apply()
	for _, limit := range []int{1, 7, 19, 57, 58} {
		require.Equal(t, want, pages(t, b, search.Request{Limit: limit}))
		require.Equal(t, want, pages(t, b, search.Request{Q: "tie", Limit: limit}))
	}
	some := pages(t, b, search.Request{Q: "tie", Customer: "c1", Limit: 5})
	require.Len(t, some, 28)
	require.True(t, slices.IsSorted(some))
}

// testCursorWriting: orders that stay as they are appear exactly once, whatever comes in between.
func testCursorWriting(t *testing.T, b *backend) {
	s := open(t, b, 0)
	for i := range 20 {
		s.place(order{id: name("old-%02d", i), customer: "c", at: epoch.Add(time.Duration(i) * time.Hour)})
	}
	s.apply()
	var seen []string
	r := search.Request{Limit: 6}
	for page := 0; ; page++ {
		ids, found := find(t, b, r)
		seen = append(seen, ids...)
		if found.Cursor == "" {
			break
		}
		r.Cursor = found.Cursor
		s.place(order{id: name("new-%02d", page), customer: "c", at: epoch.Add(1000 * time.Hour)})
		s.place(order{id: name("between-%02d", page), customer: "c", at: epoch.Add(17*time.Hour + time.Minute)})
		s.pay(name("old-%02d", page)) // its placing stays
		s.apply()
	}
	var old []string
	for _, id := range seen {
		if strings.HasPrefix(id, "old-") {
			old = append(old, id)
		}
	}
	var want []string
	for i := range 20 {
		want = append(want, name("old-%02d", 19-i))
	}
	require.Equal(t, want, old)
	require.NotContains(t, seen, "new-00")
}

func testBadRequests(t *testing.T, b *backend) {
	s := open(t, b, 0)
	for i := range 5 {
		s.place(order{id: name("o-%d", i), customer: "c", notes: "word"})
	}
	s.apply()
	_, all := find(t, b, search.Request{Limit: 2})
	_, words := find(t, b, search.Request{Q: "word", Limit: 2})
	require.NotEmpty(t, all.Cursor)
	for _, r := range []search.Request{
		{Limit: -1}, {Limit: 201}, {Facets: []string{"total"}}, {Facets: []string{"status", "status"}},
		{Status: "unknown"}, {Q: "\xff"}, {Customer: "\xff"}, {Q: strings.Repeat("a", 1001)}, {Q: strings.Repeat("a ", 33)},
	} {
		_, err := b.reader.Search(t.Context(), r)
		require.ErrorIs(t, err, event.ErrMalformed, "%+v", r)
		require.NotErrorIs(t, err, query.ErrBadCursor, "%+v", r)
	}
	for _, r := range []search.Request{
		{Cursor: "x"}, {Cursor: "!"}, {Cursor: all.Cursor + "A"}, {Cursor: all.Cursor[1:]}, {Cursor: strings.Repeat("A", 100_000)},
		{Q: "word", Cursor: all.Cursor}, {Cursor: words.Cursor}, {Q: "other", Cursor: words.Cursor},
		{Q: "word", Status: "paid", Cursor: words.Cursor}, {Q: "word", Customer: "c", Cursor: words.Cursor},
	} {
		_, err := b.reader.Search(t.Context(), r)
		require.ErrorIs(t, err, query.ErrBadCursor, "%+v", r)
		require.ErrorIs(t, err, event.ErrMalformed, "%+v", r)
	}
	ids, _ := find(t, b, search.Request{Q: " WORD ", Limit: 200, Cursor: words.Cursor, Facets: []string{"status"}})
	require.Len(t, ids, 3, "limit, facets and spelling may differ")
}

// testBeyondTenThousand: totals stay exact and pages go on where search engines like to stop.
func testBeyondTenThousand(t *testing.T, b *backend) {
	const n = 10_250
	s := open(t, b, 0)
	for i := range n {
		s.place(order{id: name("o-%05d", i), customer: name("c-%d", i%3), notes: "all", at: epoch})
		if i%5000 == 4999 {
			s.apply()
		}
	}
	s.apply()
	_, found := find(t, b, search.Request{Q: "all", Limit: 1, Facets: []string{search.FacetStatus}})
	require.EqualValues(t, n, found.Total)
	require.Equal(t, []search.FacetCount{{Value: "placed", Count: n}}, found.Facets["status"])
	all := pages(t, b, search.Request{Limit: 200})
	require.Len(t, all, n)
	require.True(t, slices.IsSorted(all))
	require.Equal(t, "o-10249", all[n-1])
	require.Equal(t, fmt.Sprint(all), fmt.Sprint(pages(t, b, search.Request{Q: "all", Limit: 200})))
}
