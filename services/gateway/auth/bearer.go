package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
	"github.com/cqrsflow/cqrsflow/event/principal"
	"github.com/cqrsflow/cqrsflow/internal/secret"
	"github.com/cqrsflow/cqrsflow/services/gateway"
	"github.com/cqrsflow/cqrsflow/services/identity/token"
)

// Verifier checks access tokens; *token.Verifier does.
type Verifier interface {
	// Verify returns what a token says. It wraps token.ErrRefused where it does not count; others: nobody can say.
	Verify(ctx context.Context, t secret.Text) (token.Claims, error)
}

// Standing knows what has become of users and sessions; consumers/revocation.Feed does.
type Standing interface {
	// Settle waits until all that has happened by now is known; it comes back within seconds.
	Settle(ctx context.Context)
	// Now returns a principal, which signed at a time, as it is now: without the roles that it has lost. Errors wrap
	// principal.ErrRevoked, or nobody can say.
	Now(p principal.Principal, at time.Time) (principal.Principal, error)
}

// Config says which tokens count. At least one kind must.
type Config struct {
	// Users verifies the access tokens of users, and Standing whether they still count; both, or neither.
	Users    Verifier
	Standing Standing
	// Operator is a token that counts until the process ends, and Service the name of the service whose it is, which must be
	// given with it. Empty: there is none.
	Operator secret.Text
	Service  string
}

// MinOperator is the least length of the operator's token, in bytes.
const MinOperator = 16

// Bearer is a gateway.Authenticator for tokens in the header Authorization (RFC 6750); in a URL none is looked for. It is safe
// for concurrent use.
type Bearer struct {
	cfg Config
	// operator is the SHA-256 of the operator's token, so that comparing takes the same time whatever is compared.
	operator [sha256.Size]byte
}

// New makes a Bearer. Its error wraps event.ErrConfig.
func New(cfg Config) (*Bearer, error) {
	operator := cfg.Operator.Reveal()
	switch {
	case cfg.Users == nil && operator == "":
		return nil, fmt.Errorf("%w: authentication: there is nobody whose tokens count", event.ErrConfig)
	case (cfg.Users == nil) != (cfg.Standing == nil):
		return nil, fmt.Errorf("%w: authentication: whose tokens are verified must be known to count, too", event.ErrConfig)
	case operator != "" && len(operator) < MinOperator:
		return nil, fmt.Errorf("%w: authentication: the operator's token has %d characters; it needs at least %d", event.ErrConfig, len(operator), MinOperator)
	case operator != "" && cfg.Service == "":
		return nil, fmt.Errorf("%w: authentication: the operator's token needs the name of a service", event.ErrConfig)
	}
	return &Bearer{cfg: cfg, operator: sha256.Sum256([]byte(operator))}, nil
}

// Authenticate returns the caller that the request's token names. It wraps gateway.ErrUnauthenticated where the token is missing,
// does not count, or names roles that its user has lost since: a new one says which are left. It wraps event.ErrUnavailable
// where nobody can say, as when the feed of revocations is stale.
func (b *Bearer) Authenticate(ctx context.Context, r *http.Request) (gateway.Caller, error) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return gateway.Caller{}, refuse("it has %d headers Authorization", len(values))
	}
	scheme, value, _ := strings.Cut(values[0], " ")
	if value = strings.TrimSpace(value); !strings.EqualFold(scheme, "Bearer") || value == "" {
		return gateway.Caller{}, refuse("its header Authorization has no bearer token")
	}
	if given := sha256.Sum256([]byte(value)); b.cfg.Service != "" && subtle.ConstantTimeCompare(given[:], b.operator[:]) == 1 {
		return gateway.Caller{Subject: b.cfg.Service, Service: true}, nil
	}
	if b.cfg.Users == nil {
		return gateway.Caller{}, refuse("its token is not the operator's")
	}
	claims, err := b.cfg.Users.Verify(ctx, secret.Of(value))
	switch {
	case errors.Is(err, token.ErrRefused):
		return gateway.Caller{}, fmt.Errorf("%w: %w", gateway.ErrUnauthenticated, err)
	case err != nil:
		return gateway.Caller{}, fmt.Errorf("%w: verify a token: %w", event.ErrUnavailable, err)
	}
	signed := principal.Principal{Kind: principal.User, ID: claims.Subject, Session: claims.Session, Roles: claims.Roles}
	now, err := b.cfg.Standing.Now(signed, claims.IssuedAt)
	if errors.Is(err, principal.ErrUnseen) { // it may have begun a moment ago
		b.cfg.Standing.Settle(ctx)
		now, err = b.cfg.Standing.Now(signed, claims.IssuedAt)
	}
	switch {
	case errors.Is(err, principal.ErrRevoked):
		return gateway.Caller{}, fmt.Errorf("%w: user %s, session %s: %w", gateway.ErrUnauthenticated, claims.Subject, claims.Session, err)
	case err != nil:
		return gateway.Caller{}, fmt.Errorf("%w: user %s, session %s: %w", event.ErrUnavailable, claims.Subject, claims.Session, err)
	case len(now.Roles) < len(signed.Roles):
		return gateway.Caller{}, refuse("user %s, session %s: its token has roles that the user has lost", claims.Subject, claims.Session)
	}
	return gateway.Caller{Subject: now.ID, Session: now.Session, Roles: now.Roles}, nil
}

func refuse(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{gateway.ErrUnauthenticated}, args...)...)
}
