package search

import (
	"html"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/cqrsflow/cqrsflow/internal/searchindex"
	"github.com/cqrsflow/cqrsflow/query"
)

func TestParse(t *testing.T) {
	w := func(key, terms string, prefix bool) word {
		return word{Key: key, Terms: strings.Fields(terms), Prefix: prefix}
	}
	bare := func(key string, prefix bool) word { return word{Key: key, Terms: []string{}, Prefix: prefix} }
	for q, want := range map[string][]word{
		"":                       nil,
		" \t\n":                  nil,
		"* ** ":                  nil,
		`""`:                     nil,
		"Blue Shirt":             {w("blue", "blue", false), w("shirt", "shirt", true)},
		"blue* shirt":            {w("blue", "blue", true), w("shirt", "shirt", true)},
		"shirt ":                 {w("shirt", "shirt", true)},
		`"Blue  Shirt"`:          {w("blue shirt", "blue shirt", false)},
		`"blue shirt" gift`:      {w("blue shirt", "blue shirt", false), w("gift", "gift", true)},
		`gift "blue shirt"`:      {w("gift", "gift", false), w("blue shirt", "blue shirt", false)},
		`gift"blue shirt"box`:    {w("gift", "gift", false), w("blue shirt", "blue shirt", false), w("box", "box", true)},
		`"never closed`:          {w("never closed", "never closed", false)},
		`"phrase*"`:              {w("phrase*", "phrase", false)},
		"“typographic” „quotes“": {w("typographic", "typographic", false), w("quotes", "quotes", false)},
		"AB-12":                  {w("ab-12", "ab 12", true)},
		"& blue":                 {w("blue", "blue", true)},
		"blue &":                 {w("blue", "blue", false)},
		"&":                      {bare("&", true)},
		"# &":                    {bare("#", false), bare("&", true)},
	} {
		require.Empty(t, cmp.Diff(want, parse(q)), "%q", q)
	}
}

func TestCursor(t *testing.T) {
	p, err := Request{Q: "word"}.plan()
	require.NoError(t, err)
	o := &Order{ID: "o-1"}
	text := p.next("60.125", o)
	c, err := parseCursor(text, p)
	require.NoError(t, err)
	require.Equal(t, cursor{Query: p.fingerprint(), Score: "60.125", ID: "o-1"}, c)
	for _, score := range []string{"", "x", "NaN", "Inf", "1e999"} {
		_, err := parseCursor(cursor{Query: p.fingerprint(), Score: score, ID: "o"}.String(), p)
		require.ErrorIs(t, err, query.ErrBadCursor, "score %q", score)
	}
	_, err = parseCursor(cursor{Query: p.fingerprint(), Score: "1", ID: "no/stream"}.String(), p)
	require.ErrorIs(t, err, query.ErrBadCursor)
}

func FuzzCursor(f *testing.F) {
	p, err := Request{Q: "word"}.plan()
	require.NoError(f, err)
	f.Add(p.next("1.5", &Order{ID: "o"}))
	f.Add("eyJxIjoxfQ")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := parseCursor(text, p)
		if err != nil {
			require.ErrorIs(t, err, query.ErrBadCursor)
			return
		}
		require.Equal(t, text, c.String(), "there is one cursor for a place")
	})
}

// A fragment is a part of the text, escaped, with the matches marked and nothing else changed.
func FuzzHighlight(f *testing.F) {
	f.Add("Gift <wrap> & more", "gift")
	f.Add(strings.Repeat("padding ", 60)+"needle “Müller”", `mull "needle müller"`)
	f.Add("東京都 🎉 O'Brien’s", "京 obrien")
	f.Add("a\xffb <em>", "b em")
	f.Fuzz(func(t *testing.T, text, q string) {
		words := parse(q)
		tokens := searchindex.Tokens(nil, text)
		marked := matches(tokens, words)
		got := fragment(text, tokens, marked, fragmentBytes)
		if marked == nil {
			require.Empty(t, got)
			return
		}
		require.Contains(t, got, "<em>")
		require.Equal(t, strings.Count(got, "<em>"), strings.Count(got, "</em>"))
		plain := strings.NewReplacer("<em>", "", "</em>", "").Replace(got)
		require.NotContains(t, plain, "<", "everything else is escaped")
		plain = strings.TrimSuffix(strings.TrimPrefix(plain, "… "), " …")
		require.Contains(t, strings.ToValidUTF8(text, "\ufffd"), strings.ToValidUTF8(html.UnescapeString(plain), "\ufffd"))
	})
}
