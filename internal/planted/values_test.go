package planted

import (
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"strings"
	"testing"
)

// Every form is found wherever it stands; else tests would find nothing because they look for nothing.
func TestPlantedValuesWouldBeFound(t *testing.T) {
	v := Values{}
	v.Add("name", []byte("Ada Planted-Lovelace"))
	for _, before := range []string{"", "a", "ab", "abc"} {
		text := []byte(before + "Ada Planted-Lovelace" + before)
		for _, data := range []string{string(text), hex.EncodeToString(text), base64.StdEncoding.EncodeToString(text), base64.RawURLEncoding.EncodeToString(text),
			url.QueryEscape(string(text))} {
			if len(v.In([]byte(data))) != 1 {
				t.Errorf("not found in %q", data)
			}
		}
	}
	if found := v.In([]byte("Ada Planted")); found != nil {
		t.Errorf("%q is found where it is not", found)
	}
}

func TestTokensAreTakenApart(t *testing.T) {
	raw := strings.Repeat("r", 32)
	secret := base64.RawURLEncoding.EncodeToString([]byte(raw))
	for what, text := range map[string]string{"refresh token": "cqrt_" + secret + ".s-1", "access token": "aGVhZA.Y2xhaW1z." + secret} {
		v := Values{}
		if err := v.AddToken(what, text); err != nil || len(v.In([]byte(raw))) != 1 || len(v.In([]byte(secret))) != 1 || len(v.In([]byte("aGVhZA"))) != 0 {
			t.Errorf("%s: %v", what, err)
		}
		if err := v.AddToken(what, "short"); err == nil {
			t.Errorf("%s: one without a secret is taken", what)
		}
	}
}
