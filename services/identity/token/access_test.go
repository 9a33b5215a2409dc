package token

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

func TestIssuedTokensAreVerified(t *testing.T) {
	s := newSide(t)
	token, issued, err := s.issuer.Issue("u-1", "s-1", []string{"clerk", "auditor", "clerk"}, now.Add(700*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	want := Claims{ID: issued.ID, Subject: "u-1", Issuer: issuer, Session: "s-1", Roles: []string{"auditor", "clerk"}, IssuedAt: now, Expires: now.Add(5 * time.Minute)}
	if diff := cmp.Diff(want, issued); diff != "" {
		t.Error(diff)
	}
	got, err := s.verifier.Verify(t.Context(), token)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	parts := strings.Split(token.Reveal(), ".")
	var header, claims map[string]any
	for i, into := range []*map[string]any{&header, &claims} {
		plain, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(plain, into); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"}, header); diff != "" {
		t.Error(diff)
	}
	at := float64(now.Unix())
	if diff := cmp.Diff(map[string]any{"iss": issuer, "aud": []any{audience}, "sub": "u-1", "jti": issued.ID, "sid": "s-1", "roles": []any{"auditor", "clerk"},
		"iat": at, "nbf": at, "exp": at + 300}, claims); diff != "" {
		t.Error(diff)
	}
	_, second, err := s.issuer.Issue("u-1", "s-1", nil, now)
	if err != nil || second.ID == issued.ID || len(issued.ID) != 22 {
		t.Errorf("IDs %q and %q, %v", issued.ID, second.ID, err)
	}
}

func TestNobodyWithoutRoles(t *testing.T) {
	s := newSide(t)
	token, _, err := s.issuer.Issue("u-1", "s-1", nil, now)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := s.verifier.Verify(t.Context(), token); err != nil || len(c.Roles) != 0 {
		t.Errorf("%v, %v", c, err)
	}
	for _, bad := range [][2]string{{"", "s-1"}, {"u-1", ""}, {"u 1", "s-1"}} {
		if _, _, err := s.issuer.Issue(bad[0], bad[1], nil, now); !errors.Is(err, event.ErrInvalid) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, _, err := s.issuer.Issue("u-1", "s-1", []string{""}, now); !errors.Is(err, event.ErrInvalid) {
		t.Error(err)
	}
}

// What RFC 8725 warns of, and every claim that is wrong or missing.
func TestForgedTokensAreRefused(t *testing.T) {
	s := newSide(t)
	public := s.key.Public().(ed25519.PublicKey)
	right := func(b []byte) []byte { return ed25519.Sign(s.key, b) }
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	hs256 := func(key []byte) func([]byte) []byte {
		return func(b []byte) []byte { m := hmac.New(sha256.New, key); m.Write(b); return m.Sum(nil) }
	}
	none := func([]byte) []byte { return nil }
	if _, err := s.verifier.Verify(t.Context(), forge(t, nil, nil, right)); err != nil {
		t.Fatalf("a token that is right: %v", err)
	}
	type set = map[string]any
	attacker := newKey(t)
	jwk := set{"kty": "OKP", "crv": "Ed25519", "x": base64.RawURLEncoding.EncodeToString(attacker.Public().(ed25519.PublicKey))}
	byAttacker := func(b []byte) []byte { return ed25519.Sign(attacker, b) }
	for _, tc := range []struct {
		name           string
		header, claims set
		sign           func([]byte) []byte
	}{
		{"no signature", nil, nil, none},
		{"alg none", set{"alg": "none"}, nil, none},
		{"alg None, signed", set{"alg": "None"}, nil, right},
		{"no alg", set{"alg": nil}, nil, right},
		{"alg of another kind", set{"alg": 1}, nil, right},
		{"HS256 with the public key", set{"alg": "HS256"}, nil, hs256(public)},
		{"HS256 with the public key's DER", set{"alg": "HS256"}, nil, hs256(der)},
		{"HS256 with the public key's PEM", set{"alg": "HS256"}, nil, hs256(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))},
		{"HMAC, but said to be EdDSA", nil, nil, hs256(public)},
		{"another key", nil, nil, byAttacker},
		{"jku", set{"jku": "https://attacker.example/jwks"}, nil, byAttacker},
		{"jku, rightly signed", set{"jku": "https://attacker.example/jwks"}, nil, right},
		{"x5u", set{"x5u": "https://attacker.example/x"}, nil, right},
		{"x5c", set{"x5c": []string{"x"}}, nil, right},
		{"jwk", set{"jwk": jwk}, nil, byAttacker},
		{"jwk, rightly signed", set{"jwk": jwk}, nil, right},
		{"crit", set{"crit": []string{"exp"}}, nil, right},
		{"unknown key", set{"kid": "k2"}, nil, right},
		{"no key", set{"kid": nil}, nil, right},
		{"key as a path", set{"kid": "../../dev/null"}, nil, right},
		{"typ JWT", set{"typ": "JWT"}, nil, right},
		{"no typ", set{"typ": nil}, nil, right},
		{"another iss", nil, set{"iss": "https://attacker.example"}, right},
		{"no iss", nil, set{"iss": nil}, right},
		{"another aud", nil, set{"aud": "https://other.example"}, right},
		{"no aud", nil, set{"aud": nil}, right},
		{"no sub", nil, set{"sub": nil}, right},
		{"empty sub", nil, set{"sub": ""}, right},
		{"no jti", nil, set{"jti": nil}, right},
		{"no sid", nil, set{"sid": nil}, right},
		{"sid of another kind", nil, set{"sid": 1}, right},
		{"no roles", nil, set{"roles": nil}, right},
		{"roles as a text", nil, set{"roles": "admin"}, right},
		{"a role of another kind", nil, set{"roles": []any{1}}, right},
		{"expired", nil, set{"exp": now.Add(-6 * time.Second).Unix()}, right},
		{"no exp", nil, set{"exp": nil}, right},
		{"exp as a text", nil, set{"exp": "never"}, right},
		{"lives too long", nil, set{"exp": now.Add(MaxLifetime + time.Second).Unix()}, right},
		{"not yet", nil, set{"nbf": now.Add(6 * time.Second).Unix()}, right},
		{"no nbf", nil, set{"nbf": nil}, right},
		{"issued in the future", nil, set{"iat": now.Add(6 * time.Second).Unix()}, right},
		{"no iat", nil, set{"iat": nil}, right},
	} {
		token := forge(t, tc.header, tc.claims, tc.sign)
		c, err := s.verifier.Verify(t.Context(), token)
		if !errors.Is(err, ErrRefused) || !errors.Is(err, event.ErrInvalid) || !cmp.Equal(c, Claims{}) {
			t.Errorf("%s: %+v, %v", tc.name, c, err)
		}
	}
}

func TestWhatIsNoToken(t *testing.T) {
	s := newSide(t)
	good := s.issue(t).Reveal()
	parts := strings.Split(good, ".")
	for _, raw := range []string{
		"", ".", "..", "...", good + ".", good + "." + parts[2], good[:len(good)-2], parts[0] + "." + parts[1], " " + good, good + " ", good + "\n", "\xff." + parts[1] + "." + parts[2],
		parts[0] + "." + parts[0] + "." + parts[2], strings.ToUpper(good), NewRefresh().Text().Reveal(), strings.Repeat("a", maxToken) + good,
		parts[0] + "=." + parts[1] + "." + parts[2], `{"payload":"` + parts[1] + `","signature":"` + parts[2] + `","protected":"` + parts[0] + `"}`,
	} {
		_, err := s.verifier.Verify(t.Context(), secret.Of(raw))
		if !errors.Is(err, ErrRefused) {
			t.Errorf("%.80q: %v", raw, err)
		}
		if err != nil && strings.Contains(err.Error(), parts[2][:20]) {
			t.Errorf("the message quotes the token: %v", err)
		}
	}
	// Each character of the signed parts matters.
	for i := 0; i < len(parts[0])+1+len(parts[1]); i += 7 {
		if good[i] == '.' {
			continue
		}
		c := byte('A')
		if good[i] == c {
			c = 'B'
		}
		if _, err := s.verifier.Verify(t.Context(), secret.Of(good[:i]+string(c)+good[i+1:])); !errors.Is(err, ErrRefused) {
			t.Errorf("character %d changed: %v", i, err)
		}
	}
}

func TestLifetimeAndLeeway(t *testing.T) {
	s := newSide(t)
	token := s.issue(t)
	for _, tc := range []struct {
		leeway time.Duration // 0: the default of 5 s
		at     time.Duration
		ok     bool
	}{
		{0, 0, true}, {0, 5*time.Minute - time.Second, true}, {0, 5*time.Minute + 4*time.Second, true}, {0, 5*time.Minute + 6*time.Second, false},
		{0, -4 * time.Second, true}, {0, -6 * time.Second, false},
		{time.Minute, 5*time.Minute + 59*time.Second, true}, {time.Minute, 5*time.Minute + 61*time.Second, false}, {time.Minute, -59 * time.Second, true}, {time.Minute, -61 * time.Second, false},
		{-1, 5*time.Minute - time.Second, true}, {-1, 5*time.Minute + time.Second, false}, {-1, -time.Second, false},
	} {
		v, err := NewVerifier(VerifierConfig{Issuer: issuer, Audience: audience, Keys: s.folder, Leeway: tc.leeway, Now: func() time.Time { return now.Add(tc.at) }})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.Verify(t.Context(), token); (err == nil) != tc.ok {
			t.Errorf("leeway %v, at %v: %v", tc.leeway, tc.at, err)
		}
	}
}

func TestConfigurationOfTokens(t *testing.T) {
	s := newSide(t)
	keys := s.folder.Keys
	for _, cfg := range []IssuerConfig{
		{Audience: "a", Keys: keys}, {Issuer: "i", Keys: keys}, {Issuer: "i", Audience: "a"}, {Issuer: "i", Audience: "a", Keys: keys, Lifetime: MaxLifetime + 1}, {Issuer: "i", Audience: "a", Keys: keys, Lifetime: -1},
	} {
		if _, err := NewIssuer(cfg); !errors.Is(err, event.ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	for _, cfg := range []VerifierConfig{
		{Audience: "a", Keys: s.folder}, {Issuer: "i", Keys: s.folder}, {Issuer: "i", Audience: "a"}, {Issuer: "i", Audience: "a", Keys: s.folder, Leeway: MaxLeeway + 1},
	} {
		if _, err := NewVerifier(cfg); !errors.Is(err, event.ErrConfig) {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestTokensAndKeysAreMasked(t *testing.T) {
	s := newSide(t)
	token, refresh := s.issue(t), NewRefresh()
	set := s.folder.Keys()
	seed := s.key.Seed()
	raw := refresh.Reveal()
	var shown strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
		for _, v := range []any{token, refresh, &refresh, set, *set, s.issuer, s.folder} {
			_, _ = fmt.Fprintf(&shown, verb, v)
		}
	}
	j, err := json.Marshal([]any{token, refresh, set})
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(j)
	for _, form := range []string{token.Reveal(), refresh.Text().Reveal(), fmt.Sprintf("%x", raw), strings.Trim(fmt.Sprintf("%d", raw), "[]"), fmt.Sprintf("%x", seed), strings.Trim(fmt.Sprintf("%d", seed), "[]")} {
		if strings.Contains(shown.String(), form) {
			t.Errorf("%s is shown", form)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	s := newSide(b)
	token := s.issue(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.verifier.Verify(b.Context(), token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIssue(b *testing.B) {
	s := newSide(b)
	b.ReportAllocs()
	for b.Loop() {
		s.issue(b)
	}
}
