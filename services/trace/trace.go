// Package trace takes over the trace of a request, so that every service names it alike.
package trace

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"strings"
)

// Context is the W3C trace context of a request (https://www.w3.org/TR/trace-context/): the caller's trace,
// or a new one, with a span of this request.
type Context struct {
	TraceID string
	// Parent is the traceparent to hand on.
	Parent string
	// RequestID is X-Request-Id where the caller sent one that is fit for logs.
	RequestID string
	// Continued says that the trace is the caller's.
	Continued bool
}

// Of reads a request's header.
func Of(h http.Header) Context {
	t := Context{RequestID: requestID(h)}
	var span [8]byte
	_, _ = rand.Read(span[:]) // it never fails
	id, flags, ok := parseParent(h.Values("Traceparent"))
	if !ok {
		var fresh [16]byte
		_, _ = rand.Read(fresh[:])
		id, flags = hex.EncodeToString(fresh[:]), "00"
	}
	t.TraceID, t.Continued = id, ok
	t.Parent = "00-" + id + "-" + hex.EncodeToString(span[:]) + "-" + flags
	return t
}

// parseParent reads version-traceid-parentid-flags. Later versions may have more fields after these.
func parseParent(values []string) (traceID, flags string, ok bool) {
	if len(values) != 1 {
		return "", "", false
	}
	v := strings.TrimSpace(values[0])
	if len(v) < 55 || len(v) > 55 && (v[:2] == "00" || v[55] != '-') {
		return "", "", false
	}
	if v[2] != '-' || v[35] != '-' || v[52] != '-' {
		return "", "", false
	}
	version, id, parent, flags := v[:2], v[3:35], v[36:52], v[53:55]
	if !lowerHex(version) || version == "ff" || !lowerHex(id) || !lowerHex(parent) || !lowerHex(flags) ||
		strings.Trim(id, "0") == "" || strings.Trim(parent, "0") == "" {
		return "", "", false
	}
	return id, flags, true
}

func lowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// requestID takes what is printable ASCII without spaces, so that it cannot forge lines of a log.
func requestID(h http.Header) string {
	const most = 128
	s := h.Get("X-Request-Id")
	if len(s) > most {
		return ""
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return ""
		}
	}
	return s
}
