package token

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// A key is changed while tokens of the old one are out: step by step, as the documentation says.
func TestKeysChangeWithAnOverlap(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "2026-05.pem", newKey(t))
	f := folder(t, dir)
	i, err := NewIssuer(IssuerConfig{Issuer: issuer, Audience: audience, Keys: f.Keys})
	if err != nil {
		t.Fatal(err)
	}
	v, err := NewVerifier(VerifierConfig{Issuer: issuer, Audience: audience, Keys: f, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	issue := func() secret.Text {
		token, _, err := i.Issue("u-1", "s-1", nil, now)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	reload := func(signer string, ids ...string) {
		t.Helper()
		if err := f.Reload(); err != nil {
			t.Fatal(err)
		}
		if s := f.Keys(); s.SignerID() != signer || !slices.Equal(s.IDs(), ids) {
			t.Errorf("%s signs, %v verify; want %s, %v", s.SignerID(), s.IDs(), signer, ids)
		}
	}
	verify := func(token secret.Text, ok bool) {
		t.Helper()
		if _, err := v.Verify(t.Context(), token); (err == nil) != ok || err != nil && !errors.Is(err, ErrRefused) {
			t.Errorf("%v", err)
		}
	}
	old := issue()
	write(t, dir, "2026-08.next.pem", newKey(t))
	reload("2026-05", "2026-05", "2026-08")
	if err := os.Rename(filepath.Join(dir, "2026-08.next.pem"), filepath.Join(dir, "2026-08.pem")); err != nil {
		t.Fatal(err)
	}
	reload("2026-08", "2026-05", "2026-08")
	fresh := issue()
	verify(old, true)
	verify(fresh, true)
	if err := os.Remove(filepath.Join(dir, "2026-05.pem")); err != nil {
		t.Fatal(err)
	}
	reload("2026-08", "2026-08")
	verify(old, false)
	verify(fresh, true)
	// The same name with another key is another key.
	write(t, dir, "2026-08.pem", newKey(t))
	reload("2026-08", "2026-08")
	verify(fresh, false)
}

func TestPublicKeysVerifyOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.pem", newKey(t))
	write(t, dir, "z.pem", newKey(t).Public())
	for _, ignored := range []string{".hidden.pem", "README.txt", "b.pem.bak"} {
		if err := os.WriteFile(filepath.Join(dir, ignored), []byte("nothing"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if s := folder(t, dir).Keys(); s.SignerID() != "a" || !slices.Equal(s.IDs(), []string{"a", "z"}) {
		t.Errorf("%s signs, %v verify", s.SignerID(), s.IDs())
	}
}

func TestFoldersThatAreWrong(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name  string
		files func(dir string)
		want  string
	}{
		{"empty", func(string) {}, "openssl genpkey -algorithm ed25519"},
		{"only a public key", func(dir string) { write(t, dir, "a.pem", newKey(t).Public()) }, "no private key that may sign"},
		{"only the next key", func(dir string) { write(t, dir, "a.next.pem", newKey(t)) }, "no private key that may sign"},
		{"another kind of key", func(dir string) { write(t, dir, "a.pem", ec) }, "a.pem: it is not an Ed25519 key"},
		{"no PEM", func(dir string) { _ = os.WriteFile(filepath.Join(dir, "a.pem"), []byte("hunter2"), 0o600) }, "a.pem: it is not PEM"},
		{"two keys in a file", func(dir string) {
			write(t, dir, "a.pem", newKey(t))
			b, _ := os.ReadFile(filepath.Join(dir, "a.pem"))
			_ = os.WriteFile(filepath.Join(dir, "a.pem"), append(b, b...), 0o600)
		}, "more than one key"},
		{"damaged", func(dir string) {
			_ = os.WriteFile(filepath.Join(dir, "a.pem"), []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600)
		}, "cannot be read as a key"},
		{"of OpenSSH", func(dir string) {
			_ = os.WriteFile(filepath.Join(dir, "a.pem"), []byte("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"), 0o600)
		}, "OPENSSH PRIVATE KEY"},
		{"readable by everybody", func(dir string) {
			write(t, dir, "a.pem", newKey(t))
			_ = os.Chmod(filepath.Join(dir, "a.pem"), 0o644)
		}, "mode 0644"},
		{"a name that is no ID", func(dir string) { write(t, dir, "a b.pem", newKey(t)) }, "the name before .pem"},
		{"twice", func(dir string) { write(t, dir, "a.pem", newKey(t)); write(t, dir, "a.next.pem", newKey(t)) }, "remove one"},
	} {
		dir := t.TempDir()
		tc.files(dir)
		_, err := OpenFolder(dir, slog.New(slog.DiscardHandler))
		if !errors.Is(err, event.ErrConfig) || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := OpenFolder(filepath.Join(t.TempDir(), "none"), nil); !errors.Is(err, event.ErrConfig) {
		t.Error(err)
	}
}

// A mistake in the folder of a running process changes nothing, is said once, and is over when it is mended.
func TestRunKeepsKeysThatWork(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.pem", newKey(t))
	var log bytes.Buffer // written by run only, read when that has ended
	f, err := OpenFolder(dir, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	tick := make(chan time.Time)
	var wg sync.WaitGroup
	wg.Go(func() { f.run(ctx, tick) })
	look := func() { tick <- now; tick <- now } // the second is taken when the first one's work is done
	bad := filepath.Join(dir, "b.pem")
	if err := os.WriteFile(bad, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	look()
	look()
	if f.Keys().SignerID() != "a" {
		t.Error("the keys are gone")
	}
	write(t, dir, "b.pem", newKey(t))
	look()
	if f.Keys().SignerID() != "b" {
		t.Error("the new key is not there")
	}
	cancel()
	wg.Wait()
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("said %d times:\n%s", n, log.String())
	}
}

func TestKeyForDevelopment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if err := EnsureKey(dir); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	id := folder(t, dir).Keys()
	if err := EnsureKey(dir); err != nil {
		t.Fatal(err)
	}
	again := folder(t, dir).Keys()
	if id.SignerID() != "dev" || !bytes.Equal(id.public["dev"], again.public["dev"]) {
		t.Error("another key was made")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%v, %v", entries, err)
	}
	info, err := entries[0].Info()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %v, %v", info.Mode(), err)
	}
}

func TestJWKS(t *testing.T) {
	dir := t.TempDir()
	a, b := newKey(t), newKey(t)
	write(t, dir, "a.pem", a)
	write(t, dir, "b.next.pem", b)
	doc, err := folder(t, dir).Keys().JWKS()
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct{ Keys []map[string]string }
	if err := json.Unmarshal(doc, &parsed); err != nil {
		t.Fatal(err)
	}
	if len(parsed.Keys) != 2 {
		t.Fatalf("%s", doc)
	}
	for i, id := range []string{"a", "b"} {
		k := parsed.Keys[i]
		if len(k) != 6 || k["kid"] != id || k["kty"] != "OKP" || k["crv"] != "Ed25519" || k["alg"] != "EdDSA" || k["use"] != "sig" || k["x"] == "" {
			t.Errorf("%v", k)
		}
	}
	keys, err := parseJWKS(doc)
	if err != nil || !keys["a"].Equal(a.Public()) || !keys["b"].Equal(b.Public()) || len(keys) != 2 {
		t.Errorf("%v, %v", keys, err)
	}
}

func TestJWKSOfOthers(t *testing.T) {
	const ok = `{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	for doc, want := range map[string]int{
		`{"keys":[` + ok + `]}`: 1,
		`{"keys":[` + ok + `,{"kty":"RSA","kid":"r","n":"u1SU1LfVLPHCozMxH2Mo4lgOEePzNm0tRgeLezV6ffAt0gunVTLw7onLRnrq0_IzW7yWR7QkrmBL7jTKEn5u-qKhbwKfBstIs-bMY2Zkp18gnTxKLxoS2tFczGkPLPgizskuemMghRniWaoLcyehkd3qqGElvW_VDL5AaWTg0nLVkjRo9z-40RQzuVaE8AkAFmxZzow3x-VJYKdjykkJ0iT9wCS0DRTXu269V264Vf_3jvredZiKRkgwlL9xNAwxXFg0x_XFw005UWVRIkdgcKWTjpBP2dPwVZ4WWC-9aGVd-Gyn1o0CLelf4rEjGoXbAAEgAqeGUxrcIlbjXfbcmw","e":"AQAB"}]}`: 1,
		`{"keys":[{"kty":"oct","kid":"o","k":"c2VjcmV0"}]}`:                                                         0, // no public key
		`{"keys":[` + strings.Replace(ok, `"kid":"a",`, "", 1) + `]}`:                                               0,
		`{"keys":[` + strings.Replace(ok, `{`, `{"use":"enc",`, 1) + `]}`:                                           0,
		`{"keys":[` + strings.Replace(ok, `{`, `{"alg":"ES256",`, 1) + `]}`:                                         0,
		`{"keys":[` + ok + `,` + ok + `]}`:                                                                          -1,
		`{"keys":[` + strings.Replace(ok, `"x"`, `"d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x"`, 1) + `]}`: -1,
		`{"keys":[]}`: 0, `[]`: -1, ``: -1, `<html>`: -1,
	} {
		keys, err := parseJWKS([]byte(doc))
		if want < 0 != (err != nil) || err != nil && !errors.Is(err, event.ErrMalformed) || err == nil && len(keys) != want {
			t.Errorf("%.200s: %d keys, %v, want %d", doc, len(keys), err, want)
		}
	}
}
