package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/cqrsflow/cqrsflow/event/principal"
)

// Authenticator tells who sends a request.
type Authenticator interface {
	// Authenticate returns the caller of a request by its credentials. Where there are none, or they are good for nothing, its
	// error wraps ErrUnauthenticated; where nobody can say at present, event.ErrUnavailable, and the request is refused all
	// the same. It is called concurrently, and neither reads the body nor changes the request.
	Authenticate(ctx context.Context, r *http.Request) (Caller, error)
}

// ErrUnauthenticated says that a request's credentials are missing, or good for nothing.
var ErrUnauthenticated = errors.New("not authenticated")

// Caller is who sends a request. The zero value is nobody in particular: a request to an open route.
type Caller struct {
	// Subject is the user's ID, or the service's name; empty for nobody.
	Subject string
	// Session is the user's session; empty for a service.
	Session string
	// Roles are those that the caller has now.
	Roles []string
	// Service tells a service from a user.
	Service bool
	// Factors are how the caller logged in ("pwd", "otp"), for the audit log; nil where it is not known.
	Factors []string
}

// Anonymous reports whether nobody in particular asks.
func (c Caller) Anonymous() bool { return c.Subject == "" }

// Principal is the caller as commands are signed and policies are asked.
func (c Caller) Principal() principal.Principal {
	if c.Anonymous() {
		return principal.Principal{}
	}
	p := principal.Principal{Kind: principal.User, ID: c.Subject, Session: c.Session, Roles: c.Roles}
	if c.Service {
		p.Kind = principal.Service
	}
	return p
}

// HasAny reports whether the caller has one of the roles.
func (c Caller) HasAny(roles []string) bool {
	return slices.ContainsFunc(c.Roles, func(r string) bool { return slices.Contains(roles, r) })
}

type callerKey struct{}

// WithCaller puts a caller into a context.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return principal.NewContext(context.WithValue(ctx, callerKey{}, c), c.Principal())
}

// CallerOf is the caller of the request that the context belongs to; nobody where there is none.
func CallerOf(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}
