package principal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

// RequestHeader is the HTTP header by which a gateway tells servers behind it who asks.
const RequestHeader = "Cqrs-Principal"

// signedRequest begins what is signed of a request: the same key signs commands, too.
const signedRequest = "cqrsflow request v1\n"

// SignRequest makes the value of RequestHeader: p asks for method and target, a path with its query as it stands in the request
// line, and no later than expires, of which the second counts. Roles are sorted, repeats dropped. Errors wrap event.ErrInvalid.
func (k *Keyring) SignRequest(p Principal, method, target string, expires time.Time) (string, error) {
	p.Roles = slices.Compact(slices.Sorted(slices.Values(p.Roles)))
	if err := p.check(); err != nil {
		return "", fmt.Errorf("sign a request: %w", err)
	}
	if expires.Unix() <= 0 {
		return "", fmt.Errorf("sign a request: %w: it needs a time at which it expires", event.ErrInvalid)
	}
	id, key := k.keys.Current()
	h := header{keyID: id, principal: p, expires: expires.Unix()}
	h.mac = requestMAC(key, method, target, &h)
	return string(h.append(nil)), nil
}

// VerifyRequest reads the value of RequestHeader and returns the principal that was signed for method and target. Its errors are
// those of Verify; an empty value is the anonymous principal.
func (k *Keyring) VerifyRequest(value, method, target string, now time.Time) (Principal, error) {
	if value == "" {
		return Principal{}, nil
	}
	h, err := parse([]byte(value))
	if err != nil {
		return Principal{}, err
	}
	key, ok := k.keys.Get(h.keyID)
	switch {
	case !ok:
		return Principal{}, ErrUnknownKey
	case !hmac.Equal(h.mac, requestMAC(key, method, target, &h)): // in constant time
		return Principal{}, ErrSignature
	case now.Unix() > h.expires:
		return Principal{}, ErrExpired
	}
	return h.principal, nil
}

func requestMAC(key []byte, method, target string, h *header) []byte {
	var buf [1024]byte // most requests fit
	b := append(buf[:0], signedRequest...)
	b = appendText(b, h.keyID)
	b = binary.BigEndian.AppendUint64(b, uint64(h.expires))
	b = appendPrincipal(b, &h.principal)
	b = appendText(b, method)
	b = appendText(b, target)
	sum := hmac.New(sha256.New, key)
	sum.Write(b)
	return sum.Sum(nil)
}
