package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cqrsflow/cqrsflow/services/identity/token"
)

// What the role identity lacks, or cannot use, is said before anything has begun, with the setting to change; no secret is shown.
func TestServeIdentitySaysWhatItLacks(t *testing.T) {
	keys, empty := t.TempDir(), t.TempDir()
	if err := token.EnsureKey(keys); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	key := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	given := func(change ...string) []string {
		settings := map[string]string{"KAFKA_BROKERS": "127.0.0.1:1", "POSTGRES_URL": "postgres://a@127.0.0.1:1/x", "IDENTITY_ISSUER": "https://id.example", "IDENTITY_PUBLIC_URL": "https://shop.example",
			"IDENTITY_TOKEN_KEYS": keys, "IDENTITY_KEKS": "a:" + key, "IDENTITY_INDEX_KEY": key, "IDENTITY_MAIL_FROM": "Shop <shop@shop.example>", "IDENTITY_SMTP_ADDR": "127.0.0.1:25"}
		for i := 0; i < len(change); i += 2 {
			settings[change[i]] = change[i+1]
		}
		var out []string
		for name, value := range settings {
			if value != "" {
				out = append(out, "CQRSFLOW_"+name+"="+value)
			}
		}
		return out
	}
	for name, c := range map[string]struct {
		change []string
		want   string
	}{
		"no keys":           {[]string{"IDENTITY_KEKS", ""}, "needs identity.keks (--identity-keks-file, CQRSFLOW_IDENTITY_KEKS or CQRSFLOW_IDENTITY_KEKS_FILE)"},
		"a short key":       {[]string{"IDENTITY_INDEX_KEY", "c2hvcnQ"}, "CQRSFLOW_IDENTITY_INDEX_KEY"},
		"no way for mails":  {[]string{"IDENTITY_SMTP_ADDR", ""}, "needs identity.smtp.addr (--identity-smtp-addr or CQRSFLOW_IDENTITY_SMTP_ADDR), or"},
		"two ways":          {[]string{"IDENTITY_OUTBOX", empty}, "both identity.outbox and identity.smtp.addr"},
		"no signing key":    {[]string{"IDENTITY_TOKEN_KEYS", empty}, "identity.token_keys (--identity-token-keys"},
		"no such folder":    {[]string{"IDENTITY_TOKEN_KEYS", file}, "identity.token_keys (--identity-token-keys"},
		"no sender":         {[]string{"IDENTITY_MAIL_FROM", "nobody"}, "identity.mail_from"},
		"an outbox of file": {[]string{"IDENTITY_SMTP_ADDR", "", "IDENTITY_OUTBOX", file}, "identity.outbox (--identity-outbox"},
		"not a URL":         {[]string{"IDENTITY_PUBLIC_URL", "shop.example"}, "CQRSFLOW_IDENTITY_PUBLIC_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, errs := cqrsflow(t, "", given(c.change...), "serve", "--roles", "identity", "--http", "127.0.0.1:0", "--ops", "127.0.0.1:0")
			if code == 0 || !strings.Contains(errs, c.want) || strings.Contains(errs, key) || strings.Contains(errs, "c2hvcnQ") {
				t.Errorf("%d, want %q: %s", code, c.want, errs)
			}
		})
	}
}
