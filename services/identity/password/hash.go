package password

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"

	"github.com/cqrsflow/cqrsflow/event"
)

const (
	saltLen = 16
	keyLen  = 32
)

// hashed is a password's hash, as a PHC string holds it.
type hashed struct {
	params Params
	salt   []byte
	key    []byte
}

// derive is argon2id; tests put a signal in its place.
type derive func(password, salt []byte, p Params, keyLen uint32) []byte

func argon2id(password, salt []byte, p Params, n uint32) []byte {
	return argon2.IDKey(password, salt, p.Time, p.Memory, p.Threads, n)
}

func newHash(password string, p Params, d derive) hashed {
	h := hashed{params: p, salt: make([]byte, saltLen)}
	_, _ = rand.Read(h.salt) // it never fails
	h.key = d([]byte(normalise(password)), h.salt, p, keyLen)
	return h
}

// fits compares in constant time.
func (h hashed) fits(password string, d derive) bool {
	key := d([]byte(normalise(password)), h.salt, h.params, uint32(len(h.key)))
	return subtle.ConstantTimeCompare(key, h.key) == 1
}

// String is the PHC string: $argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>, base64 without padding.
func (h hashed) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.params.Memory, h.params.Time, h.params.Threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.key))
}

// parse reads what String writes. Its error wraps event.ErrUndecodable and does not quote the hash.
func parse(phc string) (hashed, error) {
	bad := func(what string) (hashed, error) {
		return hashed{}, fmt.Errorf("%w: the stored password hash: %s", event.ErrUndecodable, what)
	}
	parts := strings.Split(phc, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" {
		return bad("it is not $argon2id$v=…$m=…,t=…,p=…$salt$hash")
	}
	var h hashed
	var version int
	if n, err := fmt.Sscanf(parts[2], "v=%d", &version); n != 1 || err != nil || version != argon2.Version {
		return bad(fmt.Sprintf("its version is not %d", argon2.Version))
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &h.params.Memory, &h.params.Time, &h.params.Threads); n != 3 || err != nil || !h.params.sane() {
		return bad("its parameters are out of bounds")
	}
	var err error
	if h.salt, err = base64.RawStdEncoding.Strict().DecodeString(parts[4]); err != nil || len(h.salt) < 8 || len(h.salt) > 64 {
		return bad("its salt is not 8 to 64 bytes in base64")
	}
	if h.key, err = base64.RawStdEncoding.Strict().DecodeString(parts[5]); err != nil || len(h.key) < 16 || len(h.key) > 64 {
		return bad("its key is not 16 to 64 bytes in base64")
	}
	if h.String() != phc {
		return bad("it is not in its canonical form")
	}
	return h, nil
}

// NeedsRehash reports whether a stored hash has other parameters than p, or lengths that are not today's: at a login that
// succeeds it is replaced. Parameters that were raised and then lowered count, too: cost and memory are what was configured.
func NeedsRehash(phc string, p Params) bool {
	h, err := parse(phc)
	return err != nil || h.params != p || len(h.salt) != saltLen || len(h.key) != keyLen
}
