package token

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// KeySet is the keys of one moment: one that signs, and all that verify, by their IDs. It is immutable and safe for
// concurrent use.
type KeySet struct {
	signer  string
	private secret.Value[ed25519.PrivateKey]
	public  map[string]ed25519.PublicKey
}

// SignerID is the ID of the key that signs.
func (s *KeySet) SignerID() string { return s.signer }

// IDs are the IDs of all keys, sorted.
func (s *KeySet) IDs() []string {
	ids := make([]string, 0, len(s.public))
	for id := range s.public {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// JWKS is the public keys as a JSON Web Key Set (RFC 7517): what verifiers fetch.
func (s *KeySet) JWKS() ([]byte, error) {
	set := jwk.NewSet()
	for _, id := range s.IDs() {
		key, err := jwk.Import(s.public[id])
		if err != nil {
			return nil, fmt.Errorf("key %s as a JWK: %w", id, err)
		}
		for name, value := range map[string]any{jwk.KeyIDKey: id, jwk.AlgorithmKey: jwa.EdDSA(), jwk.KeyUsageKey: jwk.ForSignature} {
			if err := key.Set(name, value); err != nil {
				return nil, fmt.Errorf("key %s as a JWK: %s: %w", id, name, err)
			}
		}
		if err := set.AddKey(key); err != nil {
			return nil, fmt.Errorf("key %s as a JWK: %w", id, err)
		}
	}
	return json.Marshal(set)
}

// parseJWKS reads the Ed25519 keys of a JWKS document; keys of other kinds, or for other uses, are left out, and a private key
// is refused. Its error wraps event.ErrMalformed.
func parseJWKS(doc []byte) (map[string]ed25519.PublicKey, error) {
	set, err := jwk.Parse(doc)
	if err != nil {
		return nil, fmt.Errorf("%w: the JWKS document: %w", event.ErrMalformed, err)
	}
	keys := map[string]ed25519.PublicKey{}
	for i := range set.Len() {
		key, _ := set.Key(i)
		id, named := key.KeyID()
		if !named || id == "" {
			continue
		}
		if use, ok := key.KeyUsage(); ok && use != jwk.ForSignature.String() {
			continue
		}
		if alg, ok := key.Algorithm(); ok && alg.String() != algorithm {
			continue
		}
		if private, err := jwk.IsPrivateKey(key); err == nil && private {
			return nil, fmt.Errorf("%w: the JWKS document shows the private key %s", event.ErrMalformed, id)
		}
		var public ed25519.PublicKey
		if err := jwk.Export(key, &public); err != nil || len(public) != ed25519.PublicKeySize {
			continue
		}
		if _, twice := keys[id]; twice {
			return nil, fmt.Errorf("%w: the JWKS document has the key %s twice", event.ErrMalformed, id)
		}
		keys[id] = public
	}
	return keys, nil
}
