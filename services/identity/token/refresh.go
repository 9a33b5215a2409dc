package token

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

const (
	refreshBytes  = 32
	refreshPrefix = "cqrt_" // scanners for leaked secrets find it, and nobody takes it for a JWT
	sealInfo      = "cqrsflow refresh successor v1"
)

// Refresh is a refresh token: 256 random bits. It is masked wherever it is printed.
type Refresh struct {
	secret.Value[[refreshBytes]byte]
}

// RefreshHash is what is stored of one: whoever reads it cannot use it. It is not keyed or slow: there is nothing to guess.
type RefreshHash [sha256.Size]byte

// String is the hash in base64url, fit for an ID.
func (h RefreshHash) String() string { return base64.RawURLEncoding.EncodeToString(h[:]) }

// NewRefresh makes one.
func NewRefresh() Refresh {
	var b [refreshBytes]byte
	_, _ = rand.Read(b[:]) // it never fails
	return Refresh{secret.Of(b)}
}

// ParseRefresh reads what a client presents, in its one spelling. Its error wraps event.ErrInvalid and does not quote it.
func ParseRefresh(s secret.Text) (Refresh, error) {
	text, ok := strings.CutPrefix(s.Reveal(), refreshPrefix)
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(b) != refreshBytes || strings.ContainsAny(text, "\r\n") {
		return Refresh{}, fmt.Errorf("%w: that is no refresh token", event.ErrInvalid)
	}
	return Refresh{secret.Of([refreshBytes]byte(b))}, nil
}

// Text is what the client gets.
func (r Refresh) Text() secret.Text {
	b := r.Reveal()
	return secret.Of(refreshPrefix + base64.RawURLEncoding.EncodeToString(b[:]))
}

// Hash is what is stored.
func (r Refresh) Hash() RefreshHash {
	b := r.Reveal()
	return sha256.Sum256(b[:])
}

// Seal encrypts the successor of a token so that only who has that token can read it: it is stored beside the hashes, for the
// client whose answer was lost. 12 bytes of nonce, then AES-256-GCM under HKDF-SHA-256 of the token.
func (r Refresh) Seal(successor Refresh) []byte {
	aead := r.aead()
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+refreshBytes+aead.Overhead())
	_, _ = rand.Read(nonce) // it never fails
	hash, plain := r.Hash(), successor.Reveal()
	return aead.Seal(nonce, nonce, plain[:], hash[:])
}

// Open returns the successor that Seal sealed for this token. event.ErrInvalid: it was sealed for another one, or damaged.
func (r Refresh) Open(sealed []byte) (Refresh, error) {
	aead := r.aead()
	n := aead.NonceSize()
	if len(sealed) == n+refreshBytes+aead.Overhead() {
		hash := r.Hash()
		if plain, err := aead.Open(nil, sealed[:n], sealed[n:], hash[:]); err == nil {
			return Refresh{secret.Of([refreshBytes]byte(plain))}, nil
		}
	}
	return Refresh{}, fmt.Errorf("%w: the successor was not sealed for this refresh token", event.ErrInvalid)
}

func (r Refresh) aead() cipher.AEAD {
	b := r.Reveal()
	key, err := hkdf.Key(sha256.New, b[:], nil, sealInfo, 32)
	if err != nil {
		panic(err) // only for lengths that are not ours
	}
	return secret.AEAD(key)
}
