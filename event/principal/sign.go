package principal

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// Why a header proves nothing; all wrap event.ErrInvalid. A header that is no header is event.ErrMalformed.
var (
	// ErrSignature: it was not signed for this command, or not with the key that it names.
	ErrSignature = fmt.Errorf("%w: the signature in cqrs-auth does not fit this command", event.ErrInvalid)
	// ErrUnknownKey: it names a key that is not, or no longer, configured.
	ErrUnknownKey = fmt.Errorf("%w: the key named in cqrs-auth is not configured", event.ErrInvalid)
	// ErrExpired: the command was taken after what the header allows.
	ErrExpired = fmt.Errorf("%w: cqrs-auth has expired", event.ErrInvalid)
)

// ErrRevoked says that a principal, once proved, does not count any more: its session was ended, or the user was locked or
// erased. It wraps event.ErrInvalid. ErrUnseen, which wraps it, says that its session would have to be newer than all that is
// known: it has just begun, or expired long ago.
var (
	ErrRevoked = fmt.Errorf("%w: the session, or the user, has been revoked", event.ErrInvalid)
	ErrUnseen  = fmt.Errorf("%w: it is not known", ErrRevoked)
)

// Keyring signs and verifies. It is immutable and safe for concurrent use.
type Keyring struct {
	keys secret.Keys
}

// NewKeyring makes a keyring: the current key signs, all of them verify. What it signs with is derived from them, so the same
// configured keys may serve other purposes. event.ErrConfig where there is no key.
func NewKeyring(keys secret.Keys) (*Keyring, error) {
	if keys.Empty() {
		return nil, fmt.Errorf("%w: no key to sign principals with", event.ErrConfig)
	}
	return &Keyring{keys: keys.Derive("principal")}, nil
}

// Sign makes the value of cqrs-auth: p asks for m, and no later than expires, of which the second counts. Roles are sorted,
// repeats dropped. Errors wrap event.ErrInvalid.
func (k *Keyring) Sign(p Principal, m *Message, expires time.Time) ([]byte, error) {
	p.Roles = slices.Compact(slices.Sorted(slices.Values(p.Roles)))
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("sign a principal: %w", err)
	}
	if expires.Unix() <= 0 {
		return nil, fmt.Errorf("sign a principal: %w: it needs a time at which it expires", event.ErrInvalid)
	}
	id, key := k.keys.Current()
	h := header{keyID: id, principal: p, expires: expires.Unix()}
	h.mac = mac(key, m, &h)
	return h.append(nil), nil
}

// Verify reads the value of cqrs-auth and returns the principal that signed m. now is when the command was taken: verify
// against the time at which the broker took the record and a backlog changes nothing; against the clock and old commands
// expire. An empty header is the anonymous principal. Errors wrap event.ErrMalformed, or are ErrSignature, ErrUnknownKey or
// ErrExpired; the principal is then anonymous.
func (k *Keyring) Verify(value []byte, m *Message, now time.Time) (Principal, error) {
	if len(value) == 0 {
		return Principal{}, nil
	}
	h, err := parse(value)
	if err != nil {
		return Principal{}, err
	}
	key, ok := k.keys.Get(h.keyID)
	switch {
	case !ok:
		return Principal{}, ErrUnknownKey
	case !hmac.Equal(h.mac, mac(key, m, &h)): // in constant time
		return Principal{}, ErrSignature
	case now.Unix() > h.expires:
		return Principal{}, ErrExpired
	}
	return h.principal, nil
}

func mac(key []byte, m *Message, h *header) []byte {
	var buf [1024]byte // most messages fit
	sum := hmac.New(sha256.New, key)
	sum.Write(appendSigned(buf[:0], m, &h.principal, h.keyID, h.expires))
	return sum.Sum(nil)
}

// Refused reports whether err says that a header proves nothing, whatever the reason.
func Refused(err error) bool {
	return errors.Is(err, event.ErrMalformed) || errors.Is(err, ErrSignature) || errors.Is(err, ErrUnknownKey) || errors.Is(err, ErrExpired)
}
