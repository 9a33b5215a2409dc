package principal

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"github.com/cqrsflow/cqrsflow/event"
)

// header is the value of cqrs-auth:
//
//	v1;key=2026a;user=u-1;roles=auditor,clerk;session=s-1;expires=1790000000;mac=<base64url>
//
// People can read it in kcat; no value can contain what separates them.
type header struct {
	keyID     string
	principal Principal
	expires   int64 // seconds since 1970
	mac       []byte
}

const version = "v1"

func (h *header) append(b []byte) []byte {
	b = append(b, version...)
	b = append(append(b, ";key="...), h.keyID...)
	b = append(append(append(append(b, ';'), h.principal.Kind...), '='), h.principal.ID...)
	b = append(append(b, ";roles="...), strings.Join(h.principal.Roles, ",")...)
	b = append(append(b, ";session="...), h.principal.Session...)
	b = strconv.AppendInt(append(b, ";expires="...), h.expires, 10)
	return base64.RawURLEncoding.AppendEncode(append(b, ";mac="...), h.mac)
}

// parse takes exactly what append writes, and nothing else that means the same.
func parse(value []byte) (header, error) {
	bad := func(why string) (header, error) {
		return header{}, fmt.Errorf("%w: the header cqrs-auth: %s", event.ErrMalformed, why)
	}
	if len(value) > MaxHeader {
		return bad(fmt.Sprintf("it has %d bytes; at most %d are allowed", len(value), MaxHeader))
	}
	parts := strings.Split(string(value), ";")
	if parts[0] != version {
		return bad(fmt.Sprintf("it begins with %q; this version reads %s", clip(parts[0]), version))
	}
	if len(parts) != 7 {
		return bad(fmt.Sprintf("it has %d parts; it needs 7", len(parts)))
	}
	var h header
	for i, name := range []string{1: "key", 3: "roles", 4: "session", 5: "expires", 6: "mac"} {
		if name == "" {
			continue
		}
		rest, ok := strings.CutPrefix(parts[i], name+"=")
		if !ok {
			return bad(fmt.Sprintf("part %d is not %s=…", i+1, name))
		}
		parts[i] = rest
	}
	kind, id, _ := strings.Cut(parts[2], "=")
	h.keyID = parts[1]
	h.principal = Principal{Kind: Kind(kind), ID: id, Session: parts[4]}
	if parts[3] != "" {
		h.principal.Roles = strings.Split(parts[3], ",")
	}
	if err := h.principal.check(); err != nil {
		return bad(err.Error())
	}
	var err error
	if h.expires, err = strconv.ParseInt(parts[5], 10, 64); err != nil || h.expires <= 0 {
		return bad("expires is no number of seconds")
	}
	if h.mac, err = base64.RawURLEncoding.DecodeString(parts[6]); err != nil || len(h.mac) != 32 {
		return bad("mac is not 32 bytes in base64url")
	}
	if !bytes.Equal(h.append(nil), value) { // 007, +7, stray bits of the last base64 digit
		return bad("it is not in its one canonical form")
	}
	return h, nil
}
