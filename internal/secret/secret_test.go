package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const open = "hunter2-hunter2"

type holder struct {
	Public Text
	hidden Text
	bytes  Bytes
	keys   Keys
}

func TestSecretsAreMaskedHoweverTheyAreShown(t *testing.T) {
	keys, err := ParseKeys("k1:" + base64.StdEncoding.EncodeToString([]byte(strings.Repeat(open, 3))))
	if err != nil {
		t.Fatal(err)
	}
	h := holder{Of(open), Of(open), Of([]byte(open)), keys}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		l := slog.New(handler)
		l.Info("x", "value", h.Public, "struct", h, "pointer", &h, "bytes", h.bytes, "keys", keys)
	}
	shown := log.String()
	for _, v := range []any{h, &h, h.Public, h.hidden, h.bytes, keys, []Text{h.Public}, map[string]Bytes{"a": h.bytes}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			shown += fmt.Sprintf(verb, v)
		}
		j, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		shown += string(j)
	}
	for _, form := range []string{open, fmt.Sprintf("%x", open), fmt.Sprintf("%X", open), fmt.Sprintf("%d", []byte(open))[1:20], base64.StdEncoding.EncodeToString([]byte(open))} {
		if strings.Contains(shown, form) {
			t.Errorf("%q is shown", form)
		}
	}
	j, err := json.Marshal(map[string]any{"t": h.Public, "b": h.bytes})
	if err != nil || string(j) != `{"b":"[secret]","t":"[secret]"}` || !strings.Contains(shown, Masked) {
		t.Errorf("nothing says that something is hidden: %s, %v", j, err)
	}
	if h.Public.Reveal() != open || (Text{}).Reveal() != "" {
		t.Error("what was hidden is not what is revealed")
	}
}

func key(fill byte, n int) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{fill}, n))
}

func TestKeysOfAConfiguration(t *testing.T) {
	keys, err := ParseKeys(" 2026b:" + key(2, 32) + ",2026a:" + strings.TrimRight(key(0xff, 33), "=") + " ")
	if err != nil {
		t.Fatal(err)
	}
	if id, k := keys.Current(); id != "2026b" || !bytes.Equal(k, bytes.Repeat([]byte{2}, 32)) {
		t.Errorf("the current key is %s", id)
	}
	if k, ok := keys.Get("2026a"); !ok || len(k) != 33 {
		t.Error("the older key is not there")
	}
	if _, ok := keys.Get("2025"); ok {
		t.Error("a key that nobody gave")
	}
	url, err := ParseKey(base64.URLEncoding.EncodeToString(bytes.Repeat([]byte{0xff}, 32)))
	if err != nil || !bytes.Equal(url.Reveal(), bytes.Repeat([]byte{0xff}, 32)) {
		t.Errorf("a key in the URL alphabet: %v", err)
	}
	for in, want := range map[string]string{
		"":                "key 1 has no ID",
		key(1, 32):        "key 1 has no ID",
		"A:" + key(1, 32): "the ID of key 1",
		strings.Repeat("a", 17) + ":" + key(1, 32): "the ID of key 1",
		"a:" + key(1, 31):                          "31 bytes",
		"a:!!" + key(1, 32):                        "not base64",
		"a:" + key(1, 32) + ",a:" + key(2, 32):     "twice",
		"a:" + key(1, 32) + ",":                    "key 2 has no ID",
	} {
		_, err := ParseKeys(in)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
		if err != nil && strings.Contains(err.Error(), key(1, 32)[:20]) {
			t.Errorf("the message shows the key: %v", err)
		}
	}
}

func TestDerivedKeysAreApart(t *testing.T) {
	keys, err := ParseKeys("a:" + key(1, 32) + ",b:" + key(2, 32))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range []Keys{keys, keys.Derive("x"), keys.Derive("y")} {
		for _, id := range []string{"a", "b"} {
			b, _ := k.Get(id)
			seen[string(b)] = true
		}
	}
	if len(seen) != 6 {
		t.Errorf("%d different keys, want 6", len(seen))
	}
	// A golden value: what was sealed under a derived key must open for ever.
	if got := fmt.Sprintf("%x", DeriveKey(bytes.Repeat([]byte{1}, 32), "x")); got != "814d070433700ec909ad50a0fbfbb9c9d9343bdbf6a55b679aa5f7b05ad745ac" {
		t.Errorf("derived %s", got)
	}
}
