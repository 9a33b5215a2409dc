package vault

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

// Index names e-mail and network addresses so that equal ones have equal names, and nobody without the key can tell whose they
// are, or try. The names are stream IDs and partition keys: the key cannot be changed without renaming all of them. It is
// immutable and safe for concurrent use.
type Index struct{ email, source secret.Bytes }

// NewIndex takes a key of at least 32 bytes and derives its own; event.ErrConfig where it is shorter.
func NewIndex(key secret.Bytes) (*Index, error) {
	if len(key.Reveal()) < secret.MinKey {
		return nil, fmt.Errorf("%w: the index key has %d bytes; it needs %d at least (openssl rand -base64 32)", event.ErrConfig, len(key.Reveal()), secret.MinKey)
	}
	return &Index{email: secret.Of(secret.DeriveKey(key.Reveal(), "index email")), source: secret.Of(secret.DeriveKey(key.Reveal(), "index source"))}, nil
}

// Email is the name of an address, after NormaliseEmail: 43 characters of base64url.
func (x *Index) Email(address string) (string, error) {
	normal, err := NormaliseEmail(address)
	if err != nil {
		return "", err
	}
	return name(x.email, []byte(normal)), nil
}

// Source is the name of who connects from an address: of the address itself for IPv4, also mapped into IPv6; of the network of
// 64 bits for IPv6, of which one subscriber has all. Zones do not count. The invalid address has a name, too.
func (x *Index) Source(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			a = p.Addr()
		}
	}
	return name(x.source, a.AsSlice())
}

func name(key secret.Bytes, of []byte) string {
	mac := hmac.New(sha256.New, key.Reveal())
	mac.Write(of)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// The longest parts of an e-mail address, in bytes (RFC 5321).
const (
	maxLocal   = 64
	maxAddress = 254
)

// NormaliseEmail is the one spelling of an address: without space around it, in NFC and lower case, the domain in ASCII (IDNA).
// Dots and +tags stay: only the provider knows what they mean. Its error wraps event.ErrInvalid and does not quote the address.
func NormaliseEmail(address string) (string, error) {
	bad := func(why string) (string, error) {
		return "", fmt.Errorf("%w: the e-mail address %s", event.ErrInvalid, why)
	}
	if !utf8.ValidString(address) {
		return bad("is not valid UTF-8")
	}
	address = strings.TrimSpace(address)
	if len(address) > 4*maxAddress {
		return bad(fmt.Sprintf("is longer than %d bytes", maxAddress))
	}
	at := strings.LastIndexByte(address, '@')
	if at < 1 || at == len(address)-1 {
		return bad("is not <name>@<domain>")
	}
	local := norm.NFC.String(strings.ToLower(norm.NFC.String(address[:at])))
	if strings.ContainsFunc(local, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsGraphic(r) || strings.ContainsRune(`@"(),:;<>[\]`, r)
	}) {
		return bad(`has a space, a control character or one of @"(),:;<>[\] before the last @`)
	}
	if strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, "..") {
		return bad("has a dot where none may be")
	}
	domain, err := idna.Lookup.ToASCII(strings.TrimSuffix(address[at+1:], "."))
	if err != nil || !strings.Contains(domain, ".") || strings.HasSuffix(domain, ".") || hasBadLabel(domain) {
		return bad("has no domain name after the @, such as example.org")
	}
	normal := local + "@" + strings.ToLower(domain)
	if len(local) > maxLocal || len(normal) > maxAddress {
		return bad(fmt.Sprintf("is longer than %d bytes, or than %d before the @", maxAddress, maxLocal))
	}
	return normal, nil
}

// hasBadLabel reports a domain of which a label has no or too many characters.
func hasBadLabel(domain string) bool {
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63 {
			return true
		}
	}
	return false
}
