package search

import (
	"html"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cqrsflow/cqrsflow/internal/searchindex"
)

// The fields of Hit.Highlights.
const (
	fieldNotes    = "notes"
	fieldName     = "name"
	fieldSKU      = "sku"
	fieldCustomer = "customer"
)

const (
	// maxFragments bounds the highlights of a field.
	maxFragments = 3
	// fragmentBytes is about how much of a note is shown around its first match.
	fragmentBytes = 160
)

// highlight marks the places of an order where words were found. It is made from the stored order, and
// so alike for both engines; nil where there were no words.
func highlight(o *Order, words []word) map[string][]string {
	if len(words) == 0 {
		return nil
	}
	out := map[string][]string{}
	add := func(field, fragment string) {
		if fragment != "" && len(out[field]) < maxFragments && !slices.Contains(out[field], fragment) {
			out[field] = append(out[field], fragment)
		}
	}
	add(fieldCustomer, highlightKey(o.Customer, words))
	var tokens []searchindex.Token
	for i := range o.Lines {
		line := &o.Lines[i]
		add(fieldSKU, highlightKey(line.SKU, words))
		tokens = searchindex.Tokens(tokens[:0], line.Name)
		add(fieldName, fragment(line.Name, tokens, matches(tokens, words), len(line.Name)))
	}
	for i := range o.Notes {
		text := o.Notes[i].Text
		tokens = searchindex.Tokens(tokens[:0], text)
		add(fieldNotes, fragment(text, tokens, matches(tokens, words), fragmentBytes))
	}
	return out
}

func highlightKey(text string, words []word) string {
	key := searchindex.Key(text)
	for i := range words {
		if w := &words[i]; key == w.Key || w.Prefix && strings.HasPrefix(key, w.Key) {
			return "<em>" + html.EscapeString(text) + "</em>"
		}
	}
	return ""
}

// matches says which tokens of a text are part of a match; nil where none is.
func matches(tokens []searchindex.Token, words []word) []bool {
	marked := make([]bool, len(tokens))
	found := false
	for i := range words {
		found = words[i].mark(tokens, marked) || found
	}
	if !found {
		return nil
	}
	return marked
}

// mark marks the tokens that the word matches, and reports whether there are any.
func (w *word) mark(tokens []searchindex.Token, marked []bool) bool {
	if len(w.Terms) == 0 {
		return false
	}
	found := false
	for i := 0; i+len(w.Terms) <= len(tokens); i++ {
		if w.at(tokens[i:]) {
			found = true
			for j := range w.Terms {
				marked[i+j] = true
			}
		}
	}
	if found || !w.Prefix {
		return found
	}
	// A prefix of several terms needs them anywhere in the text.
	return w.markApart(tokens, marked)
}

// at reports whether the tokens begin with the word's terms.
func (w *word) at(tokens []searchindex.Token) bool {
	for j, term := range w.Terms {
		last := j == len(w.Terms)-1
		if tokens[j].Term != term && !(last && w.Prefix && strings.HasPrefix(tokens[j].Term, term)) {
			return false
		}
	}
	return true
}

func (w *word) markApart(tokens []searchindex.Token, marked []bool) bool {
	last := len(w.Terms) - 1
	hit := make([]bool, len(w.Terms))
	var at []int
	for i := range tokens {
		for j, term := range w.Terms {
			if tokens[i].Term == term || j == last && strings.HasPrefix(tokens[i].Term, term) {
				hit[j] = true
				at = append(at, i)
			}
		}
	}
	if slices.Contains(hit, false) {
		return false
	}
	for _, i := range at {
		marked[i] = true
	}
	return true
}

// fragment is the text, or about so many bytes of it from shortly before the first match, as HTML.
func fragment(text string, tokens []searchindex.Token, marked []bool, size int) string {
	first := slices.Index(marked, true)
	if first < 0 {
		return ""
	}
	from, to := 0, len(text)
	if len(text) > size {
		// Begin and end between words, a third of the size before the match.
		begin := tokens[first].Start - size/3
		for i := first; i >= 0 && tokens[i].Start >= begin; i-- {
			from = tokens[i].Start
		}
		if begin <= 0 {
			from = 0
		}
		to = tokens[first].End
		for i := first; i < len(tokens) && tokens[i].End <= from+size; i++ {
			to = tokens[i].End
		}
		if from+size >= len(text) {
			to = len(text)
		}
	}
	var b strings.Builder
	if from > 0 {
		b.WriteString("… ")
	}
	at := from
	for i, t := range tokens {
		if !marked[i] || t.Start < from || t.End > to {
			continue
		}
		b.WriteString(html.EscapeString(text[at:t.Start]))
		b.WriteString("<em>")
		b.WriteString(html.EscapeString(text[t.Start:t.End]))
		b.WriteString("</em>")
		at = t.End
	}
	b.WriteString(html.EscapeString(text[at:to]))
	if to < len(text) {
		b.WriteString(" …")
	}
	return strings.ToValidUTF8(b.String(), string(utf8.RuneError))
}
