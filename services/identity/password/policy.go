package password

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// Bounds. Characters are Unicode code points of the normalised password.
const (
	// MinAlone is the least number of characters where the password is the only factor.
	MinAlone = 15
	// MinWithFactor is the least where a second factor is enforced.
	MinWithFactor = 8
	// MaxBytes bounds a password in UTF-8. A longer one is refused; nothing is ever cut off.
	MaxBytes = 4096
)

// Refused says why a password is not taken. It wraps event.ErrInvalid.
type Refused struct {
	// Code is stable: password_too_short, password_too_long, password_not_text, password_common or password_context.
	Code string
	// Message is for the person who chose the password; it never quotes it.
	Message string
}

// Error returns the code and the message.
func (r *Refused) Error() string { return r.Code + ": " + r.Message }

// Unwrap returns event.ErrInvalid.
func (r *Refused) Unwrap() error { return event.ErrInvalid }

// Policy judges new passwords. There are no rules about kinds of characters, and no age after which a password must change.
type Policy struct {
	// SecondFactor says that the user cannot log in without a second factor.
	SecondFactor bool
	// Context are the texts that an attacker would try first for this user: name, e-mail address, names of the service.
	// "cqrsflow" always counts.
	Context []string
}

// Check returns nil, or a *Refused.
func (p Policy) Check(password secret.Text) error {
	plain := password.Reveal()
	if !utf8.ValidString(plain) {
		return &Refused{"password_not_text", "the password is not valid UTF-8"}
	}
	if len(plain) > MaxBytes {
		return &Refused{"password_too_long", fmt.Sprintf("the password has %d bytes; at most %d are allowed", len(plain), MaxBytes)}
	}
	plain = normalise(plain)
	atLeast := MinAlone
	if p.SecondFactor {
		atLeast = MinWithFactor
	}
	if n := utf8.RuneCountInString(plain); n < atLeast {
		return &Refused{"password_too_short", fmt.Sprintf("the password has %d characters; it needs %d at least", n, atLeast)}
	}
	lower, words := fold(plain)
	for _, word := range contextWords(p.Context) {
		if strings.Contains(words, word) {
			return &Refused{"password_context", "the password contains a name or an address that belongs to this account or service; choose one without it"}
		}
	}
	if pieces(lower, words, tooFew+1) <= tooFew {
		return &Refused{"password_common", "the password is made of one or two words or patterns that are tried first; choose several words that do not belong together"}
	}
	return nil
}

// minContext is the shortest word of a context that counts: shorter ones are in too much.
const minContext = 4

// contextWords are the words of the texts, folded: "Ada.Lovelace@example.org" gives lovelace and example.
func contextWords(texts []string) []string {
	var words []string
	for _, text := range append([]string{"cqrsflow"}, texts...) {
		for _, word := range strings.FieldsFunc(norm.NFKC.String(text), func(r rune) bool { return strings.ContainsRune(" .@_-+,;:'’\"/\\()\t", r) }) {
			if utf8.RuneCountInString(word) >= minContext {
				_, folded := fold(word)
				words = append(words, folded)
			}
		}
	}
	return words
}
