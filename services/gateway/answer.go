package gateway

import (
	"net/http"
	"strings"
)

// answer remembers what is answered, and lets nothing out that is for the gateway only.
type answer struct {
	http.ResponseWriter
	status int
	bytes  int64
}

// WriteHeader notes the status. Those below 200 are not the answer yet.
func (a *answer) WriteHeader(status int) {
	if status >= http.StatusOK && a.status == 0 {
		a.status = status
		hide(a.Header())
	}
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// hide removes what an answer says about the inside.
func hide(h http.Header) {
	for name := range h {
		switch {
		case name == "Server", name == "Via", name == "X-Powered-By", strings.HasPrefix(name, "X-Envoy-"), strings.HasPrefix(name, "X-Amz"),
			strings.HasPrefix(name, "Cqrs-") && !shown[name]:
			delete(h, name)
		}
	}
}
