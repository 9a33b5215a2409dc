package gateway

import (
	"net/http"
	"net/textproto"
	"strings"
)

// public are the headers Cqrs-… that a client may send; all others are for backends to believe.
var public = map[string]bool{"Cqrs-After": true, "Cqrs-Wait-For": true, "Cqrs-Unit": true}

// shown are the headers Cqrs-… of answers that clients may see.
var shown = map[string]bool{"Cqrs-Position": true, "Cqrs-Stale": true, "Cqrs-Trace-Id": true}

// internalHeader reports whether backends would believe it of the gateway, or whether it says how this connection is to go on: a
// client's is not handed on. Underscores are dashes to some servers.
func internalHeader(name string) bool {
	switch name {
	case "Forwarded", "X-Real-Ip", "True-Client-Ip", "Cf-Connecting-Ip", "X-Client-Ip", "X-Cluster-Client-Ip", "Via",
		"X-Original-Url", "X-Rewrite-Url", "X-Http-Method-Override", "X-Http-Method", "X-Method-Override",
		"Upgrade", "Http2-Settings", "Proxy", "Traceparent", "X-Request-Id":
		return true
	}
	return strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "X-User-") || strings.HasPrefix(name, "X-Auth-") ||
		strings.HasPrefix(name, "Cqrs-") && !public[name] || strings.IndexByte(name, '_') >= 0
}

// clean removes what a client must not tell backends. Names are canonical: net/http has made them so.
func clean(h http.Header) {
	for name := range h {
		if internalHeader(name) || name != textproto.CanonicalMIMEHeaderKey(name) {
			delete(h, name)
		}
	}
}
