package totp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1" // RFC 6238: HMAC-SHA-1 is what apps know, and SHA-1's collisions do not break it
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/internal/secret"
)

const (
	// SeedBytes is the length of a seed: 160 bits, as RFC 4226 recommends.
	SeedBytes = 20
	// Digits of a code.
	Digits = 6
	// Period is how long a code is the current one.
	Period = 30 * time.Second
	// Skew is how many steps a clock may be ahead or behind.
	Skew = 1
)

// Seed is what the device and the server share. It is masked wherever it is printed.
type Seed struct{ bytes secret.Bytes }

// NewSeed makes a random one.
func NewSeed() Seed {
	b := make([]byte, SeedBytes)
	_, _ = rand.Read(b) // it never fails
	return Seed{secret.Of(b)}
}

// ParseSeed takes the bytes that Bytes returned. Its error wraps event.ErrUndecodable.
func ParseSeed(b []byte) (Seed, error) {
	if len(b) != SeedBytes {
		return Seed{}, fmt.Errorf("%w: a TOTP seed has %d bytes; it must have %d", event.ErrUndecodable, len(b), SeedBytes)
	}
	return Seed{secret.Of([]byte(string(b)))}, nil
}

// Bytes returns a copy of the seed, to be encrypted and stored.
func (s Seed) Bytes() []byte { return []byte(string(s.bytes.Reveal())) }

// String returns secret.Masked.
func (Seed) String() string { return secret.Masked }

// MarshalText returns secret.Masked.
func (Seed) MarshalText() ([]byte, error) { return []byte(secret.Masked), nil }

// Base32 is the seed as people type it into an app that cannot scan.
func (s Seed) Base32() string {
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(s.bytes.Reveal())
}

// URI is what the QR code holds: otpauth://totp/<issuer>:<account>?secret=…. It is a secret. An issuer or an account with a
// colon could be read as another one; it wraps event.ErrInvalid.
func (s Seed) URI(issuer, account string) (secret.Text, error) {
	for what, v := range map[string]string{"issuer": issuer, "account": account} {
		if v == "" || strings.Contains(v, ":") {
			return secret.Text{}, fmt.Errorf("%w: the %s of a TOTP key is %q; it must not be empty or have a colon", event.ErrInvalid, what, v)
		}
	}
	// QueryEscape writes a space as +, which apps show as such; a + itself it escapes.
	query := fmt.Sprintf("secret=%s&issuer=%s&algorithm=SHA1&digits=%d&period=%d", s.Base32(), strings.ReplaceAll(url.QueryEscape(issuer), "+", "%20"), Digits, int(Period.Seconds()))
	return secret.Of("otpauth://totp/" + url.PathEscape(issuer) + ":" + url.PathEscape(account) + "?" + query), nil
}

// Step is the number of the period in which t lies, since 1970.
func Step(t time.Time) int64 { return t.Unix() / int64(Period.Seconds()) }

// Verify reports whether code is that of a step later than lastStep and at most Skew steps away from now, and of which step.
// Whoever accepts records the step and gives it as lastStep from then on: so a code works once, and none before it works
// any more. lastStep is 0 before the first. Spaces in the code are ignored. All steps are computed and compared, in constant time.
func Verify(seed Seed, code string, now time.Time, lastStep int64) (step int64, ok bool) {
	code = strings.ReplaceAll(code, " ", "")
	// From the latest one on: if two steps have the same code, the earlier one counts, and the later one may still come.
	for s := Step(now) + Skew; s >= Step(now)-Skew; s-- {
		same := subtle.ConstantTimeCompare([]byte(at(seed.bytes.Reveal(), s, Digits)), []byte(code)) == 1
		if same && s > lastStep {
			step, ok = s, true
		}
	}
	return step, ok
}

// Code is the seed's code at a time: what the user's device shows.
func Code(seed Seed, t time.Time) string { return at(seed.bytes.Reveal(), Step(t), Digits) }

// at is HOTP (RFC 4226, 5.3).
func at(seed []byte, counter int64, digits int) string {
	mac := hmac.New(sha1.New, seed)
	_ = binary.Write(mac, binary.BigEndian, counter)
	sum := mac.Sum(nil)
	from := sum[len(sum)-1] & 0xf
	n := binary.BigEndian.Uint32(sum[from:]) & 0x7fffffff
	mod := uint32(1)
	for range digits {
		mod *= 10
	}
	return fmt.Sprintf("%0*d", digits, n%mod)
}
