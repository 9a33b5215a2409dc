package token

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// ErrRefused: this is no access token that counts here and now. It wraps event.ErrInvalid. What its message adds is for logs;
// a client is told that the token is invalid, and no more.
var ErrRefused = fmt.Errorf("%w: access token", event.ErrInvalid)

// maxToken bounds an access token, in bytes.
const maxToken = 8 << 10

// Source finds the public key of an ID. An error that wraps event.ErrNotFound: there is none; others: it cannot say.
type Source interface {
	Key(ctx context.Context, id string) (ed25519.PublicKey, error)
}

// Key makes a KeySet a Source: for whoever issues and verifies in one process.
func (s *KeySet) Key(_ context.Context, id string) (ed25519.PublicKey, error) {
	if key, ok := s.public[id]; ok {
		return key, nil
	}
	return nil, fmt.Errorf("%w: no key %q", event.ErrNotFound, clip(id))
}

// Key makes a Folder a Source.
func (f *Folder) Key(ctx context.Context, id string) (ed25519.PublicKey, error) {
	return f.Keys().Key(ctx, id)
}

// VerifierConfig says which tokens count.
type VerifierConfig struct {
	// Issuer and Audience must be the token's. Both required.
	Issuer, Audience string
	// Leeway is how far the issuer's clock may differ (default 5 seconds, at most a minute, negative for none).
	Leeway time.Duration
	// Keys of the issuer. Required.
	Keys Source
	// Now defaults to time.Now.
	Now func() time.Time
}

// Verifier checks access tokens. It is safe for concurrent use.
type Verifier struct{ cfg VerifierConfig }

// NewVerifier checks the configuration; errors wrap event.ErrConfig.
func NewVerifier(cfg VerifierConfig) (*Verifier, error) {
	switch {
	case cfg.Leeway == 0:
		cfg.Leeway = 5 * time.Second
	case cfg.Leeway < 0:
		cfg.Leeway = 0
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	switch {
	case cfg.Issuer == "" || cfg.Audience == "":
		return nil, fmt.Errorf("%w: to verify access tokens takes an issuer and an audience", event.ErrConfig)
	case cfg.Leeway > MaxLeeway:
		return nil, fmt.Errorf("%w: the leeway for access tokens is %v; at most %v is allowed", event.ErrConfig, cfg.Leeway, MaxLeeway)
	case cfg.Keys == nil:
		return nil, fmt.Errorf("%w: to verify access tokens takes keys", event.ErrConfig)
	}
	return &Verifier{cfg}, nil
}

// Verify returns what a token says. It wraps ErrRefused where the token does not count, and event.ErrUnavailable where keys
// cannot be had: then nobody knows, and access is denied all the same. Whether the session still lives is not its business.
func (v *Verifier) Verify(ctx context.Context, token secret.Text) (Claims, error) {
	raw := token.Reveal()
	kid, err := checkHeader(raw)
	if err != nil {
		return Claims{}, err
	}
	key, err := v.cfg.Keys.Key(ctx, kid)
	switch {
	case errors.Is(err, event.ErrNotFound):
		return Claims{}, refuse("its key is not known")
	case err != nil:
		return Claims{}, fmt.Errorf("key of an access token: %w", err)
	}
	t, err := jwt.Parse([]byte(raw), jwt.WithKey(jwa.EdDSA(), key), jwt.WithVerify(true), jwt.WithValidate(true),
		jwt.WithIssuer(v.cfg.Issuer), jwt.WithAudience(v.cfg.Audience), jwt.WithAcceptableSkew(v.cfg.Leeway), jwt.WithClock(jwt.ClockFunc(v.cfg.Now)),
		jwt.WithRequiredClaim(jwt.ExpirationKey), jwt.WithRequiredClaim(jwt.NotBeforeKey), jwt.WithRequiredClaim(jwt.IssuedAtKey),
		jwt.WithRequiredClaim(jwt.JwtIDKey), jwt.WithRequiredClaim(jwt.SubjectKey))
	if err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return claims(t)
}

func claims(t jwt.Token) (Claims, error) {
	var c Claims
	c.ID, _ = t.JwtID()
	c.Subject, _ = t.Subject()
	c.Issuer, _ = t.Issuer()
	c.IssuedAt, _ = t.IssuedAt()
	c.Expires, _ = t.Expiration()
	var roles []any
	if err := t.Get(claimSession, &c.Session); err != nil {
		return Claims{}, refuse("it has no session")
	}
	if err := t.Get(claimRoles, &roles); err != nil {
		return Claims{}, refuse("it has no list of roles")
	}
	for _, r := range roles {
		role, ok := r.(string)
		if !ok {
			return Claims{}, refuse("a role is no text")
		}
		c.Roles = append(c.Roles, role)
	}
	slices.Sort(c.Roles)
	if err := c.check(); err != nil {
		return Claims{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if c.Expires.Sub(c.IssuedAt) > MaxLifetime {
		return Claims{}, refuse("it lives too long")
	}
	return c, nil
}

// checkHeader looks at the header before any library does, and returns the key's ID. What the token says about its key is
// never followed: only the name of one that is known anyway.
func checkHeader(raw string) (kid string, err error) {
	parts := strings.Split(raw, ".")
	if len(raw) > maxToken || len(parts) != 3 {
		return "", refuse("it is not of three parts, or too long")
	}
	if strings.ContainsFunc(raw, isForeign) { // libraries trim spaces
		return "", refuse("it is not base64url")
	}
	plain, err := base64.RawURLEncoding.Strict().DecodeString(parts[0])
	if err != nil {
		return "", refuse("its header is not base64url")
	}
	var h map[string]any
	if err := json.Unmarshal(plain, &h); err != nil {
		return "", refuse("its header is not JSON")
	}
	for name := range h {
		// jku, x5u, jwk, x5c would bring a key, crit and zip change what is signed; others have no use here.
		if name != "alg" && name != "typ" && name != "kid" {
			return "", refuse(fmt.Sprintf("its header has %q", clip(name)))
		}
	}
	if h["alg"] != algorithm {
		return "", refuse(fmt.Sprintf("it is signed with %.20q", fmt.Sprint(h["alg"])))
	}
	if h["typ"] != mediaType {
		return "", refuse(fmt.Sprintf("it is a %.20q", fmt.Sprint(h["typ"])))
	}
	kid, ok := h["kid"].(string)
	if !ok || event.CheckStreamID(kid) != nil {
		return "", refuse("it names no key")
	}
	return kid, nil
}

func isForeign(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
}

func refuse(why string) error { return fmt.Errorf("%w: %s", ErrRefused, why) }

func clip(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
