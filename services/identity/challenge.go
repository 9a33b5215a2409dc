package identity

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// challengeTime is how long somebody may take from the first factor to the second.
const challengeTime = 5 * time.Minute

// challenge says that somebody has given the password of a user, at a time; the second factor is missing. Version is that of the
// password: another one makes it worthless.
type challenge struct {
	User    string    `json:"u"`
	Claim   string    `json:"c"`
	Version int64     `json:"v"`
	At      time.Time `json:"a"`
	Expires time.Time `json:"e"`
}

// challenges seals them, so that nothing of a login that is not finished has to be kept anywhere.
type challenges struct{ keys secret.Keys }

var errChallenge = errors.New("no challenge")

func (k challenges) seal(c challenge, now time.Time) string {
	c.Expires = now.Add(challengeTime)
	plain, _ := json.Marshal(c) // texts and numbers always can be
	id, key := k.keys.Current()
	aead := secret.AEAD(key)
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	_, _ = rand.Read(nonce) // it never fails
	return id + "." + base64.RawURLEncoding.EncodeToString(aead.Seal(nonce, nonce, plain, []byte(id)))
}

func (k challenges) open(s string, now time.Time) (challenge, error) {
	var c challenge
	id, text, _ := strings.Cut(s, ".")
	key, ok := k.keys.Get(id)
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if !ok || err != nil {
		return c, errChallenge
	}
	aead := secret.AEAD(key)
	n := aead.NonceSize()
	if len(sealed) < n {
		return c, errChallenge
	}
	plain, err := aead.Open(nil, sealed[:n], sealed[n:], []byte(id))
	if err != nil || json.Unmarshal(plain, &c) != nil || !now.Before(c.Expires) {
		return challenge{}, errChallenge
	}
	return c, nil
}
