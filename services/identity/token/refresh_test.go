package token

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

func TestRefreshTokens(t *testing.T) {
	a, b := NewRefresh(), NewRefresh()
	if a.Hash() == b.Hash() || a.Text().Reveal() == b.Text().Reveal() {
		t.Error("two are the same")
	}
	text := a.Text().Reveal()
	if len(text) != 5+43 || !strings.HasPrefix(text, "cqrt_") || event.CheckStreamID(a.Hash().String()) != nil {
		t.Errorf("%s, %s", text, a.Hash())
	}
	again, err := ParseRefresh(secret.Of(text))
	if err != nil || again.Hash() != a.Hash() {
		t.Errorf("%v", err)
	}
	s := newSide(t)
	for _, bad := range []string{"", text[5:], text[:47], text + "A", "CQRT_" + text[5:], text + "=", text[:40] + "\n" + text[40:], " " + text, text[:47] + "B" + "", s.issue(t).Reveal()} {
		if bad == text {
			continue
		}
		r, err := ParseRefresh(secret.Of(bad))
		if !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%q is read as a token: %v", bad, r.Hash() == a.Hash())
		}
		if err != nil && len(bad) > 10 && strings.Contains(err.Error(), bad[5:15]) {
			t.Errorf("the message quotes it: %v", err)
		}
	}
}

// A spelling whose last character has bits that count for nothing is not a second token for the same hash.
func TestOneSpelling(t *testing.T) {
	text := Refresh{secret.Of([32]byte{})}.Text().Reveal()
	if _, err := ParseRefresh(secret.Of(text)); err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRefresh(secret.Of(text[:47] + "B")); !errors.Is(err, event.ErrInvalid) {
		t.Error(err)
	}
}

func TestSuccessorIsSealed(t *testing.T) {
	presented, successor, other := NewRefresh(), NewRefresh(), NewRefresh()
	sealed := presented.Seal(successor)
	got, err := presented.Open(sealed)
	if err != nil || got.Hash() != successor.Hash() {
		t.Fatalf("%v", err)
	}
	plain := successor.Reveal()
	if bytes.Contains(sealed, plain[:8]) || bytes.Equal(sealed, presented.Seal(successor)) {
		t.Error("it is not sealed, or always in the same way")
	}
	for _, who := range []Refresh{other, successor, {}} {
		if _, err := who.Open(sealed); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%v", err)
		}
	}
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := presented.Open(damaged); !errors.Is(err, event.ErrInvalid) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for n := range len(sealed) {
		if _, err := presented.Open(sealed[:n]); !errors.Is(err, event.ErrInvalid) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if _, err := presented.Open(append(sealed, 0)); !errors.Is(err, event.ErrInvalid) {
		t.Error(err)
	}
}
