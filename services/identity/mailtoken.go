package identity

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// mailToken is a token that a mail carries: 256 random bits, a dot, the user's ID. Only its hash is stored.
type mailToken struct {
	user  string
	value secret.Value[[32]byte]
}

func newMailToken(user string) mailToken {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails
	return mailToken{user, secret.Of(b)}
}

// parseMailToken reads what a client presents; not ok where it cannot be one.
func parseMailToken(s string) (t mailToken, ok bool) {
	text, user, _ := strings.Cut(s, ".")
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != 32 || event.CheckStreamID(user) != nil {
		return mailToken{}, false
	}
	return mailToken{user, secret.Of([32]byte(b))}, true
}

func (t mailToken) hash() []byte {
	b := t.value.Reveal()
	sum := sha256.Sum256(b[:])
	return sum[:]
}

// link leads to a page. The token stands behind the #, which browsers send to no server.
func (t mailToken) link(page string) secret.Text {
	b := t.value.Reveal()
	return secret.Of(page + "#token=" + base64.RawURLEncoding.EncodeToString(b[:]) + "." + t.user)
}
