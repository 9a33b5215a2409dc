package secret

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// MinKey is the least number of bytes of a key; MaxKeyID the longest ID of one, in bytes.
const (
	MinKey   = 32
	MaxKeyID = 16
)

// Keys are named keys of one purpose, of which the first is used for what is new and all for what is there: so keys can be
// changed while everything runs. It is immutable and safe for concurrent use. The zero value has no keys.
type Keys struct {
	ids  []string
	keys map[string]Bytes
}

// ParseKeys reads "<id>:<key>, <id>:<key>, …", the current key first. An ID has 1 to 16 characters of [a-z0-9-], a key at
// least 32 bytes in base64, standard or URL alphabet, padded or not. The error says which one is wrong, and never shows a key.
func ParseKeys(s string) (Keys, error) {
	k := Keys{keys: map[string]Bytes{}}
	for i, part := range strings.Split(s, ",") {
		id, text, ok := strings.Cut(strings.TrimSpace(part), ":")
		switch {
		case !ok:
			return Keys{}, fmt.Errorf("key %d has no ID: write <id>:<base64>, …, such as 2026a:… (the current one first)", i+1)
		case !isKeyID(id):
			return Keys{}, fmt.Errorf("the ID of key %d needs 1 to %d characters of a-z 0-9 -", i+1, MaxKeyID)
		}
		key, err := decodeKey(text)
		if err != nil {
			return Keys{}, fmt.Errorf("key %s: %w", id, err)
		}
		if _, twice := k.keys[id]; twice {
			return Keys{}, fmt.Errorf("the key %s is there twice", id)
		}
		k.ids = append(k.ids, id)
		k.keys[id] = Of(key)
	}
	return k, nil
}

// ParseKey reads one key without an ID.
func ParseKey(s string) (Bytes, error) {
	key, err := decodeKey(strings.TrimSpace(s))
	if err != nil {
		return Bytes{}, err
	}
	return Of(key), nil
}

func decodeKey(text string) ([]byte, error) {
	plain := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(text, "="))
	key, err := base64.RawStdEncoding.DecodeString(plain)
	switch {
	case err != nil: // not wrapped: it would quote from the key
		return nil, errors.New("it is not base64; make one with: openssl rand -base64 32")
	case len(key) < MinKey:
		return nil, fmt.Errorf("it has %d bytes; it needs %d at least (openssl rand -base64 32)", len(key), MinKey)
	}
	return key, nil
}

func isKeyID(id string) bool {
	for i := range len(id) {
		if c := id[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return id != "" && len(id) <= MaxKeyID
}

// Generate makes one random key: for tests, and for development on one machine.
func Generate(id string) Keys {
	key := make([]byte, MinKey)
	_, _ = rand.Read(key) // it never fails
	return Keys{ids: []string{id}, keys: map[string]Bytes{id: Of(key)}}
}

// Current is the key for what is new. It panics where there is none.
func (k Keys) Current() (id string, key []byte) { return k.ids[0], k.keys[k.ids[0]].Reveal() }

// Get returns the key of that ID.
func (k Keys) Get(id string) (key []byte, ok bool) {
	b, ok := k.keys[id]
	return b.Reveal(), ok
}

// IDs are the names of all keys, the current one first.
func (k Keys) IDs() []string { return k.ids }

// Empty reports whether there is no key.
func (k Keys) Empty() bool { return len(k.ids) == 0 }

// String names the keys without showing them.
func (k Keys) String() string { return "keys " + strings.Join(k.ids, ", ") }

// Derive makes keys of the same IDs for another purpose: whoever knows one purpose's keys knows nothing of another's.
func (k Keys) Derive(purpose string) Keys {
	out := Keys{ids: k.ids, keys: make(map[string]Bytes, len(k.keys))}
	for id, key := range k.keys {
		out.keys[id] = Of(DeriveKey(key.Reveal(), purpose))
	}
	return out
}

// DeriveKey makes a key of 32 bytes for a purpose out of another key (HKDF with SHA-256).
func DeriveKey(key []byte, purpose string) []byte {
	out, err := hkdf.Key(sha256.New, key, nil, "cqrsflow "+purpose, sha256.Size)
	if err != nil {
		panic(err) // only for lengths that are not ours
	}
	return out
}
