package identity

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/services/identity/password"
	"github.com/cqrsflow/cqrsflow/services/identity/vault"
)

// problem is an error as callers see it (RFC 9457).
type problem struct {
	Type     string             `json:"type"`
	Title    string             `json:"title"`
	Status   int                `json:"status"`
	Detail   string             `json:"detail,omitempty"`
	Instance string             `json:"instance,omitempty"`
	Code     string             `json:"code"`
	TraceID  string             `json:"traceId,omitempty"`
	Errors   []event.FieldError `json:"errors,omitempty"`

	header http.Header
}

// Error is for logs.
func (p *problem) Error() string { return p.Code + ": " + p.Detail }

func (p *problem) with(header, value string) *problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(header, value)
	return p
}

func newProblem(status int, code, title, detail string, errs ...event.FieldError) *problem {
	return &problem{Type: "/docs#problem-" + code, Title: title, Status: status, Code: code, Detail: detail, Errors: errs}
}

func malformed(detail string, errs ...event.FieldError) *problem {
	return newProblem(http.StatusBadRequest, "malformed_request", "Malformed request", detail, errs...)
}

// invalid is for fields that can be read and are wrong.
func invalid(errs ...event.FieldError) *problem {
	return newProblem(http.StatusUnprocessableEntity, "invalid_request", "Invalid request", "Fields of the request are wrong; errors says which.", errs...)
}

func refusedPassword(field string, r *password.Refused) *problem {
	return newProblem(http.StatusUnprocessableEntity, r.Code, "Password refused", "The password is not taken: "+r.Message+".", event.FieldError{Field: field, Message: r.Message})
}

// invalidCredentials is all that is said about a login that failed.
func invalidCredentials() *problem {
	return newProblem(http.StatusUnauthorized, "invalid_credentials", "Invalid credentials", "The e-mail address or the password is wrong.")
}

func invalidCode() *problem {
	return newProblem(http.StatusUnauthorized, "invalid_credentials", "Invalid credentials", "The code is wrong, or was used before.")
}

func invalidChallenge() *problem {
	return newProblem(http.StatusUnauthorized, "challenge_invalid", "Challenge invalid", "The challenge is not valid any more; log in again.")
}

func invalidRefresh() *problem {
	return newProblem(http.StatusUnauthorized, "refresh_token_invalid", "Refresh token invalid", "The refresh token is not valid any more; log in again.")
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

func wrongTotpCode() *problem {
	return newProblem(http.StatusUnprocessableEntity, "totp_code_invalid", "Code invalid", "The code is not the one that the app shows now.",
		event.FieldError{Field: "code", Message: "is not the code of this moment"})
}

func userErased() *problem {
	return newProblem(http.StatusConflict, codeUserErased, "User erased", "The user was erased.")
}

func userDisabled() *problem {
	return newProblem(http.StatusConflict, codeUserDisabled, "User disabled", "The account is closed for good.")
}

func notFound(detail string) *problem {
	return newProblem(http.StatusNotFound, "not_found", "Not found", detail)
}

func tooManyAttempts(wait time.Duration) *problem {
	seconds := strconv.FormatInt(int64((wait+time.Second-1)/time.Second), 10)
	return newProblem(http.StatusTooManyRequests, codeTooManyAttempts, "Too many attempts", "Too many attempts have failed; try again later.").with("Retry-After", seconds)
}

// rejections are those that a caller may hear of: what an owner did with an account of their own.
var rejections = map[string]*problem{
	codeEmailNotConfirmed:       newProblem(http.StatusForbidden, codeEmailNotConfirmed, "E-mail address not confirmed", "Confirm the e-mail address first, with the link that was sent to it."),
	"token_invalid":             newProblem(http.StatusUnprocessableEntity, "token_invalid", "Token invalid", "The token is not the one that was sent last, or it was used."),
	"token_expired":             newProblem(http.StatusUnprocessableEntity, "token_expired", "Token expired", "The token has expired; ask for another one."),
	"reauthentication_required": newProblem(http.StatusForbidden, "reauthentication_required", "Reauthentication required", "This needs a login of the last five minutes, with all factors; log in again."),
	"totp_already_active":       newProblem(http.StatusConflict, "totp_already_active", "Second factor active", "There is a second factor already; remove it first."),
	"totp_not_active":           newProblem(http.StatusConflict, "totp_not_active", "No second factor", "There is no second factor."),
	"totp_not_enrolled":         newProblem(http.StatusConflict, "totp_not_enrolled", "No enrolment", "No second factor is waiting to be activated; begin with one."),
	"totp_enrolment_expired":    newProblem(http.StatusConflict, "totp_enrolment_expired", "Enrolment expired", "The enrolment took too long; begin another one."),
	"totp_code_used":            newProblem(http.StatusConflict, "totp_code_used", "Code used", "The code was used before; wait for the next one."),
	"mfa_required":              newProblem(http.StatusConflict, "mfa_required", "Second factor required", "A role demands the second factor."),
	"unknown_role":              newProblem(http.StatusUnprocessableEntity, "unknown_role", "Unknown role", "There is no such role; there are admin, auditor, clerk and customer."),
}

// problemOf decides what a caller learns of an error: nothing but what was written for callers.
func problemOf(err error) *problem {
	var p *problem
	var r *password.Refused
	switch code := rejected(err); {
	case errors.As(err, &p):
		c := *p
		return &c
	case errors.As(err, &r):
		return refusedPassword("password", r)
	case code == codeTooManyAttempts:
		return tooManyAttempts(retryAfter(err))
	case rejections[code] != nil:
		c := *rejections[code]
		return &c
	case code == codeUserNotFound, code == codeUserErased, code == codeUserLocked, code == codeUserDisabled, errors.Is(err, vault.ErrForgotten):
		return unauthenticated()
	case errors.Is(err, event.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return newProblem(http.StatusServiceUnavailable, "unavailable", "Unavailable", "A server behind this one does not answer; try again.").with("Retry-After", "1")
	}
	return newProblem(http.StatusInternalServerError, "internal", "Internal error", "Something went wrong in the server.")
}

func (p *problem) write(w http.ResponseWriter) {
	h := w.Header()
	for name, values := range p.header {
		h[name] = values
	}
	h.Set("Content-Type", "application/problem+json")
	body, err := json.Marshal(p)
	if err != nil { // texts and numbers always can be
		body = []byte(`{"code":"internal"}`)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // a caller who has gone is no news
}
