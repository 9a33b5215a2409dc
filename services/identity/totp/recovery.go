package totp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

const (
	// RecoveryCodes is how many a user gets at once.
	RecoveryCodes = 10
	// alphabet has 32 characters that are not mistaken for each other: without I, L, O and U.
	alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	// recoveryLen is the number of characters: 80 bits.
	recoveryLen = 16
	group       = 4
)

// NewRecoveryCodes makes n codes such as 7K3M-9QPT-X2VB-4HDN, of 80 random bits each, to be shown once.
func NewRecoveryCodes(n int) []secret.Text {
	codes := make([]secret.Text, n)
	for i := range codes {
		var random [recoveryLen]byte
		_, _ = rand.Read(random[:]) // it never fails
		var b strings.Builder
		for j, r := range random {
			if j > 0 && j%group == 0 {
				b.WriteByte('-')
			}
			b.WriteByte(alphabet[r%32]) // 256 is a multiple of 32: all are equally likely
		}
		codes[i] = secret.Of(b.String())
	}
	return codes
}

// normaliseRecovery takes what people type: any case, with or without hyphens and spaces, O for 0, I and L for 1.
func normaliseRecovery(code string) (string, bool) {
	code = strings.Map(func(r rune) rune {
		switch {
		case r == ' ' || r == '-':
			return -1
		case r >= 'a' && r <= 'z':
			r -= 'a' - 'A'
		}
		switch r {
		case 'O':
			return '0'
		case 'I', 'L':
			return '1'
		}
		return r
	}, code)
	if len(code) != recoveryLen {
		return "", false
	}
	for i := range len(code) {
		if strings.IndexByte(alphabet, code[i]) < 0 {
			return "", false
		}
	}
	return code, true
}

// Recovery hashes recovery codes under keys, so that whoever reads the hashes cannot try codes. It is safe for concurrent use.
type Recovery struct{ keys secret.Keys }

// NewRecovery takes keys of any purpose and derives its own. event.ErrConfig where there are none.
func NewRecovery(keys secret.Keys) (*Recovery, error) {
	if keys.Empty() {
		return nil, fmt.Errorf("%w: no key to hash recovery codes with", event.ErrConfig)
	}
	return &Recovery{keys.Derive("recovery code")}, nil
}

// Hash is what is stored for a user's code: the key's ID and HMAC-SHA-256 over user and code. A code that cannot be one wraps
// event.ErrInvalid.
func (r *Recovery) Hash(user string, code secret.Text) (string, error) {
	plain, ok := normaliseRecovery(code.Reveal())
	if !ok {
		return "", fmt.Errorf("%w: that is no recovery code; it has %d letters and digits", event.ErrInvalid, recoveryLen)
	}
	id, key := r.keys.Current()
	return recoveryHash(id, key, user, plain), nil
}

// Match returns which of a user's stored hashes the code has, or -1. All are compared, in constant time. A hash under a key
// that is gone matches nothing.
func (r *Recovery) Match(user string, code secret.Text, hashes []string) int {
	plain, ok := normaliseRecovery(code.Reveal())
	found := -1
	for i, h := range hashes {
		id, _, _ := strings.Cut(h, ":")
		key, known := r.keys.Get(id)
		same := subtle.ConstantTimeCompare([]byte(recoveryHash(id, key, user, plain)), []byte(h)) == 1
		if ok && known && same {
			found = i
		}
	}
	return found
}

func recoveryHash(id string, key []byte, user, code string) string {
	mac := hmac.New(sha256.New, key)
	_, _ = fmt.Fprintf(mac, "%d:%s:%s", len(user), user, code)
	return id + ":" + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
