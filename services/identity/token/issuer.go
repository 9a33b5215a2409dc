package token

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// IssuerConfig says what access tokens say.
type IssuerConfig struct {
	// Issuer and Audience are iss and aud, such as "https://shop.example". Both required.
	Issuer, Audience string
	// Lifetime of a token, in whole seconds (default 5 minutes, at most an hour).
	Lifetime time.Duration
	// Keys returns the keys of the moment; (*Folder).Keys does. Required.
	Keys func() *KeySet
}

// Issuer makes access tokens. It is safe for concurrent use.
type Issuer struct{ cfg IssuerConfig }

// NewIssuer checks the configuration; errors wrap event.ErrConfig.
func NewIssuer(cfg IssuerConfig) (*Issuer, error) {
	if cfg.Lifetime == 0 {
		cfg.Lifetime = Lifetime
	}
	switch {
	case cfg.Issuer == "" || cfg.Audience == "":
		return nil, fmt.Errorf("%w: access tokens need an issuer and an audience", event.ErrConfig)
	case cfg.Lifetime < time.Second || cfg.Lifetime > MaxLifetime:
		return nil, fmt.Errorf("%w: access tokens live %v; it must be 1s to %v", event.ErrConfig, cfg.Lifetime, MaxLifetime)
	case cfg.Keys == nil:
		return nil, fmt.Errorf("%w: access tokens need keys", event.ErrConfig)
	}
	return &Issuer{cfg}, nil
}

// Issue signs a token for a user in a session, valid from now on, and returns it with what it says. Errors wrap event.ErrInvalid.
func (i *Issuer) Issue(subject, session string, roles []string, now time.Time) (secret.Text, Claims, error) {
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails
	now = now.UTC().Truncate(time.Second)
	c := Claims{
		ID: base64.RawURLEncoding.EncodeToString(id[:]), Subject: subject, Issuer: i.cfg.Issuer, Session: session,
		Roles: slices.Compact(slices.Sorted(slices.Values(roles))), IssuedAt: now, Expires: now.Add(i.cfg.Lifetime).Truncate(time.Second),
	}
	if err := c.check(); err != nil {
		return secret.Text{}, Claims{}, fmt.Errorf("issue an access token: %w", err)
	}
	signed, err := i.sign(&c)
	if err != nil {
		return secret.Text{}, Claims{}, fmt.Errorf("issue an access token: %w", err)
	}
	return secret.Of(string(signed)), c, nil
}

func (i *Issuer) sign(c *Claims) ([]byte, error) {
	rolesClaim := c.Roles
	if rolesClaim == nil {
		rolesClaim = []string{}
	}
	t, err := jwt.NewBuilder().Issuer(c.Issuer).Audience([]string{i.cfg.Audience}).Subject(c.Subject).JwtID(c.ID).
		IssuedAt(c.IssuedAt).NotBefore(c.IssuedAt).Expiration(c.Expires).
		Claim(claimSession, c.Session).Claim(claimRoles, rolesClaim).Build()
	if err != nil {
		return nil, err
	}
	keys := i.cfg.Keys()
	h := jws.NewHeaders()
	if err := h.Set(jws.TypeKey, mediaType); err != nil {
		return nil, err
	}
	if err := h.Set(jws.KeyIDKey, keys.signer); err != nil {
		return nil, err
	}
	return jwt.Sign(t, jwt.WithKey(jwa.EdDSA(), keys.private.Reveal(), jws.WithProtectedHeaders(h)))
}
