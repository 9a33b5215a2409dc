package planted

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
)

// Values are values to be found nowhere, by what they are.
type Values map[string][][]byte

// Add adds a value, in every form in which it may stand somewhere: as it is, in hexadecimal, in a query, and in base64 of
// something in which it stands.
func (v Values) Add(what string, value []byte) {
	forms := [][]byte{value, []byte(hex.EncodeToString(value)), []byte(url.QueryEscape(string(value)))}
	for shift := range 3 { // at each of the places of a base64 digit that it can begin at
		padded := append(make([]byte, shift), value...)
		first, last := (shift*8+5)/6, len(padded)*8/6
		for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			forms = append(forms, []byte(enc.EncodeToString(padded)[first:last]))
		}
	}
	v[what] = append(v[what], forms...)
}

// AddToken adds a token as clients have it, and what each of its parts stands for. Of an access token that is its signature: its
// head and its claims are no secret.
func (v Values) AddToken(what, text string) error {
	secret, _, _ := strings.Cut(strings.TrimPrefix(text, "cqrt_"), ".")
	if what == "access token" {
		secret = text[strings.LastIndexByte(text, '.')+1:]
	}
	raw, err := base64.RawURLEncoding.DecodeString(secret)
	if err != nil {
		return fmt.Errorf("the %s: %w", what, err)
	}
	if len(raw) < 32 {
		return fmt.Errorf("the %s has %d bytes", what, len(raw))
	}
	v.Add(what, []byte(secret))
	v.Add(what, raw)
	return nil
}

// In names those that data holds.
func (v Values) In(data []byte) (found []string) {
	for what, forms := range v {
		for _, form := range forms {
			if bytes.Contains(data, form) {
				found = append(found, what)
				break
			}
		}
	}
	return found
}
