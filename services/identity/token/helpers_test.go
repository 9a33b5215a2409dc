package token

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cqrsflow/cqrsflow/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	issuer   = "https://shop.example"
	audience = "https://api.shop.example"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// write puts a private key, or the public half, into a file.
func write(t testing.TB, dir, name string, key any) {
	t.Helper()
	var block pem.Block
	var err error
	switch k := key.(type) {
	case ed25519.PublicKey:
		block.Type = "PUBLIC KEY"
		block.Bytes, err = x509.MarshalPKIXPublicKey(k)
	default:
		block.Type = "PRIVATE KEY"
		block.Bytes, err = x509.MarshalPKCS8PrivateKey(k)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(&block), 0o600); err != nil {
		t.Fatal(err)
	}
}

func folder(t testing.TB, dir string) *Folder {
	t.Helper()
	f, err := OpenFolder(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// side is an issuer and a verifier with the same key, "k1".
type side struct {
	key      ed25519.PrivateKey
	folder   *Folder
	issuer   *Issuer
	verifier *Verifier
}

func newSide(t testing.TB) *side {
	t.Helper()
	s := &side{key: newKey(t)}
	dir := t.TempDir()
	write(t, dir, "k1.pem", s.key)
	s.folder = folder(t, dir)
	var err error
	if s.issuer, err = NewIssuer(IssuerConfig{Issuer: issuer, Audience: audience, Keys: s.folder.Keys}); err != nil {
		t.Fatal(err)
	}
	s.verifier, err = NewVerifier(VerifierConfig{Issuer: issuer, Audience: audience, Keys: s.folder, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *side) issue(t testing.TB) secret.Text {
	t.Helper()
	token, _, err := s.issuer.Issue("u-1", "s-1", []string{"clerk", "auditor"}, now)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// forge makes a token by hand, with changes to what would be right. A nil value takes a member away.
func forge(t testing.TB, header, claims map[string]any, sign func(signed []byte) []byte) secret.Text {
	t.Helper()
	h := map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"}
	c := map[string]any{"iss": issuer, "aud": audience, "sub": "u-1", "jti": "t-1", "sid": "s-1", "roles": []string{"clerk"},
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(Lifetime).Unix()}
	part := func(base, changes map[string]any) string {
		maps.Copy(base, changes)
		maps.DeleteFunc(base, func(_ string, v any) bool { return v == nil })
		b, err := json.Marshal(base)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	signed := part(h, header) + "." + part(c, claims)
	return secret.Of(signed + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(signed))))
}
