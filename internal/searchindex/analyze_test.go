package searchindex

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestTerms(t *testing.T) {
	for text, want := range map[string]string{
		"":                             "",
		"Blue Shirt, XL!":              "blue|shirt|xl",
		"AB-12/c":                      "ab|12|c",
		"O'Brien’s 'quoted' dogs' '":   "obriens|quoted|dogs",
		"11.77":                        "11|77",
		"Straße İstanbul ÅNGSTRÖM":     "strasse|istanbul|angstrom",
		"e\u0301te\u0301 été":          "ete|ete",
		"ﬁne ½ ㎏ Ａ１":                   "fine|12|kg|a1",
		"東京タワー":                        "東|京|タ|ワ|ー",
		"abc東def":                      "abc|東|def",
		"soft\u00adhyphen zw\u200dj":   "softhyphen|zwj",
		"🎉party🎉":                      "🎉|party|🎉",
		"❤️ ❤":                         "❤|❤",
		"ΟΔΥΣΣΕΥΣ ς":                   "οδυσσευσ|σ",
		"नमस्ते":                       "नमस्ते",
		"a\u0000b\x1ec":                "a|b|c",
		"\u0301 lone mark":             "lone|mark",
		"\xff\xfebroken\xff":           "broken",
		strings.Repeat("y", 100):       strings.Repeat("y", 64),
		strings.Repeat("ü", 100) + " ": strings.Repeat("u", 64),
	} {
		require.Equal(t, want, strings.Join(Terms(text), "|"), "%q", text)
	}
}

func TestKey(t *testing.T) {
	for text, want := range map[string]string{
		"": "", " ": "", "SKU-1001": "sku-1001", "Ä  B\tc ": "a b c", "ＡＢ": "ab", "#": "#", "cdnow-00001": "cdnow-00001", "x\u200dy": "xy",
		strings.Repeat("é", 300): strings.Repeat("e", 256), strings.Repeat("東", 300): strings.Repeat("東", 85),
	} {
		require.Equal(t, want, Key(text), "%q", text)
	}
}

// Whatever the text: terms are valid, have no spaces, come from their place, and mean themselves.
func FuzzTokens(f *testing.F) {
	for _, seed := range []string{"Blue Shirt", "O'Brien’s", "東京タワー ｶﾞ", "e\u0301\u200d❤️🎉", "\xff\x00", "ﬁ ½ İ ς ß ﷺ", "'''", "a'", "\u0e33\u0e01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		end := 0
		for _, token := range Tokens(nil, text) {
			require.GreaterOrEqual(t, token.Start, end)
			require.Greater(t, token.End, token.Start)
			require.LessOrEqual(t, token.End, len(text))
			end = token.End
			require.NotEmpty(t, token.Term)
			require.True(t, utf8.ValidString(token.Term), "%q", token.Term)
			require.Len(t, strings.Fields(token.Term), 1, "%q", token.Term)
			require.LessOrEqual(t, utf8.RuneCountInString(token.Term), maxTerm)
		}
		key := Key(text)
		require.LessOrEqual(t, len(key), maxKey)
		require.Equal(t, strings.Join(strings.Fields(key), " "), key)
	})
}
