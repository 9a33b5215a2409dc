package password

import (
	_ "embed" // common.txt
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// tooFew is how many pieces a password may not be made of: passwords of one or two are the ones that are tried first.
const tooFew = 2

// commonText are words that common passwords are made of, by hand: those of the lists of passwords that leaked most often.
//
//go:embed common.txt
var commonText string

// common holds the words, folded as passwords are; longest is the longest one's number of bytes.
var common, longest = func() (map[string]bool, int) {
	words, longest := map[string]bool{}, 0
	for _, line := range strings.Split(commonText, "\n") {
		if strings.HasPrefix(line, "#") {
			continue
		}
		for _, w := range strings.Fields(line) {
			_, w = fold(w)
			words[w] = true
			longest = max(longest, len(w))
		}
	}
	return words, longest
}()

// unleet undoes what people do to letters, byte for byte. 1 stands for i and for l: all three become one.
var unleet = strings.NewReplacer("0", "o", "1", "i", "3", "e", "4", "a", "5", "s", "7", "t", "8", "b", "@", "a", "$", "s", "!", "i", "|", "i", "l", "i")

// fold makes of a password what a guesser would try it as: plain is lower case without accents, and words has letters for the
// digits and signs that stand for them as well. Both have the same length. It is only for judging, not for hashing.
func fold(s string) (plain, words string) {
	plain = strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return unicode.ToLower(r)
	}, norm.NFKD.String(s))
	return plain, unleet.Replace(plain)
}

// runs are what fingers find without thinking, forwards and backwards.
var runs = func() []string {
	rows := []string{
		"01234567890", "abcdefghijklmnopqrstuvwxyz", "!@#$%^&*()_+", "qwertyuiop[]", "asdfghjkl;'", "zxcvbnm,./",
		"qwertzuiop", "yxcvbnm", "azertyuiop", "qsdfghjklm", "wxcvbn", "qazwsxedcrfvtgbyhnujmikolp", "zaqxswcdevfrbgtnhymju",
		"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p;/", "1q2w3e4r5t6y7u8i9o0p", "q1w2e3r4t5y6u7i8o9p0", "147258369", "789456123", "159753",
	}
	for _, row := range rows {
		back := []byte(row)
		slices.Reverse(back)
		rows = append(rows, string(back))
	}
	return rows
}()

// Bounds of pieces, in characters and bytes.
const (
	minRun    = 4
	maxNumber = 8
	maxYear   = 4
	// maxRepeat is the longest part whose repetition is noticed: it bounds the work on long passwords.
	maxRepeat = 64
)

// pieces is the least number of pieces that make up a password, given as fold gives it, as far as limit. A piece is a common
// word, a run of at least four characters on a keyboard or in the alphabet, a number of up to eight digits, or any other
// character. Signs between words, a number of up to four digits at either end, and what stood immediately before once more
// cost nothing.
func pieces(plain, words string, limit int) int {
	// least[i] is that number for the first i bytes.
	least := make([]int, len(plain)+1)
	for i := 1; i < len(least); i++ {
		least[i] = len(least)
	}
	for i := range plain {
		reach := func(n, cost int) { least[i+n] = min(least[i+n], least[i]+cost) }
		rest := len(plain) - i
		_, size := utf8.DecodeRuneInString(plain[i:])
		if isBetween(plain[i]) {
			reach(size, 0)
		} else {
			reach(size, 1)
		}
		for n := 1; n <= min(rest, longest); n++ {
			if common[words[i:i+n]] {
				reach(n, 1)
			}
		}
		for n := 1; n <= min(rest, maxNumber) && plain[i+n-1] >= '0' && plain[i+n-1] <= '9'; n++ {
			if n <= maxYear && (i == 0 || n == rest) {
				reach(n, 0)
			} else {
				reach(n, 1)
			}
		}
		for n := minRun; n <= rest && isRun(plain[i:i+n]); n++ {
			reach(n, 1)
		}
		for n := 1; n <= min(rest, i, maxRepeat); n++ {
			if words[i-n:i] == words[i:i+n] {
				reach(n, 0)
			}
		}
	}
	return min(least[len(plain)], limit)
}

// isBetween knows what is put between and behind words.
func isBetween(c byte) bool { return strings.IndexByte(" -_.,;:+*#/?!&%=~^'\"", c) >= 0 }

func isRun(s string) bool {
	return slices.ContainsFunc(runs, func(row string) bool { return strings.Contains(row, s) })
}
