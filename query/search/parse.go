package search

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// word is what must be found somewhere in a document.
type word struct {
	// Key is the whole of it, to be compared with exact terms; never empty.
	Key string
	// Terms are its parts, to be found next to each other in a text. None means that only Key counts.
	Terms []string
	// Prefix lets Key, and the last of Terms, be the beginning of what is found. The other Terms then
	// need only be in the same field.
	Prefix bool
}

// parse splits a query into words.
func parse(q string) []word {
	var words []word
	var bare []word // without terms: they count only where nothing else does
	add := func(text string, prefix bool) {
		w := word{Key: searchindex.Key(text), Terms: searchindex.Terms(text), Prefix: prefix}
		switch {
		case w.Key == "":
		case len(w.Terms) == 0:
			bare = append(bare, w)
		default:
			words = append(words, w)
		}
	}
	for q = strings.TrimSpace(q); q != ""; q = strings.TrimLeftFunc(q, unicode.IsSpace) {
		if quote, size := utf8.DecodeRuneInString(q); isQuote(quote) {
			text, rest := q[size:], ""
			if end := strings.IndexFunc(text, isQuote); end >= 0 {
				_, size := utf8.DecodeRuneInString(text[end:])
				text, rest = text[:end], text[end+size:]
			}
			add(text, false)
			q = rest
			continue
		}
		end := strings.IndexFunc(q, func(r rune) bool { return unicode.IsSpace(r) || isQuote(r) })
		text, rest := q, ""
		if end >= 0 {
			text, rest = q[:end], q[end:]
		}
		stem := strings.TrimRight(text, "*")
		add(stem, stem != text || rest == "")
		q = rest
	}
	if len(words) == 0 {
		return bare
	}
	return words
}

// isQuote reports whether r begins or ends a phrase.
func isQuote(r rune) bool {
	return r == '"' || r == '“' || r == '”' || r == '„' || r == '«' || r == '»'
}
