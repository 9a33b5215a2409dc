package vault

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

func index(t testing.TB, fill byte) *Index {
	t.Helper()
	x, err := NewIndex(secret.Of(bytes.Repeat([]byte{fill}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestNormaliseEmail(t *testing.T) {
	for in, want := range map[string]string{
		"ada@example.org":                      "ada@example.org",
		" Ada.Lovelace+shop@EXAMPLE.org\n":     "ada.lovelace+shop@example.org",
		"ada@bücher.example":                   "ada@xn--bcher-kva.example",
		"ada@BÜCHER.example":                   "ada@xn--bcher-kva.example",
		"ada@bu\u0308cher.example":             "ada@xn--bcher-kva.example",
		"ada@XN--BCHER-KVA.example":            "ada@xn--bcher-kva.example",
		"ada@example.org.":                     "ada@example.org",
		"ada@ｅｘａｍｐｌｅ.org":                      "ada@example.org",
		"ZO\u00cb@example.org":                 "zo\u00eb@example.org",
		"zoe\u0308@example.org":                "zo\u00eb@example.org",
		"o'neil_1/x=y@sub.example.org":         "o'neil_1/x=y@sub.example.org",
		strings.Repeat("a", 64) + "@a.example": strings.Repeat("a", 64) + "@a.example",
	} {
		got, err := NormaliseEmail(in)
		if err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
		if again, err := NormaliseEmail(got); err == nil && again != got {
			t.Errorf("%q is normalised once more to %q", got, again)
		}
	}
	for _, in := range []string{
		"", "@", "ada", "ada@", "@example.org", "ada@example", "ada@.org", "ada@example..org", "ada@exa mple.org", "a da@example.org", "ada\r\nBcc: x@example.org", "ada@example.org\r\nBcc:x",
		"\"ada\"@example.org", "a@b@example.org", "<ada@example.org>", "Ada <ada@example.org>", "ada@[127.0.0.1]", "ada@exa_mple.org", "ada\x00@example.org", "ada\u200b@example.org", "ada\xff@example.org",
		".ada@example.org", "ada.@example.org", "a..da@example.org", "ada,bob@example.org", "ada@-example.org", "ada@example.org..",
		strings.Repeat("a", 65) + "@example.org", "a@" + strings.Repeat("b", 64) + ".org", "a@" + strings.Repeat("b.", 130) + "org", strings.Repeat("x", 5000) + "@example.org",
	} {
		if got, err := NormaliseEmail(in); !errors.Is(err, event.ErrInvalid) || len(in) > 6 && strings.Contains(err.Error(), in) {
			t.Errorf("%.80q: %q, %v", in, got, err)
		}
	}
}

func TestNamesOfAddresses(t *testing.T) {
	x := index(t, 1)
	a, err := x.Email(" Ada@Example.org")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := x.Email("ada@example.org"); err != nil || a != b {
		t.Errorf("%s and %s, %v", a, b, err)
	}
	// Computed here anew: claims that are in the log must be found for ever.
	mac := hmac.New(sha256.New, secret.DeriveKey(bytes.Repeat([]byte{1}, 32), "index email"))
	mac.Write([]byte("ada@example.org"))
	if want := base64.RawURLEncoding.EncodeToString(mac.Sum(nil)); a != want {
		t.Errorf("%s, want %s", a, want)
	}
	if event.CheckStreamID(a) != nil || strings.Contains(a, "ada") {
		t.Errorf("%s is no stream ID", a)
	}
	other, err := index(t, 2).Email("ada@example.org")
	if err != nil || other == a {
		t.Error("another key gives the same name")
	}
	if _, err := x.Email("ada"); !errors.Is(err, event.ErrInvalid) {
		t.Error(err)
	}
	if _, err := NewIndex(secret.Of(make([]byte, 31))); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
}

func TestNamesOfSources(t *testing.T) {
	x := index(t, 1)
	same := func(a, b string, want bool) {
		t.Helper()
		if got := x.Source(netip.MustParseAddr(a)) == x.Source(netip.MustParseAddr(b)); got != want {
			t.Errorf("%s and %s have the same name: %v", a, b, got)
		}
	}
	same("192.0.2.1", "192.0.2.1", true)
	same("192.0.2.1", "192.0.2.2", false)
	same("192.0.2.1", "::ffff:192.0.2.1", true)
	same("::ffff:192.0.2.1", "::ffff:192.0.2.2", false)
	same("2001:db8::1", "2001:db8::ffff:ffff:ffff:ffff", true)
	same("2001:db8:0:1::1", "2001:db8:0:2::1", false)
	same("fe80::1%eth0", "fe80::2%eth1", true)
	same("192.0.2.1", "2001:db8::1", false)
	if x.Source(netip.Addr{}) == x.Source(netip.MustParseAddr("::1")) {
		t.Error("no address is one")
	}
	if x.Source(netip.MustParseAddr("192.0.2.1")) == index(t, 2).Source(netip.MustParseAddr("192.0.2.1")) {
		t.Error("another key gives the same name")
	}
}

func FuzzNormaliseEmail(f *testing.F) {
	f.Add("Ada@bücher.example")
	f.Add("a@b@c.d")
	f.Fuzz(func(t *testing.T, in string) {
		once, err := NormaliseEmail(in)
		if err != nil {
			return
		}
		twice, err := NormaliseEmail(once)
		if err != nil || once != twice || strings.ContainsAny(once, "\r\n \x00") || strings.Count(once, "@") != 1 || len(once) > maxAddress {
			t.Errorf("%q, %q, %q, %v", in, once, twice, err)
		}
	})
}
