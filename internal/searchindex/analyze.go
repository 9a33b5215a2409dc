package searchindex

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

const (
	// maxTerm is how much of a word counts, in runes: longer ones are cut, in documents and queries alike.
	maxTerm = 64
	// maxKey is how much of an exact term counts, in bytes.
	maxKey = 256
)

// Token is a word of a text: the term that stands for it, and the bytes of the text that it came from.
type Token struct {
	Term       string
	Start, End int
}

// Tokens appends the words of a text to dst. A word is a run of letters, digits and the marks on them;
// an apostrophe inside a word is dropped. Scripts that are written without spaces (Chinese, Japanese,
// Thai, Lao, Khmer, Burmese) and pictographs make a word a character: next to each other they are found
// as phrases. Terms are without case, width and Latin diacritics: "Ｍüller" and "muller" are one term.
// The whole of Unicode's text segmentation (UAX #29) would need a dictionary for little more.
func Tokens(dst []Token, text string) []Token {
	start := -1 // of the word that has begun
	last := -1  // end of what belongs to it
	ascii := true
	flush := func() {
		if start >= 0 {
			if term := normalize(text[start:last], ascii); term != "" {
				dst = append(dst, Token{Term: term, Start: start, End: last})
			}
			start, ascii = -1, true
		}
	}
	for i, r := range text {
		size := 1
		if r >= utf8.RuneSelf {
			size = utf8.RuneLen(r)
			if r == utf8.RuneError {
				_, size = utf8.DecodeRuneInString(text[i:])
			}
		}
		switch classify(r) {
		case word:
			if start < 0 {
				start = i
			}
			last, ascii = i+size, ascii && r < utf8.RuneSelf
		case single:
			flush()
			start, last, ascii = i, i+size, false
			// Marks that follow belong to the character; the next word or character begins anew.
			j := last
			for j < len(text) {
				m, n := utf8.DecodeRuneInString(text[j:])
				if !unicode.Is(unicode.M, m) {
					break
				}
				j += n
			}
			last = j
			flush()
		case mark:
			if start >= 0 {
				last, ascii = i+size, false
			}
		case joiner:
			// It stays inside only where a letter follows at once.
			if start < 0 || last != i {
				flush()
				continue
			}
			if next, _ := utf8.DecodeRuneInString(text[i+size:]); classify(next) != word {
				flush()
				continue
			}
			last, ascii = i+size, false
		case invisible:
			if start >= 0 && last == i {
				last, ascii = i+size, false
			}
		default:
			flush()
		}
	}
	flush()
	return dst
}

type class int

const (
	separator class = iota
	word
	single
	mark
	joiner
	invisible
)

func classify(r rune) class {
	if r < utf8.RuneSelf {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return word
		case r == '\'':
			return joiner
		}
		return separator
	}
	switch {
	case r == '’' || r == 'ʼ' || r == '＇':
		return joiner
	case r >= 0xFE00 && r <= 0xFE0F, unicode.Is(unicode.Cf, r):
		return invisible // variation selectors, soft hyphens, joiners
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar),
		r >= 0x3005 && r <= 0x3007, r >= 0x30FC && r <= 0x30FE:
		if unicode.Is(unicode.M, r) {
			return mark
		}
		return single
	case unicode.Is(unicode.L, r), unicode.Is(unicode.N, r):
		return word
	case unicode.Is(unicode.M, r):
		return mark
	case unicode.Is(unicode.So, r) && r != utf8.RuneError:
		return single
	}
	return separator
}

// normalize makes the term of a word: compatibility forms decomposed, Latin diacritics off, case folded.
func normalize(s string, ascii bool) string {
	if ascii {
		return cut(strings.ToLower(s))
	}
	s = norm.NFKD.String(s)
	s = strings.Map(func(r rune) rune {
		if r >= 0x300 && r <= 0x36F {
			return -1
		}
		switch classify(r) {
		case separator, joiner, invisible:
			return -1
		}
		return r
	}, s)
	// A Caser must not be shared between goroutines; making one is cheap.
	return cut(norm.NFC.String(cases.Fold().String(s)))
}

func cut(s string) string {
	if len(s) <= maxTerm {
		return s
	}
	n := 0
	for i := range s {
		if n++; n > maxTerm {
			return s[:i]
		}
	}
	return s
}

// Key makes the exact term of an identifier such as a sku or a customer: the whole text without case,
// width and Latin diacritics, with single spaces. Empty text has none.
func Key(s string) string {
	ascii := true
	for i := 0; i < len(s); i++ {
		if s[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if !ascii {
		s = norm.NFKD.String(s)
		s = strings.Map(func(r rune) rune {
			if r >= 0x300 && r <= 0x36F || r >= utf8.RuneSelf && classify(r) == invisible {
				return -1
			}
			return r
		}, s)
		s = norm.NFC.String(cases.Fold().String(s))
	} else {
		s = strings.ToLower(s)
	}
	if strings.ContainsFunc(s, unicode.IsSpace) {
		s = strings.Join(strings.Fields(s), " ")
	}
	if len(s) > maxKey {
		n := maxKey
		for !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return s
}

// Terms are the terms of a text.
func Terms(text string) []string {
	tokens := Tokens(nil, text)
	terms := make([]string, len(tokens))
	for i := range tokens {
		terms[i] = tokens[i].Term
	}
	return slices.Clip(terms)
}
