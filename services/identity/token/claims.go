package token

import (
	"fmt"
	"slices"
	"time"

	"github.com/cqrsflow/cqrsflow/event"
)

const (
	// Lifetime of an access token, where nothing else is configured.
	Lifetime = 5 * time.Minute
	// MaxLifetime is the longest that may be.
	MaxLifetime = time.Hour
	// MaxLeeway is how far clocks may differ at most.
	MaxLeeway = time.Minute

	// mediaType is the header typ of access tokens (RFC 9068, 2.1): no other JWT is taken for one.
	mediaType = "at+jwt"
	algorithm = "EdDSA"

	claimSession = "sid"
	claimRoles   = "roles"
)

// Claims are what an access token says.
type Claims struct {
	// ID is the token's own, jti: unique for ever.
	ID string
	// Subject is the user's ID. Who a user is is issuer and subject together, never an e-mail address.
	Subject string
	Issuer  string
	// Session is the ID of the session, sid: revoking it revokes the token.
	Session string
	// Roles at the time of issue, sorted.
	Roles []string
	// IssuedAt and Expires, in whole seconds.
	IssuedAt, Expires time.Time
}

func (c *Claims) check() error {
	switch {
	case event.CheckStreamID(c.Subject) != nil:
		return fmt.Errorf("%w: an access token's subject is %q; it must be a user's ID", event.ErrInvalid, c.Subject)
	case event.CheckStreamID(c.Session) != nil:
		return fmt.Errorf("%w: an access token's session is %q; it must be a session's ID", event.ErrInvalid, c.Session)
	case slices.Contains(c.Roles, ""):
		return fmt.Errorf("%w: a role of %s is empty", event.ErrInvalid, c.Subject)
	}
	return nil
}
