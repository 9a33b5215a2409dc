package password

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// refusal checks a password and returns the code of the refusal, or nothing. It must not be in the message.
func refusal(t *testing.T, p Policy, password string) string {
	t.Helper()
	err := p.Check(secret.Of(password))
	if err == nil {
		return ""
	}
	var r *Refused
	if !errors.As(err, &r) || !errors.Is(err, event.ErrInvalid) {
		t.Fatalf("%T: %v", err, err)
	}
	if len(password) > 8 && strings.Contains(err.Error(), password) {
		t.Errorf("the message quotes the password %q", password)
	}
	return r.Code
}

func TestLengths(t *testing.T) {
	const alone, withFactor = "kv9#Lm2^tXq&w4Z", "kv9#Lm2^"
	for _, tc := range []struct {
		name, password string
		factor         bool
		want           string
	}{
		{"15 alone", alone, false, ""},
		{"14 alone", alone[:14], false, "password_too_short"},
		{"8 with a second factor", withFactor, true, ""},
		{"7 with a second factor", withFactor[:7], true, "password_too_short"},
		{"characters, not bytes", "äöüßéèêñçåøæ", false, "password_too_short"},
		{"characters of three bytes", "日本語東京山川田中木村空海雨雪", false, ""},
		{"composed characters are one", strings.Repeat("e\u0301x", 7), false, "password_too_short"},
		{"64 of many words", "seventeen walruses quietly juggling umbrellas over Reykjavik bay", false, ""},
		{"spaces, Unicode, emoji", "mein Hund 🐕 frißt gern Brötchen", false, ""},
		{"only lower case", "walrusjugglesumbrellas", false, ""},
		{"4096 bytes", longPassword(MaxBytes), false, ""},
		{"4097 bytes", longPassword(MaxBytes + 1), false, "password_too_long"},
		{"no text", "kv9#Lm2^tXq&w4Z\xff\xfe", false, "password_not_text"},
		{"empty", "", true, "password_too_short"},
	} {
		if got := refusal(t, Policy{SecondFactor: tc.factor}, tc.password); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func longPassword(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "%c%d ", 'a'+i*7%26, i*i)
	}
	return b.String()[:n]
}

func TestCommonPasswordsAreRefused(t *testing.T) {
	for _, password := range []string{
		"password", "PASSWORD", "Passw0rd", "p@ssw0rd", "P455w0rd!", "password1", "password123", "Password2026!", "passwordpassword", "password-password-password",
		"12345678", "123456789012345", "87654321", "11111111", "1234512345", "20260131", "aaaaaaaaaaaaaaa", "abcdefgh", "abcdefghijklmnop", "zyxwvutsrq", "abababababababab",
		"qwertyuiop", "qwertyuiopasdfghjkl", "asdfghjkl", "1qaz2wsx3edc4rfv", "1q2w3e4r5t6y", "zaq12wsx", "qazwsxedcrfv", "!@#$%^&*", "poiuytrewq",
		"iloveyou", "ILoveYou4ever", "iloveyouforever1", "sunshine", "Sunshine2025", "princess1", "football", "monkey123", "dragon!!!!!!!!!!!", "letmein123456", "welcome1",
		"superman12345678", "trustno1", "starwars", "michael1987", "Summer2026!", "Winter.2025", "correcthorsebatterystaple", "Chöcolate1234567", "liverpool", "ｐａｓｓｗｏｒｄ",
		"changeme", "hellohello", "computer", "baseball", "jennifer", "michelle", "jordan23", "11223344", "1password1", "charlie1", "administrator",
	} {
		if got := refusal(t, Policy{SecondFactor: true}, password); got != "password_common" {
			t.Errorf("%q: %q", password, got)
		}
	}
	for _, password := range []string{
		"correct horse battery table", "walrus umbrella", "g7Kp2xQz", "toast beast soot east", "my cat ate seven tiny lamps", "xkpqjvwz", "Tr0ub4dor&3xkcd936", "3.14 ist keine ganze Zahl",
	} {
		if got := refusal(t, Policy{SecondFactor: true}, password); got != "" {
			t.Errorf("%q: %q", password, got)
		}
	}
	if n := len(common); n < 1200 {
		t.Errorf("the list has %d words", n)
	}
}

func TestContextWordsAreRefused(t *testing.T) {
	p := Policy{Context: []string{"Ada Lovelace", "countess.byron@engines.example.org", "Müller-Großmann"}}
	for _, password := range []string{
		"i work with cqrsflow daily", "CQRS-is-fun cqrsf10w forever", "seventeen LOVELACE walruses", "l0ve1ace juggles umbrellas", "the countess juggles lamps", "walrus engines overflow", "mulleR walks seventeen dogs",
	} {
		if got := refusal(t, p, password); got != "password_context" {
			t.Errorf("%q: %q", password, got)
		}
	}
	for _, password := range []string{"seventeen adamant walruses", "organ grinders eat lamps"} { // "Ada" and "org" are too short to count
		if got := refusal(t, p, password); got != "" {
			t.Errorf("%q: %q", password, got)
		}
	}
}

// What judging costs at most.
func BenchmarkPolicyOfALongPassword(b *testing.B) {
	password := secret.Of(strings.Repeat("a", MaxBytes))
	for b.Loop() {
		_ = Policy{}.Check(password)
	}
}
