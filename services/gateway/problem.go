package gateway

import (
	"encoding/json"
	"net/http"

	"github.com/cqrsflow/cqrsflow/services/trace"
)

// problem is an error as callers see it (RFC 9457), and an error in this package. The backends' own have the same shape.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail,omitempty"`
	Instance  string `json:"instance,omitempty"`
	Code      string `json:"code"`
	TraceID   string `json:"traceId,omitempty"`
	CommandID string `json:"commandId,omitempty"`

	header http.Header
	// cause is for the log.
	cause error
}

// Error is for logs.
func (p *problem) Error() string {
	if p.cause != nil {
		return p.Code + ": " + p.cause.Error()
	}
	return p.Code + ": " + p.Detail
}

func (p *problem) Unwrap() error { return p.cause }

func (p *problem) with(header, value string) *problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(header, value)
	return p
}

func (p *problem) because(err error) *problem {
	p.cause = err
	return p
}

func newProblem(status int, code, title, detail string) *problem {
	return &problem{Type: "/docs#problem-" + code, Title: title, Status: status, Code: code, Detail: detail}
}

func malformed(detail string) *problem {
	return newProblem(http.StatusBadRequest, "malformed_request", "Malformed request", detail)
}

func notFound() *problem {
	return newProblem(http.StatusNotFound, "not_found", "Not found", "There is no such path; see /docs.")
}

func unauthenticated() *problem {
	return newProblem(http.StatusUnauthorized, "unauthenticated", "Unauthenticated", "This needs a valid access token.").with("WWW-Authenticate", "Bearer")
}

func denied() *problem {
	return newProblem(http.StatusForbidden, "permission_denied", "Permission denied", "You may not do this.")
}

func crossOrigin() *problem {
	return newProblem(http.StatusForbidden, "cross_origin", "Cross-origin request", "The request comes from a page of another site.")
}

func tooLarge() *problem {
	return newProblem(http.StatusRequestEntityTooLarge, "request_too_large", "Request too large", "The body is larger than is taken.")
}

func tooSlow() *problem {
	return newProblem(http.StatusRequestTimeout, "request_timeout", "Request timeout", "The body did not come in time.").with("Connection", "close")
}

func limited() *problem {
	return newProblem(http.StatusTooManyRequests, "rate_limited", "Too many requests", "There were too many requests; try again later.")
}

// unavailable: the request was not handed on, or a backend has certainly not taken it.
func unavailable() *problem {
	return newProblem(http.StatusServiceUnavailable, "unavailable", "Unavailable", "A server behind this one does not answer; nothing was changed.").with("Retry-After", "1")
}

// unknown: the request was handed on, and nobody can tell whether it was taken.
func unknown(commandID string) *problem {
	p := newProblem(http.StatusGatewayTimeout, "outcome_unknown", "Outcome unknown", "The request may have been taken, but there is no answer. Ask again with the same Idempotency-Key.")
	p.CommandID = commandID
	return p
}

func badGateway() *problem {
	return newProblem(http.StatusBadGateway, "bad_gateway", "Bad gateway", "A server behind this one answered with something that cannot be handed on.")
}

func gatewayTimeout() *problem {
	return newProblem(http.StatusGatewayTimeout, "gateway_timeout", "Gateway timeout", "A server behind this one did not answer in time.")
}

func internal() *problem {
	return newProblem(http.StatusInternalServerError, "internal", "Internal error", "Something went wrong in the server.")
}

const problemType = "application/problem+json"

// write answers with the problem. It is not for an answer that has begun.
func (p problem) write(w http.ResponseWriter, r *http.Request, t trace.Context) {
	p.TraceID, p.Instance = t.TraceID, r.URL.EscapedPath()
	h := w.Header()
	for name, values := range p.header {
		h[name] = values
	}
	h.Set("Content-Type", problemType)
	h.Set("Cache-Control", "no-store")
	body, err := json.Marshal(&p)
	if err != nil { // texts and numbers always can be
		body = []byte(`{"code":"internal"}`)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // a caller who has gone is no news
}
