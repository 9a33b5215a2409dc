// Package search reads the search read model of orders: full text with relevance, phrases and prefixes,
// filters, facets and cursors. One Searcher reads the embedded index, the other Elasticsearch; both
// answer alike, because text becomes terms before either engine sees it (internal/searchindex), and
// because scores are put together by the same rule.
//
// # What matches
//
// All words of a query must be found in a document. A word is found in a sku or the customer as a whole,
// or in the name of a line or a note; different words may be found in different places. A word that
// holds punctuation ("AB-12") is found in texts where its parts stand next to each other. Words in
// double quotes are a phrase: they must stand next to each other in one name or one note. The last word,
// unless quoted, and every word that ends in * also match whatever begins with them; of such a word with
// punctuation, the parts need only all be in the names, or all in the notes. Case, width and Latin
// diacritics make no difference. There are no operators.
//
// # What comes first
//
// Each word scores where it is found best: a whole sku or customer first, then the beginning of one, then
// a name, the beginning of a word in a name, a note, and the beginning of a word in a note. Within names
// and within notes, BM25 decides: rare words and short texts count for more, but never as much as a
// better place. Ties, and searches without words, are ordered by newest placing, then by ID.
package search
