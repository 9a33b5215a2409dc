package totp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

var rfcSeed = []byte("12345678901234567890")

func seed(t testing.TB) Seed {
	t.Helper()
	s, err := ParseSeed(rfcSeed)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// RFC 6238, appendix B, SHA-1; and RFC 4226, appendix D.
func TestVectors(t *testing.T) {
	for unix, want := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		when := time.Unix(unix, 0)
		if got := at(rfcSeed, Step(when), 8); got != want {
			t.Errorf("at %d: %s, want %s", unix, got, want)
		}
		if got := Code(seed(t), when); got != want[2:] {
			t.Errorf("six digits at %d: %s, want %s", unix, got, want[2:])
		}
		if step, ok := Verify(seed(t), want[2:], when, 0); !ok || step != unix/30 {
			t.Errorf("verify at %d: %d, %v", unix, step, ok)
		}
	}
	for counter, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got := at(rfcSeed, int64(counter), 6); got != want {
			t.Errorf("counter %d: %s, want %s", counter, got, want)
		}
	}
}

func TestWindow(t *testing.T) {
	s, now := seed(t), time.Unix(1111111111, 0)
	for steps := int64(-3); steps <= 3; steps++ {
		code := Code(s, now.Add(time.Duration(steps)*Period))
		step, ok := Verify(s, code, now, 0)
		if want := steps >= -1 && steps <= 1; ok != want || ok && step != Step(now)+steps {
			t.Errorf("%d steps away: %d, %v", steps, step, ok)
		}
	}
	for _, code := range []string{"", "05047", "050472", "0504711", "١٤٠٥٠٤", "-50471", "\x00\x00\x00\x00\x00\x00"} {
		if _, ok := Verify(s, code, now, 0); ok {
			t.Errorf("%q is accepted", code)
		}
	}
	if _, ok := Verify(s, "050 471 ", now, 0); !ok {
		t.Error("spaces are not ignored")
	}
	other, err := ParseSeed([]byte("another seed, not it"))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := Verify(other, "050471", now, 0); ok {
		t.Error("another seed has this code")
	}
}

// However codes are tried, each step is accepted once, and in order.
func TestACodeWorksOnce(t *testing.T) {
	s, start := seed(t), time.Unix(1111111111, 0)
	rapid.Check(t, func(t *rapid.T) {
		var last int64
		now := start
		for range rapid.IntRange(1, 30).Draw(t, "tries") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "seconds")) * time.Second)
			shown := now.Add(time.Duration(rapid.IntRange(-2, 2).Draw(t, "skew")) * Period)
			step, ok := Verify(s, Code(s, shown), now, last)
			if !ok {
				continue
			}
			if step <= last || step < Step(now)-1 || step > Step(now)+1 {
				t.Fatalf("step %d is accepted after %d", step, last)
			}
			last = step
			if _, again := Verify(s, Code(s, time.Unix(step*30, 0)), now, last); again {
				t.Fatal("it works twice")
			}
		}
	})
}

