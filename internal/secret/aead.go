package secret

import (
	"crypto/aes"
	"crypto/cipher"
)

// AEAD is AES-GCM under a key of 16, 24 or 32 bytes; it panics for any other length, as keys are made here
// and never typed in. It is safe for concurrent use.
func AEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return aead
}
