package vault

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"

	"github.com/cqrsflow/cqrsflow/event"
)

const (
	keyBytes = 32
	// format begins everything that is sealed; docs/format/identity.md is about it.
	format = 1
)

// seal encrypts: one byte of format, a random nonce of 12 bytes, then AES-256-GCM. What is sealed for one purpose and names
// opens for no other.
func seal(aead cipher.AEAD, plain []byte, names ...string) []byte {
	n := aead.NonceSize()
	out := make([]byte, 1+n, 1+n+len(plain)+aead.Overhead())
	out[0] = format
	_, _ = rand.Read(out[1:]) // it never fails
	return aead.Seal(out, out[1:1+n], plain, associated(names))
}

// open is its reverse. Its error wraps event.ErrUndecodable.
func open(aead cipher.AEAD, sealed []byte, names ...string) ([]byte, error) {
	n := aead.NonceSize()
	if len(sealed) < 1+n+aead.Overhead() || sealed[0] != format {
		return nil, fmt.Errorf("%w: %d bytes are nothing that was encrypted", event.ErrUndecodable, len(sealed))
	}
	plain, err := aead.Open(nil, sealed[1:1+n], sealed[1+n:], associated(names))
	if err != nil {
		return nil, fmt.Errorf("%w: it was changed, or encrypted for another user or field", event.ErrUndecodable)
	}
	return plain, nil
}

// associated is what a ciphertext is bound to: each name after its length.
func associated(names []string) []byte {
	var b []byte
	for _, s := range names {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	return b
}