func TestURI(t *testing.T) {
	uri, err := seed(t).URI("Acme Shop & Co", "ada@example.org")
	if err != nil {
		t.Fatal(err)
	}
	const want = "otpauth://totp/Acme%20Shop%20&%20Co:ada@example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Acme%20Shop%20%26%20Co&algorithm=SHA1&digits=6&period=30"
	if uri.Reveal() != want {
		t.Errorf("%s", uri.Reveal())
	}
	u, err := url.Parse(uri.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	if u.Path != "/Acme Shop & Co:ada@example.org" || u.Query().Get("issuer") != "Acme Shop & Co" || u.Query().Get("secret") != seed(t).Base32() {
		t.Errorf("it is read as %q, %v", u.Path, u.Query())
	}
	for _, bad := range [][2]string{{"", "a"}, {"a", ""}, {"a:b", "c"}, {"a", "b:c"}} {
		if _, err := seed(t).URI(bad[0], bad[1]); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestSeeds(t *testing.T) {
	a, b := NewSeed(), NewSeed()
	if len(a.Bytes()) != 20 || string(a.Bytes()) == string(b.Bytes()) {
		t.Error("seeds are not 160 random bits")
	}
	again, err := ParseSeed(a.Bytes())
	if err != nil || again.Base32() != a.Base32() {
		t.Error("a stored seed is another one")
	}
	if _, err := ParseSeed(rfcSeed[:19]); !errors.Is(err, event.ErrUndecodable) {
		t.Error(err)
	}
	j, err := json.Marshal(struct{ S Seed }{a})
	if err != nil {
		t.Fatal(err)
	}
	shown := fmt.Sprintf("%v %+v %#v %x %d %v", a, a, a, a, a, struct{ s Seed }{a}) + string(j)
	for _, form := range []string{a.Base32(), fmt.Sprintf("%x", a.Bytes()), strings.Trim(fmt.Sprintf("%d", a.Bytes()), "[]")} {
		if strings.Contains(shown, form) {
			t.Errorf("a seed is shown: %s", shown)
		}
	}
}

func recovery(t testing.TB, keys secret.Keys) *Recovery {
	t.Helper()
	r, err := NewRecovery(keys)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRecoveryCodes(t *testing.T) {
	r := recovery(t, secret.Generate("a"))
	codes := NewRecoveryCodes(RecoveryCodes)
	var hashes []string
	seen := map[string]bool{}
	for _, c := range codes {
		h, err := r.Hash("u-1", c)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, h)
		seen[c.Reveal()], seen[h] = true, true
		if len(c.Reveal()) != 19 || c.Reveal()[4] != '-' || strings.ContainsAny(c.Reveal(), "ILOU") || strings.Contains(h, c.Reveal()) {
			t.Errorf("%s, %s", c.Reveal(), h)
		}
	}
	if len(seen) != 2*RecoveryCodes {
		t.Error("codes or hashes repeat")
	}
	for i, c := range codes {
		plain := c.Reveal()
		for _, typed := range []string{plain, strings.ToLower(plain), strings.ReplaceAll(plain, "-", ""), " " + strings.ReplaceAll(plain, "-", " ") + " ",
			strings.ReplaceAll(plain, "0", "o"), strings.ReplaceAll(strings.ReplaceAll(plain, "1", "l"), "0", "O"), strings.ReplaceAll(plain, "1", "I")} {
			if got := r.Match("u-1", secret.Of(typed), hashes); got != i {
				t.Errorf("%q is code %d, want %d", typed, got, i)
			}
		}
		if got := r.Match("u-2", c, hashes); got != -1 {
			t.Error("another user's code is accepted")
		}
		if got := recovery(t, secret.Generate("a")).Match("u-1", c, hashes); got != -1 {
			t.Error("a code is accepted under another key")
		}
	}
	for _, typed := range []string{"", "-", "0000-0000-0000-0000", codes[0].Reveal()[:18], codes[0].Reveal() + "0", strings.Repeat("U", 16), strings.Repeat("é", 8), "0000000U00000000"} {
		if got := r.Match("u-1", secret.Of(typed), hashes); got != -1 {
			t.Errorf("%q is accepted", typed)
		}
	}
	for _, typed := range []string{"", "0000000U00000000"} {
		if _, err := r.Hash("u-1", secret.Of(typed)); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%q: %v", typed, err)
		}
		// A hash of no code must not be matched by no code.
		id, key := r.keys.Current()
		if got := r.Match("u-1", secret.Of(typed), []string{recoveryHash(id, key, "u-1", "")}); got != -1 {
			t.Errorf("%q is accepted", typed)
		}
	}
	// A key nobody has is no key at all, rather than the empty one.
	plain, _ := normaliseRecovery(codes[0].Reveal())
	if got := r.Match("u-1", codes[0], []string{recoveryHash("zz", nil, "u-1", plain), "", ":", "a"}); got != -1 {
		t.Error("a hash under no key is accepted")
	}
	if _, err := NewRecovery(secret.Keys{}); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
}

func BenchmarkVerify(b *testing.B) {
	s, now := seed(b), time.Unix(1111111111, 0)
	for b.Loop() {
		if _, ok := Verify(s, "050471", now, 0); !ok {
			b.Fatal()
		}
	}
}
