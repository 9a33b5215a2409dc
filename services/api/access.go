package api

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/cqrsflow/cqrsflow/decider"
	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/query"
	"github.com/cqrsflow/cqrsflow/services/policy"
)

// Access says who may do and see what; *policy.Engine does.
type Access interface {
	// Possible says whether a principal may do a command at all, on some state: where not, it is not worth publishing.
	Possible(p principal.Principal, command string) policy.Decision
	// Scope says which rows of a read model a principal may see; the query is "orders.read", or "orders.history" for what was.
	Scope(p principal.Principal, query string) policy.Scope
}

// authenticated finds out who asks, for operations that are not open, and puts them into the request's context.
func (a *API) authenticated(c *call) error {
	if a.cfg.Authenticate == nil {
		return nil
	}
	ctx, err := a.cfg.Authenticate(c.r)
	switch {
	case errors.Is(err, event.ErrUnavailable): // who cannot be told from others is nobody
		return &causedProblem{problem(codeUnavailable, "Who asks cannot be found out at present; nothing was done.").with("Retry-After", "1"), err}
	case err != nil:
		a.denied(c, "", codeUnauthenticated, err.Error())
		return &causedProblem{problem(codeUnauthenticated, "It takes a token that counts, as Authorization: Bearer …").with("WWW-Authenticate", `Bearer realm="cqrsflow"`), err}
	}
	c.r = c.r.WithContext(ctx)
	return nil
}

// may refuses a command that the caller may do in no state. Whether they may in this one, the processor finds out.
func (a *API) may(c *call, command string) error {
	if a.cfg.Access == nil {
		return nil
	}
	if d := a.cfg.Access.Possible(principal.FromContext(c.r.Context()), command); !d.Allowed {
		a.denied(c, command, codeDenied, d.Policy)
		return problem(codeDenied, "You may not do this.")
	}
	return nil
}

// owner is whose rows the caller may see of a query's read model: their own, where it is not empty. Who may see none gets an error.
func (a *API) owner(c *call, q string) (string, error) {
	if a.cfg.Access == nil {
		return "", nil
	}
	p := principal.FromContext(c.r.Context())
	switch a.cfg.Access.Scope(p, q) {
	case policy.All:
		return "", nil
	case policy.Own:
		if p.ID != "" {
			return p.ID, nil
		}
	}
	a.denied(c, q, codeDenied, policy.DefaultDeny)
	return "", problem(codeDenied, "You may not see this.")
}

// all refuses who may not see all of a query's read model: of one whose rows are nobody's own.
func (a *API) all(c *call, q string) error {
	owner, err := a.owner(c, q)
	if err == nil && owner != "" {
		a.denied(c, q, codeDenied, policy.DefaultDeny)
		err = problem(codeDenied, "You may not see this.")
	}
	return err
}

// ownsStream reports whether the stream belongs to a user by its state now; nobody asks whether it belongs to nobody.
func (a *API) ownsStream(ctx context.Context, c *call, owner string) (bool, error) {
	if owner == "" {
		return true, nil
	}
	s, err := a.cfg.History.State(ctx, c.aggregate.Name, c.stream, query.At{})
	if errors.Is(err, event.ErrNotFound) {
		return false, nil
	}
	return err == nil && ownerOf(c.aggregate, s) == owner, err
}

func ownerOf(t *decider.Type, s decider.Snapshot) string {
	owner, _ := t.Attributes(s.State)["owner"].(string)
	return owner
}

// denied is for the audit: the policy is nobody else's business.
func (a *API) denied(c *call, action, code, why string) {
	a.cfg.Logger.LogAttrs(c.r.Context(), slog.LevelInfo, "denied", slog.String("principal", principal.FromContext(c.r.Context()).String()),
		slog.String("action", action), slog.String("code", code), slog.String("policy", why), slog.String("method", c.r.Method),
		slog.String("path", c.r.URL.Path), slog.String("traceId", c.trace.TraceID))
}

// Authenticate is Config's: it returns the request's context with whoever sends it (principal.NewContext).
type Authenticate func(r *http.Request) (context.Context, error)
